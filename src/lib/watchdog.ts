/** Aborts when it has not been told of progress for a while. */

import { ChartRepoError } from '../errors.ts'

export class Watchdog {
  readonly #controller = new AbortController()
  readonly #timer: ReturnType<typeof setTimeout>

  /** `what` begins the reason: `Nothing of team/demo was answered`. */
  constructor(what: string, timeoutMs: number) {
    this.#timer = setTimeout(() => {
      const reason = `${what} within ${timeoutMs / 1000} s`
      this.#controller.abort(new ChartRepoError('UPSTREAM_TIMEOUT', reason, { retryable: true }))
    }, timeoutMs)
  }

  /** Aborts with an UPSTREAM_TIMEOUT. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Notes progress: the time starts anew. */
  reset(): void {
    this.#timer.refresh()
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}
