/**
 * Decides what is served: takes listings over, keeps them for the next start, and makes snapshots of them when something
 * in them is new.
 *
 * Invariant: the first snapshot is published when everything was readable, refused for good, or late for as many rounds
 * as are given to it; never when the list of repositories itself is late. From then on there always is one.
 */

import { limits } from '../limits.ts'
import type { Log } from '../telemetry/log.ts'
import { CATALOG_PLACE, type CatalogListing, type Problem, type Records, type Tags } from './catalog.ts'
import type { CatalogStore } from './ports.ts'
import { buildSnapshot, type Collision, type Snapshot } from './snapshot.ts'

export interface PublisherOptions {
  readonly records: Records
  readonly store: Pick<CatalogStore, 'saveListing'>
  /** The last listing of the run before, published at once. */
  readonly initial: CatalogListing | undefined
  readonly log: Log
}

export class Publisher {
  readonly #options: PublisherOptions
  #listing: CatalogListing | undefined
  #snapshot: Snapshot | undefined
  /** Listings that were held back before the first snapshot. */
  #rounds = 0
  /** How many records there were at the last publication. */
  #publishedRecords = 0
  #reportedCollisions: ReadonlySet<string> = new Set()

  constructor(options: PublisherOptions) {
    this.#options = options
    if (options.initial !== undefined) this.#publish(options.initial)
  }

  /** What is served; undefined before the first complete crawl. */
  get snapshot(): Snapshot | undefined {
    return this.#snapshot
  }

  /** The newest listing, published or not: what the next crawl starts from. */
  get listing(): CatalogListing | undefined {
    return this.#listing
  }

  get rounds(): number {
    return this.#rounds
  }

  /** Takes over a listing, unless it is the first and what is missing from it may only be late. */
  accept(listing: CatalogListing, problems: readonly Problem[]): void {
    const before = this.#listing
    this.#listing = listing
    const isFirst = this.#snapshot === undefined
    if (isFirst && !this.#isReady(listing, problems)) return
    const changed = isFirst ? new Map(tagsOf(listing)) : findChanges(before, listing)
    this.#options.store.saveListing(listing.listedAt, changed)
    // A record may have come to be known for a tag that was listed before.
    const learnt = this.#options.records.size !== this.#publishedRecords
    if (changed.size > 0 || learnt || this.#snapshot === undefined) this.#publish(listing)
    else this.#snapshot = { ...this.#snapshot, listedAt: listing.listedAt }
  }

  #isReady(listing: CatalogListing, problems: readonly Problem[]): boolean {
    this.#rounds += 1
    const late = problems.filter(({ transient }) => transient)
    if (late.length === 0) return true
    const catalogIsLate = late.some(({ repository }) => repository === CATALOG_PLACE)
    return !catalogIsLate && listing.repositories.size > 0 && this.#rounds >= limits.maxFirstCrawlRounds
  }

  #publish(listing: CatalogListing): void {
    const { records, log } = this.#options
    const snapshot = buildSnapshot(listing, records)
    this.#listing = listing
    this.#publishedRecords = records.size
    this.#reportCollisions(snapshot.collisions)
    const { charts, versions, body, etag } = snapshot.index
    if (this.#snapshot?.index.etag !== etag) log.info('index published', { charts, versions, bytes: body.size })
    this.#snapshot = snapshot
  }

  /** Says once of each chart that another one hides it, for as long as it does. */
  #reportCollisions(collisions: readonly Collision[]): void {
    const reported = this.#reportedCollisions
    const current = new Set<string>()
    for (const { file, repository, hiddenRepository } of collisions) {
      const key = `${file} ${hiddenRepository}`
      current.add(key)
      if (reported.has(key)) continue
      this.#options.log.warn('two repositories have the same chart version; the first in lexical order is listed', {
        file,
        listed: repository,
        hidden: hiddenRepository,
      })
    }
    this.#reportedCollisions = current
  }
}

function* tagsOf(listing: CatalogListing): Generator<[string, Tags]> {
  for (const [repository, { tags }] of listing.repositories) yield [repository, tags]
}

/** The repositories whose tags differ; undefined for those that are gone. */
function findChanges(before: CatalogListing | undefined, after: CatalogListing): Map<string, Tags | undefined> {
  const changed = new Map<string, Tags | undefined>()
  for (const [repository, tags] of tagsOf(after)) {
    const old = before?.repositories.get(repository)?.tags
    if (old === undefined || !isSame(old, tags)) changed.set(repository, tags)
  }
  for (const repository of before?.repositories.keys() ?? []) {
    if (!after.repositories.has(repository)) changed.set(repository, undefined)
  }
  return changed
}

function isSame(a: Tags, b: Tags): boolean {
  if (a.size !== b.size) return false
  for (const [tag, digest] of a) if (b.get(tag) !== digest) return false
  return true
}
