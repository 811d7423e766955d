/**
 * Decides what is served: takes listings over, keeps them for the next start, and makes snapshots of them when something
 * in them is new.
 *
 * Invariants: the first snapshot is published when everything was readable, refused for good, or late for as many rounds
 * as are given to it; never when the list of repositories itself is late. From then on there always is one. Making
 * snapshots never takes more than its share of a core: during a rest nothing is made, and after it what is newest then.
 */

import type { ManifestRecord } from '../helm/chart-record.ts'
import type { Clock } from '../lib/clock.ts'
import { limits } from '../limits.ts'
import type { Digest } from '../oci/digest.ts'
import type { Log } from '../telemetry/log.ts'
import { CATALOG_PLACE, type CatalogListing, type Problem } from './catalog.ts'
import { ChartPicks } from './chart-picks.ts'
import { IndexMaker, type IndexOptions, LostEntries } from './index-maker.ts'
import { findChanges, findUnused, withoutUnknown } from './listing-changes.ts'
import { PartialIndex } from './partial-index.ts'
import type { CatalogStore, DocumentStore } from './ports.ts'
import { PublishedWarnings } from './published-warnings.ts'
import { planSnapshot, type Snapshot, type SnapshotPlan } from './snapshot.ts'

export interface PublisherOptions {
  /** What is known of digests; those that no tag has any more are taken out. */
  readonly records: Map<Digest, ManifestRecord>
  readonly store: CatalogStore
  readonly documents: DocumentStore
  readonly index: IndexOptions
  /** Serves what there is while the first crawl is under way. */
  readonly servesPartial: boolean
  readonly clock: Clock
  readonly log: Log
}

export class Publisher {
  readonly #options: PublisherOptions
  readonly #picks: ChartPicks
  readonly #maker: IndexMaker
  readonly #part: PartialIndex
  readonly #warnings: PublishedWarnings
  #listing: CatalogListing | undefined
  /** The listing that the store has. */
  #saved: CatalogListing | undefined
  #snapshot: Snapshot | undefined
  /** What the snapshot does not have yet although it was accepted. */
  #isBehind = false
  /** Records are gone that the crawl under way may still count on. */
  #hasLost = false
  /** Listings that were held back before the first snapshot. */
  #rounds = 0
  /** The listing whose records were last looked through for those that no tag has; undefined to look through all of them. */
  #swept: CatalogListing | undefined
  /** When the next snapshot may be made, in milliseconds since the epoch. */
  #restsUntil = 0

  constructor(options: PublisherOptions) {
    this.#options = options
    const { records, store, documents, index, clock, log } = options
    this.#picks = new ChartPicks(records)
    this.#maker = new IndexMaker({
      entries: store,
      documents,
      options: index,
      onLost: (lost) => this.#forgetLost(lost),
    })
    this.#part = new PartialIndex({
      make: (part, signal) => this.#makePart(part, signal),
      rest: (signal) => (this.restMs > 0 ? clock.sleep(this.restMs, signal) : Promise.resolve()),
      log,
    })
    this.#warnings = new PublishedWarnings(log)
  }

  /** What is served; undefined before the first complete crawl. */
  get snapshot(): Snapshot | undefined {
    return this.#snapshot
  }

  /** What there is before that, when it is to be served. */
  get part(): Snapshot | undefined {
    return this.#snapshot === undefined ? this.#part.snapshot : undefined
  }

  /** The newest listing, published or not: what the next crawl starts from. */
  get listing(): CatalogListing | undefined {
    return this.#listing
  }

  get rounds(): number {
    return this.#rounds
  }

  /** Something was accepted that is not published: the listing after the rest will have it. */
  get isBehind(): boolean {
    return this.#isBehind
  }

  /** Milliseconds until the next snapshot may be made. */
  get restMs(): number {
    const now = this.#options.clock.now()
    // The clock may have been set back since.
    this.#restsUntil = Math.min(this.#restsUntil, now + limits.maxRenderRestMs)
    return Math.max(0, this.#restsUntil - now)
  }

  /** Publishes the last listing of the run before. */
  async restore(listing: CatalogListing, signal: AbortSignal): Promise<void> {
    this.#listing = listing
    this.#saved = listing
    await this.#publish(listing, signal)
    await this.#retainDocuments()
  }

  /** Takes over a listing, unless it is the first and what is missing from it may only be late. */
  async accept(accepted: CatalogListing, problems: readonly Problem[], signal: AbortSignal): Promise<void> {
    const listing = this.#hasLost ? withoutUnknown(accepted, this.#options.records) : accepted
    const lacks = listing !== accepted
    this.#hasLost = false
    this.#listing = listing
    await this.#part.end()
    if (this.#snapshot === undefined && !this.#isReady(listing, problems)) return this.offerPart(listing, signal)
    // What it lacks is read again first; nobody is to take it for gone meanwhile, nor the next start.
    if (lacks) {
      this.#isBehind = true
      return
    }
    const before = this.#saved
    const changes = findChanges(before, listing)
    this.#saved = listing
    if (changes.size > 0) this.#isBehind = true
    await this.#options.store.saveListing({ listedAt: listing.listedAt, changes, isFirst: before === undefined })
    if (this.#snapshot === undefined || (this.#isBehind && this.restMs === 0)) await this.#publish(listing, signal)
    else if (!this.#isBehind) this.#snapshot = { ...this.#snapshot, listedAt: listing.listedAt }
    // What is served may have to be made again, and then it needs what it was made of.
    if (!this.#isBehind) await this.#forgetUnused(listing)
    // What comes and goes before the next one is in no listing that is compared then.
    else if (changes.size > 0) this.#swept = undefined
    await this.#retainDocuments()
  }

  /** Takes what a first crawl has so far. */
  offerPart(part: CatalogListing, signal: AbortSignal): void {
    if (this.#options.servesPartial && this.#snapshot === undefined) this.#part.offer(part, signal)
  }

  #isReady(listing: CatalogListing, problems: readonly Problem[]): boolean {
    this.#rounds += 1
    const late = problems.filter(({ transient }) => transient)
    if (late.length === 0) return true
    const catalogIsLate = late.some(({ repository }) => repository === CATALOG_PLACE)
    return !catalogIsLate && listing.repositories.size > 0 && this.#rounds >= limits.maxFirstCrawlRounds
  }

  async #publish(listing: CatalogListing, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options
    const startedAt = clock.now()
    try {
      const { plan, index } = await this.#make(listing, signal)
      this.#warnings.report(plan, index)
      const { charts, versions, key } = index
      if (this.#snapshot?.index.key !== key) {
        log.info('index published', { charts, versions, ms: clock.now() - startedAt })
      }
      this.#snapshot = { listedAt: listing.listedAt, index, files: plan.files, isPartial: false }
      this.#isBehind = false
    } catch (error) {
      if (!(error instanceof LostEntries)) throw error
      this.#forgetLost(error)
    }
  }

  async #makePart(part: CatalogListing, signal: AbortSignal): Promise<Snapshot> {
    // What an earlier round has read is served on.
    const repositories = new Map([...(this.#listing?.repositories ?? []), ...part.repositories])
    const { plan, index } = await this.#make({ ...part, repositories }, signal)
    await this.#options.documents.retain(index.key)
    return { listedAt: part.listedAt, index, files: plan.files, isPartial: true }
  }

  async #make(listing: CatalogListing, signal: AbortSignal) {
    const { clock } = this.#options
    const startedAt = clock.now()
    const plan: SnapshotPlan = await planSnapshot(listing, this.#picks)
    const index = await this.#maker.make(plan.charts, signal)
    const restMs = (clock.now() - startedAt) * (1 / limits.maxRenderShare - 1)
    this.#restsUntil = clock.now() + Math.min(limits.maxRenderRestMs, restMs)
    return { plan, index }
  }

  /** Takes out what no tag has any more, here and in the store. */
  async #forgetUnused(listing: CatalogListing): Promise<void> {
    const { records, store } = this.#options
    const unused = await findUnused({ before: this.#swept, after: listing, records })
    for (const digest of unused.records) records.delete(digest)
    if (unused.records.size > 0) store.forget(unused)
    this.#swept = listing
  }

  /** Makes the next crawl read again what the store has lost. */
  #forgetLost({ message, manifests }: LostEntries): void {
    const { records, log } = this.#options
    if (!this.#hasLost) log.warn('index cannot be made before some charts are read again', { reason: message })
    const lost = new Set(manifests)
    for (const [digest, record] of records) {
      if (record.kind === 'chart' && lost.has(record.manifest)) records.delete(digest)
    }
    if (this.#listing !== undefined) this.#listing = withoutUnknown(this.#listing, records)
    // What else the store has lost nobody knows: the next listing is written to it as a whole.
    this.#saved = undefined
    this.#hasLost = true
    this.#isBehind = true
  }

  async #retainDocuments(): Promise<void> {
    if (this.#snapshot !== undefined) await this.#options.documents.retain(this.#snapshot.index.key)
  }
}
