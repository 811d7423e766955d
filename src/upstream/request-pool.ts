/**
 * The link that finds out how many calls the registry takes at once, and lets no more of them through.
 *
 * It knows neither credentials nor sockets: it goes by the status of answers alone, 429 and 503 being refusals. A place
 * is held until the link below resolves, so a body that streams holds none. One pool serves all work of a client, every
 * hop of a redirect included. Invariant: whoever waits does so because there is no place for calls of that purpose.
 */

import type { Clock } from '../lib/clock.ts'
import { parseRetryAfter } from '../lib/retry-after.ts'
import { limits } from '../limits.ts'
import type { CallPurpose, HttpCall, Send } from './http-call.ts'

/** In the order they are served. */
const PURPOSES = ['chart', 'list', 'tag'] as const satisfies readonly CallPurpose[]

/** What tags may fill of the pool: those that hang must keep neither a list nor a chart waiting. */
const TAG_SHARE = 3 / 4
/** What tags and lists may fill together. */
const CRAWL_SHARE = 7 / 8

/** Who waits is let through by purpose, and within a purpose in turn; a call whose signal aborts leaves its queue. */
export function withRequestPool(send: Send, clock: Clock): Send {
  const pool = new RequestPool(send, clock)
  return (call) => pool.send(call)
}

class RequestPool {
  readonly #next: Send
  readonly #clock: Clock
  readonly #running: Record<CallPurpose, number> = { chart: 0, list: 0, tag: 0 }
  readonly #waiting: Readonly<Record<CallPurpose, (() => void)[]>> = { chart: [], list: [], tag: [] }
  #limit: number = limits.firstUpstreamRequests
  /** Grows with every halving; a call belongs to the round it was sent in. */
  #round = 0
  /** Good answers since the limit last changed. */
  #answered = 0
  /** Waits under way that the registry asked for; nothing is sent while there is one. */
  #holds = 0

  constructor(next: Send, clock: Clock) {
    this.#next = next
    this.#clock = clock
  }

  async send(call: HttpCall): Promise<Response> {
    const purpose = call.purpose ?? 'tag'
    call.signal?.throwIfAborted()
    if (this.#hasPlace(purpose)) this.#running[purpose] += 1
    else await this.#wait(purpose, call.signal)
    const round = this.#round
    try {
      const response = await this.#next(call)
      this.#learn(call, response, round)
      return response
    } finally {
      this.#running[purpose] -= 1
      this.#startWaiting()
    }
  }

  #hasPlace(purpose: CallPurpose): boolean {
    const { chart, list, tag } = this.#running
    if (this.#holds > 0 || chart + list + tag >= this.#limit) return false
    if (purpose === 'chart') return true
    if (list + tag >= this.#share(CRAWL_SHARE)) return false
    return purpose === 'list' || tag < this.#share(TAG_SHARE)
  }

  #share(share: number): number {
    return Math.max(1, Math.floor(this.#limit * share))
  }

  /** Resolves once a place was taken for the caller. */
  #wait(purpose: CallPurpose, signal: AbortSignal | undefined): Promise<void> {
    const queue = this.#waiting[purpose]
    return new Promise((resolve, reject) => {
      const start = () => {
        signal?.removeEventListener('abort', leave)
        resolve()
      }
      const leave = () => {
        queue.splice(queue.indexOf(start), 1)
        reject(signal?.reason)
      }
      signal?.addEventListener('abort', leave, { once: true })
      queue.push(start)
    })
  }

  #startWaiting(): void {
    for (const purpose of PURPOSES) {
      const queue = this.#waiting[purpose]
      while (queue.length > 0 && this.#hasPlace(purpose)) {
        this.#running[purpose] += 1
        queue.shift()?.()
      }
    }
  }

  #learn(call: HttpCall, { status, headers }: Response, round: number): void {
    // The same call answered 503 again is the fault of one repository rather than a registry with too much to do, and
    // must not slow down the others once more; 429 is about this client every time.
    if (status === 429 || (status === 503 && call.isRepeat !== true)) {
      if (round === this.#round) this.#halve()
      void this.#hold(parseRetryAfter(headers.get('retry-after'), this.#clock.now()) ?? 0)
    } else if (status < 500 && round === this.#round) {
      this.#grow()
    }
  }

  /** Once a round: what was sent before says nothing of the smaller limit. */
  #halve(): void {
    this.#round += 1
    this.#answered = 0
    this.#limit = Math.max(1, Math.floor(this.#limit / 2))
  }

  /** By one with each answer until the registry first refuses, which doubles it in a round; then by one in a round. */
  #grow(): void {
    // With nobody waiting the limit was not tried out.
    if (PURPOSES.every((purpose) => this.#waiting[purpose].length === 0)) return
    this.#answered += 1
    if (this.#round > 0 && this.#answered < this.#limit) return
    this.#answered = 0
    this.#limit = Math.min(this.#limit + 1, limits.maxUpstreamRequests)
  }

  /**
   * The call that was refused waits as long in the retry link, without a place, and finds the pool open again. A wait
   * over the bound holds up nobody, as there: it may be meant for one repository, and all others would stand still.
   */
  async #hold(ms: number): Promise<void> {
    if (ms === 0 || ms > limits.maxRetryAfterMs) return
    this.#holds += 1
    await this.#clock.sleep(ms)
    this.#holds -= 1
    this.#startWaiting()
  }
}
