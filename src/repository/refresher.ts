/**
 * Keeps the snapshot fresh: one refresh at a time, shared by everybody who waits for it. An outage leaves the last good
 * snapshot in place, with its age.
 */

import { ChartRepoError } from '../errors.ts'
import type { Clock } from '../lib/clock.ts'
import { untilAborted } from '../lib/until-aborted.ts'
import { limits } from '../limits.ts'
import type { Digest } from '../oci/digest.ts'
import { errorFields, type Log } from '../telemetry/log.ts'
import { type CatalogListing, describeProblems, type Problem } from './catalog.ts'
import { type CrawlContext, type CrawlResult, crawl } from './crawl.ts'
import { News } from './news.ts'
import { describeProgress, Progress, type ProgressReport } from './progress.ts'
import type { Publisher } from './publisher.ts'
import { RefreshOutcome } from './refresh-outcome.ts'
import type { Snapshot } from './snapshot.ts'

export interface RefresherOptions {
  readonly context: CrawlContext
  readonly publisher: Publisher
  readonly refreshIntervalMs: number
  /** What a reader waits at most for a refresh. */
  readonly refreshWaitMs: number
  /** The last listing of the run before, published at once. */
  readonly initial: CatalogListing | undefined
  readonly clock: Clock
  readonly log: Log
}

export interface RefreshStatus {
  /** Why the last refresh failed, or why there is nothing to serve although it did not. */
  readonly error: string | undefined
  /** What the last refresh could not read. */
  readonly problems: readonly Problem[]
  /** Of the refresh under way. */
  readonly progress: ProgressReport | undefined
}

/** A refresh that takes this many intervals is reported as a fault. */
const OVERDUE_INTERVALS = 3
const FIRST_CRAWL = 'the first crawl of the registry is under way'

export class Refresher {
  readonly #options: RefresherOptions
  readonly #stopping = new AbortController()
  readonly #outcome: RefreshOutcome
  #soon: Promise<void> | undefined
  #restoring: Promise<void> | undefined
  #progress: Progress | undefined
  #running: { readonly startedAt: number; readonly done: Promise<void> } | undefined
  #loop: Promise<void> | undefined
  readonly #news: News
  #nudge = new AbortController()

  constructor(options: RefresherOptions) {
    this.#options = options
    this.#outcome = new RefreshOutcome(options.log)
    const { examiner, records } = options.context
    this.#news = new News({
      examiner,
      records,
      handOn: (changes) => {
        options.publisher.tell(changes)
        this.#nudge.abort()
      },
      signal: this.#stopping.signal,
      log: options.log,
    })
  }

  /** What is served. */
  get snapshot(): Snapshot | undefined {
    const { publisher } = this.#options
    return publisher.snapshot ?? publisher.part
  }

  get status(): RefreshStatus {
    const { error, problems } = this.#outcome
    const seconds = Math.floor(
      (this.#options.clock.now() - (this.#running?.startedAt ?? Number.POSITIVE_INFINITY)) / 1000,
    )
    // The rest between two indexes is none of the registry's doing.
    const isOverdue =
      this.#progress !== undefined &&
      this.#options.publisher.snapshot !== undefined &&
      seconds * 1000 > OVERDUE_INTERVALS * this.#options.refreshIntervalMs
    return {
      error: error ?? (isOverdue ? `a refresh has been under way for ${seconds} s` : undefined),
      problems,
      progress: this.#progress?.report,
    }
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
    await this.#news.settled
  }

  /** What was pushed and deleted a moment ago; undefined for tags that are gone. Whoever asks from here on sees it. */
  tell(repository: string, tags: ReadonlyMap<string, Digest | undefined>): void {
    this.#news.tell(repository, tags)
  }

  /** Resolves when the snapshot has all that was told before; undefined when it does. */
  get settled(): Promise<void> | undefined {
    return this.#news.settled
  }

  /**
   * The snapshot with everything in it that was pushed two seconds before this call, if that can be had within the
   * refresh wait; else the newest there is. Where pushes are told that is the newest, and has them all: only what other
   * tools have written is looked for behind it.
   * @throws SNAPSHOT_MISSING when there is none yet.
   */
  async fresh(): Promise<Snapshot> {
    const { publisher } = this.#options
    // Not as long as for a refresh at most: there is an index, and it would be wrong to say that there is none.
    await this.#restore()
    await this.#news.settled
    if (publisher.snapshot === undefined) {
      // The rounds of a first crawl keep their distance; readers start none but the very first.
      if (this.#running !== undefined || publisher.rounds === 0) await this.#waitFor(this.#refresh())
    } else if (publisher.amends) {
      // Nobody waits for news where news are told.
      if (!this.#isPaused()) this.#refreshSoon(publisher.snapshot)
    } else if (this.#isStale() && !this.#isPaused() && !this.#isResting()) {
      // In an outage nobody is made to wait for what is likely to fail again.
      if (this.#outcome.error === undefined) await this.#waitFor(this.#refreshFresh())
      else void this.#refreshFresh()
    }
    const { snapshot } = this
    if (snapshot === undefined) throw this.#missing()
    return snapshot
  }

  /** Waits for a refresh, at most as long as readers are made to wait. */
  async #waitFor(refreshed: Promise<void>): Promise<void> {
    const waiting = new AbortController()
    const timeout = this.#options.clock.sleep(this.#options.refreshWaitMs, waiting.signal).catch(() => undefined)
    await Promise.race([refreshed, timeout])
    waiting.abort()
  }

  #isStale(): boolean {
    const { clock, publisher } = this.#options
    if (publisher.snapshot === undefined) return true
    const age = clock.now() - publisher.snapshot.listedAt
    // A listing of the future was made before the clock was set back.
    return age > limits.freshSnapshotMs || age < 0
  }

  /** What is new is known already, and waits for its time: another crawl would find no more that can be served. */
  #isResting(): boolean {
    const { publisher } = this.#options
    return publisher.isBehind && publisher.restMs > 0
  }

  /** After a failure: the next refresh is unlikely to fare better. */
  #isPaused(): boolean {
    const pauseMs = Math.min(limits.refreshPauseMs, this.#options.refreshIntervalMs)
    return this.#outcome.hasFailedWithin(pauseMs, this.#options.clock.now())
  }

  #missing(): ChartRepoError {
    const progress = this.#progress && describeProgress(this.#progress.report)
    const reason = this.#outcome.error ?? (progress === undefined ? FIRST_CRAWL : `${FIRST_CRAWL}: ${progress}`)
    const message = `There is no index yet: ${reason}`
    return new ChartRepoError('SNAPSHOT_MISSING', message, { retryAfterMs: limits.refreshPauseMs })
  }

  /** Resolves after a refresh that began two seconds before this call or later, whatever became of it. */
  async #refreshFresh(): Promise<void> {
    const since = this.#options.clock.now() - limits.freshSnapshotMs
    if (this.#running !== undefined && this.#running.startedAt < since) await this.#running.done
    await this.#refresh()
  }

  /** For readers who do not wait: once the snapshot is old, and they have their answer, which would come later beside it. */
  #refreshSoon({ listedAt }: Snapshot): void {
    const { clock } = this.#options
    const delayMs = Math.max(limits.refreshDelayMs, limits.freshSnapshotMs - Math.abs(clock.now() - listedAt))
    this.#soon ??= clock
      .sleep(delayMs, this.#stopping.signal)
      .then(
        () => this.#refreshFresh(),
        () => undefined,
      )
      .finally(() => {
        this.#soon = undefined
      })
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
    const { publisher } = this.#options
    const { signal } = this.#stopping
    if (signal.aborted) return
    try {
      const { listing, problems } = await this.#crawl(signal)
      await publisher.accept(listing, problems, signal)
      this.#outcome.noteEnd(problems, publisher.snapshot === undefined ? describeProblems(problems) : undefined)
    } catch (error) {
      if (!signal.aborted) this.#outcome.noteFailure(error, this.#options.clock.now())
    }
  }

  async #crawl(signal: AbortSignal): Promise<CrawlResult> {
    const { context, publisher, clock, log } = this.#options
    const progress = new Progress(clock)
    const done = new AbortController()
    this.#progress = progress
    const logging = progress.logUntil(done.signal, log)
    try {
      const onPart = (part: CatalogListing) => publisher.offerPart(part, signal)
      const result = crawl(context, { previous: publisher.beginCrawl(), progress, onPart, signal })
      // Not everything under way can be broken off at once; nobody waits for it once the server stops.
      return await untilAborted(result, signal)
    } finally {
      done.abort()
      await logging
      this.#progress = undefined
    }
  }

  async #makeWhole(): Promise<void> {
    const { publisher, log } = this.#options
    const { signal } = this.#stopping
    try {
      await publisher.makeWhole(signal)
    } catch (error) {
      // What is shown is shown on; it is tried again with the next round.
      if (!signal.aborted) log.error('the index cannot be made as a whole', errorFields(error))
    }
  }

  /** Publishes what the run before has left, once; whoever asks in the meantime waits. */
  #restore(): Promise<void> {
    const { publisher, initial, log } = this.#options
    const { signal } = this.#stopping
    const restore = async () => {
      try {
        if (initial !== undefined) await publisher.restore(initial, signal)
      } catch (error) {
        // The crawl behind it finds the same or better.
        if (!signal.aborted) log.error('the index of the last run cannot be made', errorFields(error))
      }
    }
    this.#restoring ??= restore()
    return this.#restoring
  }

  async #runLoop(): Promise<void> {
    const { clock, publisher, refreshIntervalMs } = this.#options
    const { signal } = this.#stopping
    await this.#restore()
    for (let round = 0; !signal.aborted; round++) {
      const startedAt = clock.now()
      await this.#refresh()
      await this.#makeWhole()
      // Before there is anything to serve, tries come sooner: 1, 2, 4 … seconds.
      const interval =
        publisher.snapshot === undefined ? Math.min(1000 * 2 ** round, refreshIntervalMs) : refreshIntervalMs
      await this.#sleepUntil(startedAt + interval, interval)
    }
  }

  /** Until then, or until what is known and not published as it should be may be. */
  async #sleepUntil(due: number, longestMs: number): Promise<void> {
    const { clock, publisher } = this.#options
    const { signal } = this.#stopping
    let dueAt = due
    for (;;) {
      // What waits for a rest to end is listed anew then, so that it is published as it is by that time.
      if (publisher.isBehind) dueAt = Math.min(dueAt, clock.now() + Math.max(limits.amendedRestMs, publisher.restMs))
      this.#nudge = new AbortController()
      const waits = AbortSignal.any([signal, this.#nudge.signal])
      // The clock may have been set back meanwhile.
      await clock.sleep(Math.min(longestMs, Math.max(0, dueAt - clock.now())), waits).catch(() => undefined)
      if (signal.aborted || !waits.aborted) return
    }
  }
}
