/**
 * One pass over the registry: lists its repositories, passes over each, and hands back the next listing.
 *
 * Invariant: what cannot be read keeps the state it had. Only the registry's own word makes something disappear.
 */

import { ChartRepoError } from '../errors.ts'
import { compareText } from '../lib/compare-text.ts'
import { forEachConcurrently, Limiter } from '../lib/limiter.ts'
import { limits } from '../limits.ts'
import type { BlobReader, ManifestReader, RepositoryLister, TagLister } from '../oci/ports.ts'
import { CATALOG_PLACE, type CatalogListing, type Problem, type RepositoryListing } from './catalog.ts'
import type { Progress } from './progress.ts'
import { crawlRepository, type PassContext } from './repository-pass.ts'

export interface CrawlResult {
  readonly listing: CatalogListing
  readonly problems: readonly Problem[]
}

/** All that is asked of a registry to find the charts in it. */
export interface CrawledRegistry extends RepositoryLister, TagLister, ManifestReader, Pick<BlobReader, 'readBlob'> {}

export interface CrawlContext extends PassContext {
  readonly registry: Pick<CrawledRegistry, 'listRepositories' | 'listTags' | 'digestsAtHand' | 'resolveTag'>
}

export interface CrawlOptions {
  /** undefined for a first crawl. */
  readonly previous: CatalogListing | undefined
  readonly progress: Progress
  /** Called as repositories are done with what there is of the next listing so far. */
  readonly onPart?: ((part: CatalogListing) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * The listing after `previous`.
 * @throws when the repositories cannot be listed, or the tags of none of them.
 */
export async function crawl(
  context: CrawlContext,
  { previous, progress, onPart, signal }: CrawlOptions,
): Promise<CrawlResult> {
  const { registry, clock, failures } = context
  const listedAt = clock.now()
  const { names, incomplete } = await registry.listRepositories({ signal })
  const before: ReadonlyMap<string, RepositoryListing> = previous?.repositories ?? new Map()
  const problems: Problem[] = []
  if (incomplete === undefined) failures.clear({ repository: CATALOG_PLACE })
  else problems.push(failures.note({ repository: CATALOG_PLACE }, incomplete))
  // After a listing that broke off, a repository that was not named may still be there.
  const inView = new Set(incomplete === undefined ? names : [...names, ...before.keys()])
  const after = new Map<string, RepositoryListing>()
  const unlisted: Problem[] = []
  const pools = {
    lists: new Limiter(limits.maxListsAtOnce),
    repositories: new Limiter(limits.maxRepositoriesRead),
    tags: new Limiter(limits.maxTagsAtOnce),
  }
  progress.expectRepositories(inView.size)
  await forEachConcurrently(inView, limits.maxRepositoriesAtOnce, async (repository) => {
    const pass = await crawlRepository(context, {
      repository,
      before: before.get(repository),
      now: listedAt,
      pools,
      progress,
      signal,
    })
    problems.push(...pass.problems)
    if (pass.failure !== undefined) unlisted.push(pass.failure)
    if (pass.listing === undefined) return
    after.set(repository, pass.listing)
    onPart?.({ listedAt, repositories: after })
  })
  // A list of repositories may be had without asking the registry: nothing was listed when no tags could be.
  const [first] = unlisted
  if (first !== undefined && unlisted.length === inView.size) {
    // It is the registry that is away: none of its repositories is to be left alone once it is back.
    failures.endPauses()
    const code = first.transient ? 'UPSTREAM_UNAVAILABLE' : 'UPSTREAM_DENIED'
    throw new ChartRepoError(code, first.reason, { retryable: first.transient })
  }
  failures.retainRepositories(new Set([CATALOG_PLACE, ...inView]))
  const repositories = new Map([...after].sort(([a], [b]) => compareText(a, b)))
  return { listing: { listedAt, repositories }, problems }
}
