/**
 * The outcome of `work`, or the signal's reason as soon as it aborts; `work` then goes on with nobody waiting. Nothing
 * stays behind on the signal, which may live as long as the process.
 */
export function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason)
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    const done = () => signal.removeEventListener('abort', onAbort)
    work.then(resolve, reject).then(done, done)
  })
}
