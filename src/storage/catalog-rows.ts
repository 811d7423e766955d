/** Between the rows of the catalog's tables and what they stand for. */

import type { Database } from 'bun:sqlite'
import type { ChartRecord, LayerRecord, ManifestRecord } from '../helm/chart-record.ts'
import { tryParseVersion } from '../helm/version.ts'
import { type Digest, isDigest } from '../oci/digest.ts'

/** Tags of one repository; null where the tag's name alone said that it is no chart. */
export type StoredTags = ReadonlyMap<string, Digest | null>

export interface StoredCatalog {
  /** When the last published listing began, in milliseconds since the epoch; undefined before the first. */
  readonly listedAt: number | undefined
  readonly repositories: ReadonlyMap<string, StoredTags>
  /** Belongs to the caller. */
  readonly records: Map<Digest, ManifestRecord>
}

export interface RecordRow {
  readonly digest: string
  readonly skip_reason: string | null
  readonly name: string | null
  readonly version: string | null
  readonly created: string | null
  readonly chart_digest: string | null
  readonly chart_size: number | null
  readonly provenance_digest: string | null
  readonly provenance_size: number | null
  /** null for the digest itself. */
  readonly manifest: string | null
}

interface TagRow {
  readonly repository: string
  readonly tag: string
  readonly digest: string | null
}

/** Everything but the texts of index entries. What is not whole is left out: it is fetched again. */
export function readCatalog(db: Database): StoredCatalog {
  const records = new Map<Digest, ManifestRecord>()
  // The same few texts in many rows: names, and versions that are tags.
  const texts = new Map<string, string>()
  const share: Share = (text) => {
    const known = texts.get(text)
    if (known === undefined) texts.set(text, text)
    return known ?? text
  }
  // One by one is as quick as all at once, and takes no memory for those that were read.
  for (const row of db.query<RecordRow, []>('SELECT * FROM record').iterate()) {
    const { digest } = row
    if (!isDigest(digest)) continue
    const record = fromRow(row, digest, share)
    if (record !== undefined) records.set(digest, record)
  }
  const repositories = new Map<string, Map<string, Digest | null>>()
  let isWhole = true
  for (const { repository, tag, digest } of db.query<TagRow, []>('SELECT * FROM tag').iterate()) {
    const stored = repositories.get(repository) ?? new Map<string, Digest | null>()
    repositories.set(repository, stored)
    if (digest !== null && !isDigest(digest)) continue
    const record = digest === null ? undefined : records.get(digest)
    if (digest !== null && record === undefined) isWhole = false
    // Of the two texts of a digest the record's own is kept.
    const isOwn = record?.kind === 'chart' && record.manifest === digest
    stored.set(share(tag), isOwn ? record.manifest : digest)
  }
  const listing = db.query<{ listed_at: number }, []>('SELECT listed_at FROM listing').get()
  // Without the meaning of one of its tags a listing is not what was published; the records spare most of the crawl.
  if (!isWhole || listing === null) return { listedAt: undefined, repositories: new Map(), records }
  return { listedAt: listing.listed_at, repositories, records }
}

export function toRow(digest: Digest, record: ManifestRecord): Record<keyof RecordRow, string | number | null> {
  const chart: Partial<ChartRecord> = record.kind === 'chart' ? record : {}
  return {
    digest,
    skip_reason: record.kind === 'skipped' ? record.reason : null,
    name: chart.name ?? null,
    version: chart.version ?? null,
    created: chart.created ?? null,
    chart_digest: chart.chart?.digest ?? null,
    chart_size: chart.chart?.size ?? null,
    provenance_digest: chart.provenance?.digest ?? null,
    provenance_size: chart.provenance?.size ?? null,
    manifest: chart.manifest === digest ? null : (chart.manifest ?? null),
  }
}

/** One text for all that are equal. */
type Share = (text: string) => string

function fromRow(row: RecordRow, digest: Digest, share: Share): ManifestRecord | undefined {
  if (row.skip_reason !== null) return { kind: 'skipped', reason: row.skip_reason }
  const chart = toLayer(row.chart_digest, row.chart_size)
  const { name, version, manifest } = row
  if (name === null || version === null || chart === undefined) return undefined
  if (manifest !== null && !isDigest(manifest)) return undefined
  if (tryParseVersion(version) === undefined) return undefined
  return {
    kind: 'chart',
    name: share(name),
    version: share(version),
    created: row.created ?? undefined,
    chart,
    provenance: toLayer(row.provenance_digest, row.provenance_size),
    manifest: manifest ?? digest,
  }
}

function toLayer(digest: string | null, size: number | null): LayerRecord | undefined {
  return digest !== null && size !== null && isDigest(digest) ? { digest, size } : undefined
}
