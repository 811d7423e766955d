/** What a registry tells of pushes and deletions, looked into and handed on in the order in which it was told. */

import { isChartRepoError } from '../errors.ts'
import { forEachConcurrently } from '../lib/limiter.ts'
import { limits } from '../limits.ts'
import type { Digest } from '../oci/digest.ts'
import { isReferrerTag } from '../oci/reference.ts'
import { errorFields, type Log } from '../telemetry/log.ts'
import type { Records } from './catalog.ts'
import type { Examiner } from './examiner.ts'
import type { ListingChanges } from './ports.ts'

export interface NewsOptions {
  readonly examiner: Examiner
  readonly records: Records
  readonly handOn: (changes: ListingChanges) => void
  readonly signal: AbortSignal
  readonly log: Log
}

interface Told {
  readonly repository: string
  /** undefined for tags that are gone. */
  readonly tags: ReadonlyMap<string, Digest | undefined>
}

export class News {
  readonly #options: NewsOptions
  #waiting: Told[] = []
  #round: Promise<void> | undefined
  /** Of what was told while the round under way was at work. */
  #next: Promise<void> | undefined

  constructor(options: NewsOptions) {
    this.#options = options
  }

  tell(repository: string, tags: ReadonlyMap<string, Digest | undefined>): void {
    if (tags.size === 0 || this.#options.signal.aborted) return
    this.#waiting.push({ repository, tags })
    if (this.#round === undefined) void this.#begin()
    else this.#next ??= this.#round.then(() => this.#begin())
  }

  /** Resolves when all that was told before has been handed on, whatever is told later; undefined when it has. Never rejects. */
  get settled(): Promise<void> | undefined {
    return this.#next ?? this.#round
  }

  #begin(): Promise<void> {
    const told = this.#waiting
    this.#waiting = []
    this.#next = undefined
    this.#round = this.#settle(told).finally(() => {
      if (this.#next === undefined) this.#round = undefined
    })
    return this.#round
  }

  async #settle(told: readonly Told[]): Promise<void> {
    await forEachConcurrently(told, limits.maxTagsAtOnce, (each) => this.#examine(each))
    try {
      this.#options.handOn(this.#toChanges(told))
    } catch (error) {
      // The next crawl finds the same; nobody who waits here could do anything about it.
      this.#options.log.error('what was pushed cannot be shown yet', errorFields(error))
    }
  }

  async #examine({ repository, tags }: Told): Promise<void> {
    const { examiner, signal, log } = this.#options
    for (const [tag, digest] of tags) {
      if (digest === undefined || isReferrerTag(tag)) continue
      try {
        const examined = await examiner.examine(repository, digest, { signal })
        if (examined?.record.kind === 'skipped') {
          log.info('skipped, not a chart', { repository, tag, reason: examined.record.reason })
        }
      } catch (error) {
        if (signal.aborted) return
        // The next crawl finds it, and says that there is a problem if there still is one.
        log[isChartRepoError(error) ? 'debug' : 'error']('what was pushed cannot be read yet', {
          repository,
          tag,
          ...errorFields(error),
        })
      }
    }
  }

  #toChanges(told: readonly Told[]): ListingChanges {
    const changes = new Map<string, Map<string, Digest | null | undefined>>()
    for (const { repository, tags } of told) {
      const changed = changes.get(repository) ?? new Map<string, Digest | null | undefined>()
      changes.set(repository, changed)
      for (const [tag, digest] of tags) {
        if (digest === undefined) changed.set(tag, undefined)
        else if (isReferrerTag(tag)) changed.set(tag, null)
        else if (this.#options.records.has(digest)) changed.set(tag, digest)
      }
    }
    return changes
  }
}
