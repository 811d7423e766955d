/** Aborts work that hangs: when something is under way, and nothing of it has come to an end for a while. */

import { ChartRepoError } from '../errors.ts'

export class Watchdog {
  readonly #what: string
  readonly #timeoutMs: number
  readonly #controller = new AbortController()
  #underWay = 0
  #timer: ReturnType<typeof setTimeout> | undefined

  /** `what` begins the reason: `Nothing of team/demo was answered`. */
  constructor(what: string, timeoutMs: number) {
    this.#what = what
    this.#timeoutMs = timeoutMs
  }

  /** Aborts with an UPSTREAM_TIMEOUT. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Runs `task` under watch. Time in which nothing is under way, because it waits for its turn, does not count. */
  async watch<T>(task: () => Promise<T>): Promise<T> {
    this.#underWay += 1
    if (this.#underWay === 1) this.#start()
    try {
      return await task()
    } finally {
      this.#underWay -= 1
      if (this.#underWay > 0) this.#timer?.refresh()
      else clearTimeout(this.#timer)
    }
  }

  #start(): void {
    if (this.signal.aborted) return
    this.#timer = setTimeout(() => {
      // Not to be wound up again by what ends from now on.
      this.#timer = undefined
      const reason = `${this.#what} within ${this.#timeoutMs / 1000} s`
      this.#controller.abort(new ChartRepoError('UPSTREAM_TIMEOUT', reason, { retryable: true }))
    }, this.#timeoutMs)
  }
}
