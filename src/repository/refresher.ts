/**
 * Keeps the snapshot fresh: one refresh at a time, shared by everybody who waits for it, the next snapshot swapped in
 * as a whole. An outage leaves the last good one in place, with its age.
 *
 * Invariant: the first snapshot is published when everything was readable, refused for good, or late for as many rounds
 * as are given to it; never when the list of repositories itself is late. Until then there is none, and the reason why.
 */

import { ChartRepoError, describeError, isChartRepoError } from '../errors.ts'
import type { Clock } from '../lib/clock.ts'
import { untilAborted } from '../lib/until-aborted.ts'
import { limits } from '../limits.ts'
import { errorFields, type Log } from '../telemetry/log.ts'
import type { CatalogListing, Problem, Tags } from './catalog.ts'
import { type CrawlContext, crawl } from './crawl.ts'
import type { CatalogStore } from './ports.ts'
import { buildSnapshot, type Snapshot } from './snapshot.ts'

export interface RefresherOptions {
  readonly context: CrawlContext
  readonly store: CatalogStore
  readonly refreshIntervalMs: number
  /** What a reader waits at most for a refresh. */
  readonly refreshWaitMs: number
  /** The last listing of the run before, published at once. */
  readonly initial: CatalogListing | undefined
  readonly clock: Clock
  readonly log: Log
}

export interface RefreshStatus {
  /** Why the last refresh failed; undefined when it did not. */
  readonly error: string | undefined
  /** What the last refresh could not read. */
  readonly problems: readonly Problem[]
}

/** A refresh that takes this many intervals is reported as a fault. */
const OVERDUE_INTERVALS = 3
const FIRST_CRAWL = 'the first crawl of the registry is under way'

export class Refresher {
  readonly #options: RefresherOptions
  readonly #stopping = new AbortController()
  #listing: CatalogListing | undefined
  #snapshot: Snapshot | undefined
  #status: RefreshStatus = { error: undefined, problems: [] }
  #running: { readonly startedAt: number; readonly done: Promise<void> } | undefined
  #failedAt: number | undefined
  #firstRounds = 0
  /** How many records there were at the last publication. */
  #publishedRecords = 0
  #reportedCollisions: ReadonlySet<string> = new Set()
  #loop: Promise<void> | undefined

  constructor(options: RefresherOptions) {
    this.#options = options
    if (options.initial !== undefined) this.#publish(options.initial)
  }

  get snapshot(): Snapshot | undefined {
    return this.#snapshot
  }

  get status(): RefreshStatus {
    const { error, problems } = this.#status
    const seconds = Math.floor(
      (this.#options.clock.now() - (this.#running?.startedAt ?? Number.POSITIVE_INFINITY)) / 1000,
    )
    const isOverdue =
      this.#snapshot !== undefined && seconds * 1000 > OVERDUE_INTERVALS * this.#options.refreshIntervalMs
    return { error: error ?? (isOverdue ? `a refresh has been under way for ${seconds} s` : undefined), problems }
  }

  /** Seconds since the listing behind the snapshot began. */
  get snapshotAgeSeconds(): number | undefined {
    if (this.#snapshot === undefined) return undefined
    return Math.max(0, Math.floor((this.#options.clock.now() - this.#snapshot.listedAt) / 1000))
  }

  /** Refreshes now and then every interval, until `stop`. */
  start(): void {
    this.#loop ??= this.#runLoop()
  }

  /** Breaks off what is under way and resolves when nothing runs any more. */
  async stop(): Promise<void> {
    this.#stopping.abort(new ChartRepoError('SNAPSHOT_MISSING', 'The server is stopping'))
    await this.#loop
    await this.#running?.done
  }

  /**
   * The snapshot with everything in it that was pushed before this call, if that can be had within the refresh wait;
   * else the newest there is.
   * @throws SNAPSHOT_MISSING when there is none yet.
   */
  async fresh(): Promise<Snapshot> {
    if (this.#snapshot === undefined) {
      // The rounds of a first crawl keep their distance; readers start none but the very first.
      if (this.#running !== undefined || this.#firstRounds === 0) await this.#waitFor(this.#refresh())
    } else if (this.#isStale() && !this.#isPaused()) {
      const refreshed = this.#refreshSince(this.#options.clock.now() - limits.freshSnapshotMs)
      // In an outage nobody is made to wait for what is likely to fail again.
      if (this.#status.error === undefined) await this.#waitFor(refreshed)
    }
    if (this.#snapshot === undefined) throw this.#missing()
    return this.#snapshot
  }

  /** Waits for a refresh, at most as long as readers are made to wait. */
  async #waitFor(refreshed: Promise<void>): Promise<void> {
    const waiting = new AbortController()
    const timeout = this.#options.clock.sleep(this.#options.refreshWaitMs, waiting.signal).catch(() => undefined)
    await Promise.race([refreshed, timeout])
    waiting.abort()
  }

  #isStale(): boolean {
    return this.#snapshot === undefined || this.#options.clock.now() - this.#snapshot.listedAt > limits.freshSnapshotMs
  }

  #isPaused(): boolean {
    const pauseMs = Math.min(limits.refreshPauseMs, this.#options.refreshIntervalMs)
    return this.#failedAt !== undefined && this.#options.clock.now() - this.#failedAt < pauseMs
  }

  #missing(): ChartRepoError {
    const reason = this.#status.error ?? FIRST_CRAWL
    return new ChartRepoError('SNAPSHOT_MISSING', `There is no index yet: ${reason}`, {
      retryAfterMs: limits.refreshPauseMs,
    })
  }

  /** Resolves after a refresh that began at `since` or later, whatever became of it. */
  async #refreshSince(since: number): Promise<void> {
    if (this.#running !== undefined && this.#running.startedAt < since) await this.#running.done
    await this.#refresh()
  }

  /** Joins the refresh under way, or starts one. Never rejects. */
  #refresh(): Promise<void> {
    if (this.#running !== undefined) return this.#running.done
    const startedAt = this.#options.clock.now()
    const done = this.#refreshOnce().finally(() => {
      this.#running = undefined
    })
    this.#running = { startedAt, done }
    return done
  }

  async #refreshOnce(): Promise<void> {
    const { context, log } = this.#options
    const { signal } = this.#stopping
    if (signal.aborted) return
    try {
      // Not everything under way can be broken off at once; nobody waits for it once the server stops.
      const { listing, problems } = await untilAborted(crawl(context, this.#listing, signal), signal)
      this.#settle(listing, problems)
      const error = this.#snapshot === undefined ? describeProblems(problems) : undefined
      if (this.#status.error !== undefined && error === undefined) log.info('registry can be listed again')
      this.#status = { error, problems }
      this.#failedAt = undefined
    } catch (error) {
      if (signal.aborted) return
      if (!isChartRepoError(error))
        log.error('refresh failed by a fault of this program', { ...errorFields(error), stack: stackOf(error) })
      else if (this.#status.error !== describeError(error)) log.warn('registry cannot be listed', errorFields(error))
      this.#status = {
        error: isChartRepoError(error) ? describeError(error) : 'an internal fault; the log has it',
        problems: this.#status.problems,
      }
      this.#failedAt = this.#options.clock.now()
    }
  }

  /** Publishes a listing unless it is the first and what is missing from it may only be late. */
  #settle(listing: CatalogListing, problems: readonly Problem[]): void {
    const before = this.#listing
    this.#listing = listing
    if (this.#snapshot === undefined) {
      this.#firstRounds += 1
      const late = problems.filter(({ transient }) => transient)
      const wholeCatalogIsLate = late.some(({ repository }) => repository === '*')
      const nothingWasReadable = listing.repositories.size === 0 && late.length > 0
      if (wholeCatalogIsLate || nothingWasReadable) return
      if (late.length > 0 && this.#firstRounds < limits.maxFirstCrawlRounds) return
    }
    const changed = this.#snapshot === undefined ? new Map(tagsOf(listing)) : findChanges(before, listing)
    this.#options.store.saveListing(listing.listedAt, changed)
    // A record may have come to be known for a tag that was listed before.
    const learnt = this.#options.context.records.size !== this.#publishedRecords
    if (changed.size > 0 || learnt || this.#snapshot === undefined) this.#publish(listing)
    else this.#snapshot = { ...this.#snapshot, listedAt: listing.listedAt }
  }

  #publish(listing: CatalogListing): void {
    this.#listing = listing
    const { records } = this.#options.context
    const snapshot = buildSnapshot(listing, records)
    this.#publishedRecords = records.size
    const { index, collisions } = snapshot
    const reported = this.#reportedCollisions
    const current = new Set<string>()
    this.#reportedCollisions = current
    for (const { file, repository, hiddenRepository } of collisions) {
      const key = `${file}
${hiddenRepository}`
      current.add(key)
      if (reported.has(key)) continue
      this.#options.log.warn('two repositories have the same chart version; the first in lexical order is listed', {
        file,
        listed: repository,
        hidden: hiddenRepository,
      })
    }
    if (this.#snapshot?.index.etag !== index.etag) {
      const { charts, versions, body } = index
      this.#options.log.info('index published', { charts, versions, bytes: body.size })
    }
    this.#snapshot = snapshot
  }

  async #runLoop(): Promise<void> {
    const { clock, refreshIntervalMs } = this.#options
    const { signal } = this.#stopping
    for (let round = 0; !signal.aborted; round++) {
      const startedAt = clock.now()
      await this.#refresh()
      // Before there is anything to serve, tries come sooner: 1, 2, 4 … seconds.
      const interval = this.#snapshot === undefined ? Math.min(1000 * 2 ** round, refreshIntervalMs) : refreshIntervalMs
      const wait = Math.max(0, startedAt + interval - clock.now())
      await clock.sleep(wait, signal).catch(() => undefined)
    }
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

function describeProblems(problems: readonly Problem[]): string | undefined {
  const first = problems.find(({ transient }) => transient)
  return first && `${problems.length} parts of the registry cannot be read yet; ${first.repository}: ${first.reason}`
}

function stackOf(error: unknown): string | undefined {
  return error instanceof Error ? error.stack : undefined
}
