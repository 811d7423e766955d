/** What a registry tells of pushes and deletions, looked into and handed on in the order in which it was told. */

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
  #settling: Promise<void> | undefined

  constructor(options: NewsOptions) {
    this.#options = options
  }

  tell(repository: string, tags: ReadonlyMap<string, Digest | undefined>): void {
    if (tags.size === 0 || this.#options.signal.aborted) return
    this.#waiting.push({ repository, tags })
    this.#settling ??= this.#settle()
  }

  /** Resolves when all that was told before has been handed on; undefined when it has. Never rejects. */
  get settled(): Promise<void> | undefined {
    return this.#settling
  }

  async #settle(): Promise<void> {
    for (let told = this.#waiting; told.length > 0; told = this.#waiting) {
      this.#waiting = []
      await forEachConcurrently(told, limits.maxTagsAtOnce, (each) => this.#examine(each))
      try {
        this.#options.handOn(this.#toChanges(told))
      } catch (error) {
        // The next crawl finds the same; nobody who waits here could do anything about it.
        this.#options.log.error('what was pushed cannot be shown yet', errorFields(error))
      }
    }
    // In the same turn in which nothing more was there: what is told from here on begins anew.
    this.#settling = undefined
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
        // The next crawl finds it, and says that there is a problem if there still is one.
        if (!signal.aborted) log.debug('what was pushed cannot be read yet', { repository, tag, ...errorFields(error) })
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
