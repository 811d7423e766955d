/** Listings for tests, written down as tables of tags, with the records and entries they stand for. */
import { type ManifestRecord, makeChartRecord } from '../../src/helm/chart-record.ts'
import type { IndexEntry } from '../../src/helm/index-entry.ts'
import { type Digest, digestBytes } from '../../src/oci/digest.ts'
import type { CatalogListing, RepositoryListing } from '../../src/repository/catalog.ts'
import type { CatalogStore } from '../../src/repository/ports.ts'
import { chartManifest } from '../helm/chart-content.ts'

/** `content` is what tells two packages of one version apart. */
export type TagRow = readonly [tag: string, name: string, version: string, content?: string]

/** `repository: [tag, name, version, content?]` */
export type TagTable = Readonly<Record<string, readonly TagRow[]>>

/** The manifest digest of a chart of a table. */
export function manifestOf(name: string, version: string, content = `${name} ${version}`): Digest {
  return digestBytes(Buffer.from(JSON.stringify([name, version, content])))
}

export class ListingContent {
  readonly records = new Map<Digest, ManifestRecord>()
  readonly #store: Pick<CatalogStore, 'saveRecord'>

  /** The store gets each record and its entry, as it does from whoever looks into a manifest. */
  constructor(store: Pick<CatalogStore, 'saveRecord'>) {
    this.#store = store
  }

  /** The listing of a table; what is new in it becomes a record. */
  list(table: TagTable, listedAt = 0): CatalogListing {
    const repositories = Object.entries(table).map(([repository, rows]): [string, RepositoryListing] => {
      const tags = rows.map((row) => [row[0], this.#add(row)] as const)
      return [repository, { tags: new Map(tags), checkedAt: listedAt }]
    })
    return { listedAt, repositories: new Map(repositories) }
  }

  /** A manifest that is no chart. */
  addSkipped(text: string): Digest {
    const digest = digestBytes(Buffer.from(text))
    this.#keep(digest, { kind: 'skipped', reason: text })
    return digest
  }

  /** An image index whose chart is `child`, which was looked into before it. */
  addIndexOf(child: Digest, text: string): Digest {
    const record = this.records.get(child)
    if (record === undefined) throw new TypeError(`${child} is not known`)
    const digest = digestBytes(Buffer.from(`index ${text}`))
    this.#keep(digest, record)
    return digest
  }

  #add([, name, version, content = `${name} ${version}`]: TagRow): Digest {
    const digest = manifestOf(name, version, content)
    if (this.records.has(digest)) return digest
    // Some time in 2026, for ever the same.
    const created = new Date(Date.UTC(2026, 0) + (Bun.hash.crc32(digest) % 31_536_000) * 1000).toISOString()
    const made = makeChartRecord(
      { digest, manifest: chartManifest(content, { 'org.opencontainers.image.created': created }) },
      Buffer.from(JSON.stringify({ name, version, description: content })),
      (dropped) => {
        throw new TypeError(`${dropped.join(' ')} was left out of ${name} ${version}`)
      },
    )
    if ('kind' in made) throw new TypeError(`${name} ${version} is no chart: ${made.reason}`)
    this.#keep(digest, made.record, made.entry)
    return digest
  }

  #keep(digest: Digest, record: ManifestRecord, entry?: IndexEntry): void {
    if (this.records.has(digest)) return
    this.records.set(digest, record)
    this.#store.saveRecord(digest, record, entry)
  }
}
