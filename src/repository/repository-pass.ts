/**
 * The pass over one repository: its tags are listed, new ones looked into, and known ones re-checked when they are due,
 * so that cost grows with repositories and with news, not with tags.
 */

import { type ManifestRecord, skipped } from '../helm/chart-record.ts'
import { tryParseVersion } from '../helm/version.ts'
import type { Clock } from '../lib/clock.ts'
import { forEachConcurrently, type Limiter } from '../lib/limiter.ts'
import { Watchdog } from '../lib/watchdog.ts'
import { limits } from '../limits.ts'
import type { Digest } from '../oci/digest.ts'
import type { ManifestReader, TagLister } from '../oci/ports.ts'
import { isReferrerTag } from '../oci/reference.ts'
import type { Log } from '../telemetry/log.ts'
import type { Problem, Records, RepositoryListing, Tags } from './catalog.ts'
import type { Examiner } from './examiner.ts'
import type { Failures } from './failures.ts'
import type { Progress } from './progress.ts'

export interface PassContext {
  readonly registry: TagLister & Pick<ManifestReader, 'resolveTag'>
  /** What is known of digests. */
  readonly records: Records
  readonly examiner: Examiner
  readonly failures: Failures
  /** The digests that tags were made of, all of them: as long as the registry has the same there is nothing to do. */
  readonly passed: WeakMap<Tags, ReadonlyMap<string, Digest>>
  /** Each known tag is re-checked once per such interval, at its own moment within it. */
  readonly revalidateIntervalMs: number
  readonly clock: Clock
  readonly log: Log
}

export interface PassTarget {
  readonly repository: string
  readonly before: RepositoryListing | undefined
  /** When the listing began. */
  readonly now: number
  /** Shared by all repositories of a crawl. */
  readonly pools: PassPools
  readonly progress: Progress
  readonly signal?: AbortSignal | undefined
}

export interface PassPools {
  /** Repositories whose tags are listed at the same time: well before they are read, so that progress has a total. */
  readonly lists: Limiter
  /** Repositories whose tags are read at the same time. */
  readonly repositories: Limiter
  /** Tags that are read at the same time. */
  readonly tags: Limiter
}

export interface PassResult {
  /** undefined when the repository is gone, or has never been readable. */
  readonly listing: RepositoryListing | undefined
  readonly problems: readonly Problem[]
  /** Why the tags could not be listed at all. */
  readonly failure?: Problem
}

/**
 * The repository's next state. What hangs is given up when nothing of the repository has come to an end for a while, and
 * is then left alone for longer, so that it does not hold up the others; what was read by then counts.
 */
export async function crawlRepository(context: PassContext, target: PassTarget): Promise<PassResult> {
  const { failures } = context
  const { repository, before, signal, pools, progress } = target
  const pending = failures.pending(repository)
  if (pending !== undefined) {
    progress.noteListed()
    return { listing: before, problems: [pending], failure: pending }
  }
  if (before !== undefined && isUnchanged(context, repository, before)) {
    progress.noteListed()
    return { listing: { tags: before.tags, checkedAt: target.now }, problems: [] }
  }
  const watchdog = new Watchdog(`Nothing more of ${repository} was answered`, limits.repositoryStallMs)
  const calls = signal === undefined ? watchdog.signal : AbortSignal.any([signal, watchdog.signal])
  const problems: Problem[] = []
  try {
    const listed = await pools.lists
      .run(() => watchdog.watch(() => listNames(context, { ...target, signal: calls }, problems)))
      .finally(() => progress.noteListed())
    if (listed === undefined) return { listing: undefined, problems }
    const plan = planReading(context, target, listed, problems)
    progress.expectTags(plan.wanted.length)
    if (plan.wanted.length > 0) {
      await pools.repositories.run(() => readTags(context, { ...target, signal: calls }, plan, problems, watchdog))
    }
    if (signal?.aborted === true) throw signal.reason
    // What was due and broken off is due again.
    const checkedAt = watchdog.signal.aborted ? (before?.checkedAt ?? target.now) : target.now
    // What did not change stays the same object: whoever works on listings sees at once that nothing is new.
    const tags = before !== undefined && isSame(before.tags, plan.tags) ? before.tags : plan.tags
    if (listed.digests !== undefined && problems.length === 0) context.passed.set(tags, listed.digests)
    return { listing: { tags, checkedAt }, problems }
  } catch (error) {
    if (signal?.aborted === true) throw error
    const failure = failures.note({ repository }, error)
    return { listing: before, problems: [failure], failure }
  }
}

function isUnchanged({ registry, passed }: PassContext, repository: string, { tags }: RepositoryListing): boolean {
  const known = passed.get(tags)
  return known !== undefined && registry.digestsAtHand?.(repository) === known
}

/** The tags to look at; undefined when the repository is gone. */
async function listNames(
  { registry, failures }: PassContext,
  { repository, before, signal }: PassTarget,
  problems: Problem[],
): Promise<ListedTags | undefined> {
  const listed = await registry.listTags(repository, { signal })
  if (listed?.incomplete === undefined) failures.clear({ repository })
  else problems.push(failures.note({ repository }, listed.incomplete))
  if (listed === undefined) return undefined
  // As with repositories: after a list that broke off, nothing follows from the absence of a tag.
  const kept = listed.incomplete === undefined ? [] : (before?.tags.keys() ?? [])
  const names = new Set([...listed.names, ...kept])
  failures.retainTags(repository, names)
  return { names, digests: listed.digests }
}

interface ListedTags {
  readonly names: ReadonlySet<string>
  readonly digests: ReadonlyMap<string, Digest> | undefined
}

interface ReadingPlan {
  /** What is known without asking; what is read is added. */
  readonly tags: Map<string, Digest | null>
  /** New tags and those that are due for their re-check. */
  readonly wanted: readonly string[]
}

function planReading(
  context: PassContext,
  target: PassTarget,
  { names, digests }: ListedTags,
  problems: Problem[],
): ReadingPlan {
  const { repository, before } = target
  const { records, failures } = context
  const tags = new Map<string, Digest | null>()
  const wanted: string[] = []
  for (const tag of names) {
    const known = before?.tags.get(tag)
    const told = digests?.get(tag)
    // What a digest means may have been lost; then it is as good as new.
    const isKnown = known === null || (known !== undefined && records.has(known))
    if (told !== undefined && known !== null && records.has(told)) tags.set(tag, told)
    else if (isKnown) tags.set(tag, known)
    // Where the registry tells what tags point to, there is nothing to check again.
    const isCurrent =
      told === undefined ? isKnown && !isDue(context, target, tag) : known === null || tags.get(tag) === told
    const pending = failures.pending(repository, tag)
    if (pending !== undefined) problems.push(pending)
    else if (!isCurrent || failures.has(repository, tag)) wanted.push(tag)
  }
  return { tags, wanted }
}

/** Reads what is wanted into the plan's tags; what cannot be read stays as it was. */
async function readTags(
  context: PassContext,
  target: PassTarget,
  { tags, wanted }: ReadingPlan,
  problems: Problem[],
  watchdog: Watchdog,
): Promise<void> {
  const { failures } = context
  const { repository, signal, pools, progress } = target
  await forEachConcurrently(wanted, limits.maxTagsAtOnce, async (tag) => {
    await pools.tags.run(async () => {
      // Given up while it waited for its turn, which says nothing of this tag.
      if (signal?.aborted === true) return
      try {
        const digest = await watchdog.watch(() => readTag(context, target, tag))
        if (digest === undefined) tags.delete(tag)
        else tags.set(tag, digest)
        failures.clear({ repository, tag })
      } catch (error) {
        if (!isStopping(signal, watchdog)) problems.push(failures.note({ repository, tag }, error))
      } finally {
        progress.noteTag()
      }
    })
  })
}

function isSame(a: Tags, b: Tags): boolean {
  if (a.size !== b.size) return false
  for (const [tag, digest] of a) if (b.get(tag) !== digest) return false
  return true
}

/** Whether it is the crawl as a whole that ends, and not what hangs in this repository. */
function isStopping(signal: AbortSignal | undefined, watchdog: Watchdog): boolean {
  return signal?.aborted === true && !watchdog.signal.aborted
}

/** What the tag points to; null when its name says that it is no chart, undefined when it is gone. */
async function readTag(context: PassContext, target: PassTarget, tag: string): Promise<Digest | null | undefined> {
  const { registry, records, examiner } = context
  const { repository, before, signal } = target
  const known = before?.tags.get(tag)
  if (isReferrerTag(tag)) {
    if (known === undefined) logSkipped(context, repository, tag, skipped('its tag is that of a referrer'))
    return null
  }
  // A tag that is no version is most likely another name for a version that is known, or no chart at all.
  if (known !== undefined || tryParseVersion(tag.replaceAll('_', '+')) === undefined) {
    const digest = await registry.resolveTag(repository, tag, { signal })
    const record = digest && records.get(digest)
    if (digest !== undefined && record !== undefined) {
      if (digest !== known) logSkipped(context, repository, tag, record)
      return digest
    }
  }
  const examined = await examiner.examine(repository, tag, { signal })
  if (examined === undefined) return undefined
  if (examined.digest !== known) logSkipped(context, repository, tag, examined.record)
  return examined.digest
}

/** Says once of each tag that is no chart why it is none. */
function logSkipped({ log }: PassContext, repository: string, tag: string, record: ManifestRecord): void {
  if (record.kind === 'skipped') log.info('skipped, not a chart', { repository, tag, reason: record.reason })
}

/**
 * Whether the tag's moment within the interval has passed since the last check, or the last check failed. The moment is
 * the tag's own, so that checks are spread evenly without keeping a time for each tag.
 */
function isDue({ failures, revalidateIntervalMs: interval }: PassContext, target: PassTarget, tag: string): boolean {
  const { repository, before, now } = target
  if (failures.has(repository, tag)) return true
  const phase = Bun.hash.crc32(`${repository}:${tag}`) % interval
  return Math.floor((now + phase) / interval) > Math.floor(((before?.checkedAt ?? 0) + phase) / interval)
}
