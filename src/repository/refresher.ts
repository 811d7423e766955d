/**
 * Keeps the snapshot fresh: one refresh at a time, shared by everybody who waits for it. An outage leaves the last good
 * snapshot in place, with its age.
 */

import { ChartRepoError, describeError, isChartRepoError } from '../errors.ts'
import type { Clock } from '../lib/clock.ts'
import { untilAborted } from '../lib/until-aborted.ts'
import { limits } from '../limits.ts'
import { errorFields, type Log } from '../telemetry/log.ts'
import type { CatalogListing, Problem } from './catalog.ts'
import { type CrawlContext, crawl } from './crawl.ts'
import type { CatalogStore } from './ports.ts'
import { Publisher } from './publisher.ts'
import type { Snapshot } from './snapshot.ts'

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
  readonly #publisher: Publisher
  #status: RefreshStatus = { error: undefined, problems: [] }
  #running: { readonly startedAt: number; readonly done: Promise<void> } | undefined
  #failedAt: number | undefined
  #loop: Promise<void> | undefined

  constructor(options: RefresherOptions) {
    this.#options = options
    const { context, store, initial, log } = options
    this.#publisher = new Publisher({ records: context.records, store, initial, log })
  }

  get snapshot(): Snapshot | undefined {
    return this.#publisher.snapshot
  }

  get status(): RefreshStatus {
    const { error, problems } = this.#status
    const seconds = Math.floor(
      (this.#options.clock.now() - (this.#running?.startedAt ?? Number.POSITIVE_INFINITY)) / 1000,
    )
    const isOverdue =
      this.snapshot !== undefined && seconds * 1000 > OVERDUE_INTERVALS * this.#options.refreshIntervalMs
    return { error: error ?? (isOverdue ? `a refresh has been under way for ${seconds} s` : undefined), problems }
  }

  /** Seconds since the listing behind the snapshot began. */
  get snapshotAgeSeconds(): number | undefined {
    if (this.snapshot === undefined) return undefined
    return Math.max(0, Math.floor((this.#options.clock.now() - this.snapshot.listedAt) / 1000))
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
   * The snapshot with everything in it that was pushed two seconds before this call, if that can be had within the
   * refresh wait; else the newest there is.
   * @throws SNAPSHOT_MISSING when there is none yet.
   */
  async fresh(): Promise<Snapshot> {
    if (this.snapshot === undefined) {
      // The rounds of a first crawl keep their distance; readers start none but the very first.
      if (this.#running !== undefined || this.#publisher.rounds === 0) await this.#waitFor(this.#refresh())
    } else if (this.#isStale() && !this.#isPaused()) {
      const refreshed = this.#refreshSince(this.#options.clock.now() - limits.freshSnapshotMs)
      // In an outage nobody is made to wait for what is likely to fail again.
      if (this.#status.error === undefined) await this.#waitFor(refreshed)
    }
    if (this.snapshot === undefined) throw this.#missing()
    return this.snapshot
  }

  /** Waits for a refresh, at most as long as readers are made to wait. */
  async #waitFor(refreshed: Promise<void>): Promise<void> {
    const waiting = new AbortController()
    const timeout = this.#options.clock.sleep(this.#options.refreshWaitMs, waiting.signal).catch(() => undefined)
    await Promise.race([refreshed, timeout])
    waiting.abort()
  }

  #isStale(): boolean {
    return this.snapshot === undefined || this.#options.clock.now() - this.snapshot.listedAt > limits.freshSnapshotMs
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
      const { listing, problems } = await untilAborted(crawl(context, this.#publisher.listing, signal), signal)
      this.#publisher.accept(listing, problems)
      const error = this.snapshot === undefined ? describeProblems(problems) : undefined
      if (this.#failedAt !== undefined) log.info('registry can be listed again')
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

  async #runLoop(): Promise<void> {
    const { clock, refreshIntervalMs } = this.#options
    const { signal } = this.#stopping
    for (let round = 0; !signal.aborted; round++) {
      const startedAt = clock.now()
      await this.#refresh()
      // Before there is anything to serve, tries come sooner: 1, 2, 4 … seconds.
      const interval = this.snapshot === undefined ? Math.min(1000 * 2 ** round, refreshIntervalMs) : refreshIntervalMs
      const wait = Math.max(0, startedAt + interval - clock.now())
      await clock.sleep(wait, signal).catch(() => undefined)
    }
  }
}

function describeProblems(problems: readonly Problem[]): string | undefined {
  const late = problems.filter(({ transient }) => transient)
  const [first] = late
  return first && `${late.length} parts of the registry cannot be read yet; ${first.repository}: ${first.reason}`
}

function stackOf(error: unknown): string | undefined {
  return error instanceof Error ? error.stack : undefined
}
