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

export interface PassContext {
  readonly registry: TagLister & Pick<ManifestReader, 'resolveTag'>
  /** What is known of digests. */
  readonly records: Records
  readonly examiner: Examiner
  readonly failures: Failures
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
  /** Shared by all repositories of a crawl: tags that are read at the same time. */
  readonly tagPool: Limiter
  readonly signal?: AbortSignal | undefined
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
  const { repository, before, signal } = target
  const pending = failures.pending(repository)
  if (pending !== undefined) return { listing: before, problems: [pending], failure: pending }
  const watchdog = new Watchdog(`Nothing more of ${repository} was answered`, limits.repositoryStallMs)
  const calls = signal === undefined ? watchdog.signal : AbortSignal.any([signal, watchdog.signal])
  const problems: Problem[] = []
  try {
    const names = await watchdog.watch(() => listNames(context, { ...target, signal: calls }, problems))
    if (names === undefined) return { listing: undefined, problems }
    const tags = await readTags(context, { ...target, signal: calls }, names, problems, watchdog)
    if (signal?.aborted === true) throw signal.reason
    // What was due and broken off is due again.
    const checkedAt = watchdog.signal.aborted ? (before?.checkedAt ?? target.now) : target.now
    return { listing: { tags, checkedAt }, problems }
  } catch (error) {
    if (signal?.aborted === true) throw error
    const failure = failures.note({ repository }, error)
    return { listing: before, problems: [failure], failure }
  }
}

/** The tags to look at; undefined when the repository is gone. */
async function listNames(
  { registry, failures }: PassContext,
  { repository, before, signal }: PassTarget,
  problems: Problem[],
): Promise<ReadonlySet<string> | undefined> {
  const listed = await registry.listTags(repository, { signal })
  if (listed?.incomplete === undefined) failures.clear({ repository })
  else problems.push(failures.note({ repository }, listed.incomplete))
  if (listed === undefined) return undefined
  // As with repositories: after a list that broke off, nothing follows from the absence of a tag.
  const kept = listed.incomplete === undefined ? [] : (before?.tags.keys() ?? [])
  const names = new Set([...listed.names, ...kept])
  failures.retainTags(repository, names)
  return names
}

async function readTags(
  context: PassContext,
  target: PassTarget,
  names: ReadonlySet<string>,
  problems: Problem[],
  watchdog: Watchdog,
): Promise<Tags> {
  const { failures } = context
  const { repository, before, signal } = target
  const tags = new Map<string, Digest | null>()
  await forEachConcurrently(names, limits.maxTagsAtOnce, async (tag) => {
    const known = before?.tags.get(tag)
    const keep = () => void (known !== undefined && tags.set(tag, known))
    const pending = failures.pending(repository, tag)
    if (pending !== undefined) problems.push(pending)
    if (pending !== undefined || (known !== undefined && !isDue(context, target, tag))) return keep()
    await target.tagPool.run(async () => {
      // Given up while it waited for its turn, which says nothing of this tag.
      if (signal?.aborted === true) return keep()
      try {
        const digest = await watchdog.watch(() => readTag(context, target, tag))
        if (digest !== undefined) tags.set(tag, digest)
        failures.clear({ repository, tag })
      } catch (error) {
        keep()
        if (!isStopping(signal, watchdog)) problems.push(failures.note({ repository, tag }, error))
      }
    })
  })
  return tags
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
