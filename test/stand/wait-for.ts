/** Waiting for a condition instead of sleeping. */

export interface WaitOptions {
  readonly timeoutMs?: number
  readonly everyMs?: number
}

/** What a condition may say while it does not hold yet. */
type NotYet = undefined | null | false | ''

/**
 * Polls until `condition` gives something truthy and returns that.
 * A condition that throws ends the wait at once: only a falsy answer means "not yet".
 * @param what completes the sentence "Waited 20000 ms for …"; it is what a failing test shows
 */
export async function waitFor<T>(
  what: string,
  condition: () => T | NotYet | Promise<T | NotYet>,
  options: WaitOptions = {},
): Promise<T> {
  const { timeoutMs = 20_000, everyMs = 25 } = options
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const value = await condition()
    if (value) return value
    if (performance.now() > deadline) throw new Error(`Waited ${timeoutMs} ms for ${what}`)
    await Bun.sleep(everyMs)
  }
}
