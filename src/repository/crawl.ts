/**
 * One pass over the registry: lists its repositories, passes over each, and hands back the next listing.
 *
 * Invariant: what cannot be read keeps the state it had. Only the registry's own word makes something disappear.
 */

import { ChartRepoError } from '../errors.ts'
import { compareText } from '../helm/version.ts'
import { forEachConcurrently } from '../lib/limiter.ts'
import { limits } from '../limits.ts'
import type { RepositoryLister } from '../oci/ports.ts'
import type { CatalogListing, Problem, RepositoryListing } from './catalog.ts'
import { crawlRepository, type PassContext } from './repository-pass.ts'

export interface CrawlResult {
  readonly listing: CatalogListing
  readonly problems: readonly Problem[]
}

export interface CrawlContext extends PassContext {
  readonly registry: PassContext['registry'] & RepositoryLister
}

/** The place of problems with the list of repositories itself; no repository can be called so. */
const CATALOG = '*'

/**
 * The listing after `previous`.
 * @throws when the repositories cannot be listed, or the tags of none of them.
 */
export async function crawl(
  context: CrawlContext,
  previous: CatalogListing | undefined,
  signal?: AbortSignal,
): Promise<CrawlResult> {
  const { registry, clock, failures } = context
  const listedAt = clock.now()
  const { names, incomplete } = await registry.listRepositories({ signal })
  const before: ReadonlyMap<string, RepositoryListing> = previous?.repositories ?? new Map()
  const problems: Problem[] = []
  if (incomplete === undefined) failures.clear({ repository: CATALOG })
  else problems.push(failures.note({ repository: CATALOG }, incomplete))
  // After a listing that broke off, a repository that was not named may still be there.
  const inView = new Set(incomplete === undefined ? names : [...names, ...before.keys()])
  const after = new Map<string, RepositoryListing>()
  const outages: Problem[] = []
  await forEachConcurrently(inView, limits.maxUpstreamRequests, async (repository) => {
    const pass = await crawlRepository(context, { repository, before: before.get(repository), now: listedAt, signal })
    problems.push(...pass.problems)
    if (pass.failure?.transient === true) outages.push(pass.failure)
    if (pass.listing !== undefined) after.set(repository, pass.listing)
  })
  // A list of repositories may be had without asking the registry: nothing was listed when no tags could be.
  const [outage] = outages
  if (outage !== undefined && outages.length === inView.size) {
    // It is the registry that is away: none of its repositories is to be left alone once it is back.
    failures.endPauses()
    throw new ChartRepoError('UPSTREAM_UNAVAILABLE', outage.reason, { retryable: true })
  }
  failures.retainRepositories(new Set([CATALOG, ...inView]))
  const repositories = new Map([...after].sort(([a], [b]) => compareText(a, b)))
  return { listing: { listedAt, repositories }, problems }
}
