/** A clock that only moves when a test says so. */
import type { Clock } from '../../src/lib/clock.ts'

interface Sleeper {
  wakeAt: number
  readonly wake: () => void
}

export interface FakeClockOptions {
  /** Milliseconds since the epoch. Default: 1 March 2026, noon. */
  readonly now?: number
  /** Whether who sleeps wakes up at once, and the clock moves on by as much. */
  readonly skipsSleep?: boolean
}

export class FakeClock implements Clock {
  #now: number
  readonly #skipsSleep: boolean
  #sleepers: Sleeper[] = []
  /** Every wait that was asked for, in milliseconds, in order. */
  readonly waits: number[] = []

  constructor({ now = Date.UTC(2026, 2, 1, 12), skipsSleep = false }: FakeClockOptions = {}) {
    this.#now = now
    this.#skipsSleep = skipsSleep
  }

  now(): number {
    return this.#now
  }

  /** How many are asleep. */
  get sleeping(): number {
    return this.#sleepers.length
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    this.waits.push(ms)
    if (signal?.aborted === true) return Promise.reject(signal.reason)
    if (this.#skipsSleep) {
      this.#now += ms
      return Promise.resolve()
    }
    return new Promise((resolve, reject) => {
      const sleeper = {
        wakeAt: this.#now + ms,
        wake: () => {
          signal?.removeEventListener('abort', onAbort)
          resolve()
        },
      }
      const onAbort = () => {
        this.#sleepers = this.#sleepers.filter((each) => each !== sleeper)
        reject(signal?.reason)
      }
      this.#sleepers.push(sleeper)
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }

  /** Moves on by `ms`; whoever is due wakes at its own moment, and what it starts is done before the next one wakes. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms
    await settle()
    for (let next = this.#takeDue(end); next !== undefined; next = this.#takeDue(end)) {
      this.#now = Math.max(this.#now, next.wakeAt)
      next.wake()
      await settle()
    }
    this.#now = end
    await settle()
  }

  /** Somebody sets the clock back by `ms`: whoever is asleep sleeps as long as before. */
  setBack(ms: number): void {
    this.#now -= ms
    for (const sleeper of this.#sleepers) sleeper.wakeAt -= ms
  }

  #takeDue(end: number): Sleeper | undefined {
    const due = this.#sleepers.filter(({ wakeAt }) => wakeAt <= end).sort((a, b) => a.wakeAt - b.wakeAt)[0]
    this.#sleepers = this.#sleepers.filter((each) => each !== due)
    return due
  }
}

/** Resolves when everything has run that waits for promises alone. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve))
}

/** A promise that a test keeps or breaks by hand. */
export function defer<T = void>(): PromiseWithResolvers<T> {
  return Promise.withResolvers<T>()
}
