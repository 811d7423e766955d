/** How far a crawl is: what is known of its size, how fast it goes, and when it may be done. */

import type { Clock } from '../lib/clock.ts'
import { limits } from '../limits.ts'
import type { Log } from '../telemetry/log.ts'

export interface ProgressReport {
  /** Tags that were read, and those that are to be read as far as is known. */
  readonly done: number
  readonly total: number
  /** Repositories whose tags are listed, and all of them: until they are equal the total grows. */
  readonly listed: number
  readonly repositories: number
  /** Tags a second, since there were any to be read; 0 before. */
  readonly perSecond: number
  /** undefined while nothing can be said. */
  readonly secondsLeft: number | undefined
}

export class Progress {
  readonly #clock: Clock
  /** When the first tags were there to be read. */
  #startedAt: number | undefined
  #done = 0
  #total = 0
  #listed = 0
  #repositories = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  expectRepositories(count: number): void {
    this.#repositories += count
  }

  noteListed(): void {
    this.#listed += 1
  }

  expectTags(count: number): void {
    if (count > 0) this.#startedAt ??= this.#clock.now()
    this.#total += count
  }

  noteTag(): void {
    this.#done += 1
  }

  get report(): ProgressReport {
    const seconds = this.#startedAt === undefined ? 0 : (this.#clock.now() - this.#startedAt) / 1000
    const perSecond = seconds > 0 ? this.#done / seconds : 0
    const isKnown = this.#repositories > 0 && this.#listed === this.#repositories && perSecond > 0
    return {
      done: this.#done,
      total: this.#total,
      listed: this.#listed,
      repositories: this.#repositories,
      perSecond: Math.round(perSecond),
      secondsLeft: isKnown ? Math.ceil((this.#total - this.#done) / perSecond) : undefined,
    }
  }

  /** Says in the log every few seconds how far it is, until the signal aborts. */
  async logUntil(signal: AbortSignal, log: Log): Promise<void> {
    while (!signal.aborted) {
      await this.#clock.sleep(limits.progressIntervalMs, signal).catch(() => undefined)
      if (signal.aborted) return
      const { done, total, listed, repositories, perSecond, secondsLeft } = this.report
      log.info('reading the registry', { done, total, listed, repositories, perSecond, secondsLeft })
    }
  }
}

/** `1200 of 20000 tags are read, 340 a second, about 56 s left` */
export function describeProgress({
  done,
  total,
  listed,
  repositories,
  perSecond,
  secondsLeft,
}: ProgressReport): string {
  if (repositories === 0) return 'its repositories are being listed'
  const counted = listed === repositories ? `${total}` : `at least ${total}`
  const left = secondsLeft === undefined ? '' : `, about ${secondsLeft} s left`
  return `${done} of ${counted} tags are read, ${perSecond} a second${left}`
}
