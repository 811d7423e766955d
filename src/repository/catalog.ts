/**
 * What is known of the registry: an immutable listing (which tags point where) and the records of manifest digests,
 * which only ever grow because what a digest means never changes.
 */

import type { ChartRecord, ManifestRecord } from '../helm/chart-record.ts'
import type { Digest } from '../oci/digest.ts'

/** Tags of one repository; null where the name of the tag alone says that it is no chart. */
export type Tags = ReadonlyMap<string, Digest | null>

export interface RepositoryListing {
  readonly tags: Tags
  /** When the tags that were due were last re-checked, in milliseconds since the epoch. */
  readonly checkedAt: number
}

export interface CatalogListing {
  /** When the listing began: what was pushed before is in it. Milliseconds since the epoch. */
  readonly listedAt: number
  readonly repositories: ReadonlyMap<string, RepositoryListing>
}

const NO_TAGS: Tags = new Map()

/** None where the listing does not have the repository. */
export function tagsIn(listing: CatalogListing | undefined, repository: string): Tags {
  return listing?.repositories.get(repository)?.tags ?? NO_TAGS
}

export type Records = ReadonlyMap<Digest, ManifestRecord>

/** Where problems with the list of repositories itself are; no repository can be called so. */
export const CATALOG_PLACE = '*'

/** Something in the registry that could not be read, and is tried again. */
export interface Problem {
  readonly repository: string
  readonly tag?: string
  /** For people; no credential, no query string. */
  readonly reason: string
  /** Likely to pass by itself: an outage rather than a fault of the content. */
  readonly transient: boolean
}

export function findChart(records: Records, digest: Digest | null): ChartRecord | undefined {
  const record = digest === null ? undefined : records.get(digest)
  return record?.kind === 'chart' ? record : undefined
}

/** What is only late, in one line; undefined when nothing is. */
export function describeProblems(problems: readonly Problem[]): string | undefined {
  const late = problems.filter(({ transient }) => transient)
  const [first] = late
  return first && `${late.length} parts of the registry cannot be read yet; ${first.repository}: ${first.reason}`
}
