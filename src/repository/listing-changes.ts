/** What is different between two listings, and what follows from it. */

import type { ManifestRecord } from '../helm/chart-record.ts'
import { TimeSlices } from '../lib/time-slices.ts'
import type { Digest } from '../oci/digest.ts'
import { type CatalogListing, type Records, type RepositoryListing, type Tags, tagsIn } from './catalog.ts'
import type { ListingChanges, TagChanges } from './ports.ts'

/** Costs nothing for repositories whose tags are the same object. */
export function findChanges(before: CatalogListing | undefined, after: CatalogListing): ListingChanges {
  const changes = new Map<string, TagChanges>()
  const compare = (repository: string, old: Tags, now: Tags) => {
    if (old === now) return
    const changed = new Map<string, Digest | null | undefined>()
    for (const [tag, digest] of now) if (old.get(tag) !== digest) changed.set(tag, digest)
    for (const tag of old.keys()) if (!now.has(tag)) changed.set(tag, undefined)
    if (changed.size > 0) changes.set(repository, changed)
  }
  for (const [repository, { tags }] of after.repositories) {
    compare(repository, tagsIn(before, repository), tags)
  }
  for (const [repository, { tags }] of before?.repositories ?? []) {
    if (!after.repositories.has(repository)) compare(repository, tags, tagsIn(after, repository))
  }
  return changes
}

/** The repositories whose tags are not the same object. */
export function findChangedRepositories(before: CatalogListing, after: CatalogListing): readonly string[] {
  if (before === after) return []
  const changed: string[] = []
  for (const [repository, { tags }] of after.repositories) {
    if (before.repositories.get(repository)?.tags !== tags) changed.push(repository)
  }
  for (const repository of before.repositories.keys()) if (!after.repositories.has(repository)) changed.push(repository)
  return changed
}

/** The listing with what somebody told of it since; the same object when that is nothing new. */
export function withChanges(listing: CatalogListing, changes: ListingChanges, now: number): CatalogListing {
  let repositories: Map<string, RepositoryListing> | undefined
  for (const [repository, changed] of changes) {
    const before = listing.repositories.get(repository)
    const tags = new Map(before?.tags)
    let isSame = true
    for (const [tag, digest] of changed) {
      if (digest === undefined ? tags.delete(tag) : tags.get(tag) !== digest) isSame = false
      if (digest !== undefined) tags.set(tag, digest)
    }
    if (isSame) continue
    repositories ??= new Map(listing.repositories)
    repositories.set(repository, { tags, checkedAt: before?.checkedAt ?? now })
  }
  return repositories === undefined ? listing : { ...listing, repositories }
}

export interface Unused {
  readonly records: ReadonlySet<Digest>
  /** Manifests whose index entries no record needs. */
  readonly entries: ReadonlySet<Digest>
}

/** What tags had before and none has now; without a listing before, whatever is known and no tag has. */
export async function findUnused(state: {
  readonly before: CatalogListing | undefined
  readonly after: CatalogListing
  readonly records: Records
}): Promise<Unused> {
  const { before, after, records } = state
  const slices = new TimeSlices()
  const unused = new Set<Digest>()
  if (before === undefined) for (const digest of records.keys()) unused.add(digest)
  else {
    for (const digest of digestsThatLeft(before, after)) {
      if (records.has(digest)) unused.add(digest)
      if (slices.isOver()) await slices.next()
    }
  }
  if (unused.size === 0) return { records: unused, entries: new Set() }
  for (const { tags } of after.repositories.values()) {
    for (const digest of tags.values()) if (digest !== null) unused.delete(digest)
    if (slices.isOver()) await slices.next()
  }
  const entries = new Set([...unused].flatMap((digest) => manifestOf(records.get(digest))))
  if (entries.size > 0) {
    for (const [digest, record] of records) {
      if (!unused.has(digest)) for (const manifest of manifestOf(record)) entries.delete(manifest)
      if (slices.isOver()) await slices.next()
    }
  }
  return { records: unused, entries }
}

function* digestsThatLeft(before: CatalogListing, after: CatalogListing): Generator<Digest> {
  for (const [repository, { tags }] of before.repositories) {
    const now = tagsIn(after, repository)
    if (now === tags) continue
    for (const [tag, digest] of tags) if (digest !== null && now.get(tag) !== digest) yield digest
  }
}

function manifestOf(record: ManifestRecord | undefined): readonly Digest[] {
  return record?.kind === 'chart' ? [record.manifest] : []
}

/** The listing without the tags whose digests mean nothing any more: they are read as if they were new. */
export function withoutUnknown(listing: CatalogListing, records: Records): CatalogListing {
  let isSame = true
  const repositories = new Map<string, RepositoryListing>()
  for (const [name, state] of listing.repositories) {
    const tags = [...state.tags].filter(([, digest]) => digest === null || records.has(digest))
    if (tags.length < state.tags.size) isSame = false
    repositories.set(name, tags.length === state.tags.size ? state : { ...state, tags: new Map(tags) })
  }
  return isSame ? listing : { ...listing, repositories }
}
