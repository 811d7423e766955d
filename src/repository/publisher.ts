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
import { Limiter } from '../lib/limiter.ts'
import { limits } from '../limits.ts'
import type { Digest } from '../oci/digest.ts'
import type { Log } from '../telemetry/log.ts'
import { amendPlan } from './amended-plan.ts'
import { CATALOG_PLACE, type CatalogListing, type Problem } from './catalog.ts'
import { ChartPicks } from './chart-picks.ts'
import { IndexMaker, type IndexOptions, LostEntries } from './index-maker.ts'
import { findChangedRepositories, findChanges, findUnused, withChanges, withoutUnknown } from './listing-changes.ts'
import { PartialIndex } from './partial-index.ts'
import type { CatalogStore, DocumentStore, ListingChanges } from './ports.ts'
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
  /** Shows what is different at once, in the plain forms, and makes the whole index later: for a registry that tells of every push. */
  readonly amends: boolean
  readonly clock: Clock
  readonly log: Log
}

export class Publisher {
  readonly #options: PublisherOptions
  readonly #picks: ChartPicks
  readonly #maker: IndexMaker
  readonly #part: PartialIndex
  readonly #warnings: PublishedWarnings
  /** What the snapshot shows; undefined as long as there is none. */
  #shown: { readonly listing: CatalogListing; readonly plan: SnapshotPlan } | undefined
  /** The key of the index that was made as a whole. */
  #wholeKey: string | undefined
  readonly #oneAtATime = new Limiter(1)
  /** What was told since the crawl under way began: the crawl may not have seen it. */
  #told = new Map<string, Map<string, Digest | null | undefined>>()
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

  get rounds(): number {
    return this.#rounds
  }

  /** Whoever keeps the registry tells of what is pushed. */
  get amends(): boolean {
    return this.#options.amends
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

  /** The listing a crawl starts from. What is told from here on outlives what it finds. */
  beginCrawl(): CatalogListing | undefined {
    this.#told = new Map()
    return this.#listing
  }

  /** Takes what was pushed and deleted just now, and shows it at once if it can. */
  tell(changes: ListingChanges): void {
    for (const [repository, tags] of changes) {
      this.#told.set(repository, new Map([...(this.#told.get(repository) ?? []), ...tags]))
    }
    if (this.#listing === undefined) return
    this.#listing = withChanges(this.#listing, changes, this.#options.clock.now())
    this.#show()
  }

  /** Takes over a listing, unless it is the first and what is missing from it may only be late. */
  async accept(found: CatalogListing, problems: readonly Problem[], signal: AbortSignal): Promise<void> {
    await this.#oneAtATime.run(() => this.#accept(found, problems, signal))
  }

  async #accept(found: CatalogListing, problems: readonly Problem[], signal: AbortSignal): Promise<void> {
    const accepted = withChanges(found, this.#told, found.listedAt)
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
    const isNews = this.#shown === undefined || findChangedRepositories(this.#shown.listing, listing).length > 0
    if (this.#options.amends ? isNews : changes.size > 0) this.#isBehind = true
    this.#show()
    await this.#options.store.saveListing({ listedAt: listing.listedAt, changes, isFirst: before === undefined })
    const isShown = this.#shown?.listing === this.#listing
    if (this.#snapshot === undefined || (this.#isBehind && !isShown && this.restMs === 0))
      await this.#publish(listing, signal)
    else if (isShown || !this.#isBehind) this.#snapshot = { ...this.#snapshot, listedAt: listing.listedAt }
    // What is served may have to be made again, and then it needs what it was made of.
    if (!this.#isBehind) await this.#forgetUnused(listing)
    // What comes and goes before the next one is in no listing that is compared then.
    else if (changes.size > 0) this.#swept = undefined
    await this.#retainDocuments()
  }

  /** Makes the index as a whole of what is shown by now, if something is and the time has come. */
  async makeWhole(signal: AbortSignal): Promise<void> {
    if (!this.#options.amends || this.#snapshot === undefined) return
    await this.#oneAtATime.run(async () => {
      if (!this.#isBehind || this.restMs > 0 || this.#listing === undefined) return
      await this.#publish(this.#listing, signal)
      await this.#retainDocuments()
    })
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
      // Before it is shown: from then on what was told meanwhile must be in it.
      if (this.#options.amends) await this.#maker.prepareToAmend()
      this.#warnings.report(plan, index)
      const { charts, versions, key } = index
      if (this.#snapshot?.index.key !== key) {
        log.info('index published', { charts, versions, ms: clock.now() - startedAt })
      }
      this.#snapshot = { listedAt: listing.listedAt, index, files: plan.files, isPartial: false }
      this.#wholeKey = key
      this.#shown = { listing, plan }
      this.#isBehind = false
      this.#show()
    } catch (error) {
      if (!(error instanceof LostEntries)) throw error
      this.#forgetLost(error)
    }
  }

  /** Shows the newest listing, where that is a few charts away from what is shown. */
  #show(): void {
    const [shown, listing, snapshot] = [this.#shown, this.#listing, this.#snapshot]
    if (!this.#options.amends || shown === undefined || listing === undefined || snapshot === undefined) return
    const changed = findChangedRepositories(shown.listing, listing)
    if (changed.length === 0) {
      this.#shown = { ...shown, listing }
      return
    }
    this.#isBehind = true
    if (changed.length > limits.maxAmendedRepositories) return
    const context = { before: shown.listing, after: listing, picks: this.#picks }
    const plan = amendPlan(shown.plan, changed, context)
    const index = plan && this.#maker.amend(plan.charts)
    if (plan === undefined || index === undefined) return
    this.#shown = { listing, plan }
    this.#snapshot = { ...snapshot, index, files: plan.files }
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
    // Something was told while this was looked for: it is looked for again when that is over.
    if (this.#listing !== listing) return
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
    if (this.#wholeKey !== undefined) await this.#options.documents.retain(this.#wholeKey)
  }
}
