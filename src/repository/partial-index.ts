/**
 * What a first crawl has read so far, served on request (--serve-partial): what was offered last is made, again and again,
 * with the rests that making indexes needs.
 */

import { errorFields, type Log } from '../telemetry/log.ts'
import type { CatalogListing } from './catalog.ts'
import type { Snapshot } from './snapshot.ts'

export interface PartialIndexOptions {
  readonly make: (part: CatalogListing, signal: AbortSignal) => Promise<Snapshot>
  /** Resolves when the next one may be made. */
  readonly rest: (signal: AbortSignal) => Promise<void>
  readonly log: Log
}

export class PartialIndex {
  readonly #options: PartialIndexOptions
  #offered: CatalogListing | undefined
  #making: Promise<void> | undefined
  #snapshot: Snapshot | undefined
  #crawlIsOver = new AbortController()

  constructor(options: PartialIndexOptions) {
    this.#options = options
  }

  get snapshot(): Snapshot | undefined {
    return this.#snapshot
  }

  /** Takes what there is so far; it is served when its time has come. */
  offer(part: CatalogListing, signal: AbortSignal): void {
    this.#offered = part
    this.#making ??= this.#makeOffered(AbortSignal.any([signal, this.#crawlIsOver.signal]))
  }

  /** Breaks off what is being made: the crawl is over. What is served stays. */
  async end(): Promise<void> {
    this.#crawlIsOver.abort()
    await this.#making
    this.#offered = undefined
    this.#crawlIsOver = new AbortController()
  }

  async #makeOffered(signal: AbortSignal): Promise<void> {
    try {
      for (;;) {
        await this.#options.rest(signal)
        const part = this.#offered
        if (part === undefined || signal.aborted) break
        this.#offered = undefined
        this.#snapshot = await this.#options.make(part, signal)
      }
    } catch (error) {
      if (!signal.aborted) this.#options.log.error('part of the index cannot be made', errorFields(error))
    }
    // In the same turn in which there was nothing more to make: what is offered from here on begins anew.
    this.#making = undefined
  }
}
