/**
 * A catalog in memory that takes the contract of its port at its word: what was known already, differs from nothing, is
 * still needed or was never there fails the test.
 */
import type { ManifestRecord } from '../../src/helm/chart-record.ts'
import type { IndexEntry, IndexFormat } from '../../src/helm/index-entry.ts'
import type { Digest } from '../../src/oci/digest.ts'
import type { CatalogStore, ListingToSave } from '../../src/repository/ports.ts'

/** What was written of a listing: by repository the tags that changed, and `-` in front of those that are gone. */
export type SavedChanges = Readonly<Record<string, readonly string[]>>

export class MemoryCatalog implements CatalogStore {
  readonly records = new Map<Digest, ManifestRecord>()
  readonly entries = new Map<Digest, IndexEntry>()
  /** By repository, then by tag; undefined before the first listing. */
  tags: Map<string, Map<string, Digest | null>> | undefined
  /** In order, with when each listing began. */
  readonly listings: { readonly listedAt: number; readonly changes: SavedChanges }[] = []
  /** How often entries were asked for. */
  reads = 0
  /** Records that were saved, in order. */
  readonly saved: Digest[] = []
  #hasLost = false

  saveRecord(digest: Digest, record: ManifestRecord, entry?: IndexEntry): void {
    if (this.records.has(digest)) throw new TypeError(`${digest} is saved twice`)
    if (record.kind === 'skipped' && entry !== undefined) throw new TypeError(`${digest} is no chart and has an entry`)
    if (record.kind === 'chart') {
      const known = this.entries.get(record.manifest)
      if (known === undefined && entry === undefined) throw new TypeError(`${digest} is saved without an entry`)
      // Two indexes of one chart may be looked into at the same time.
      if (known !== undefined && entry !== undefined && !Bun.deepEquals(known, entry))
        throw new TypeError(`${record.manifest} has two entries`)
      if (entry !== undefined) this.entries.set(record.manifest, entry)
    }
    this.records.set(digest, record)
    this.saved.push(digest)
  }

  async saveListing({ listedAt, changes, isFirst }: ListingToSave): Promise<void> {
    // After a loss the listing comes once more as a whole, when the loss is noticed.
    const mayBeFirst = this.tags === undefined || this.#hasLost
    if (isFirst ? !mayBeFirst : this.tags === undefined) throw new TypeError(`isFirst is ${isFirst}, which it is not`)
    if (isFirst) {
      this.tags = new Map()
      this.#hasLost = false
    }
    for (const [repository, changed] of changes) this.#change(repository, changed)
    const names = [...changes].map(([repository, changed]) => {
      const tags = [...changed].map(([tag, digest]) => (digest === undefined ? `-${tag}` : tag))
      return [repository, tags.sort()] as const
    })
    this.listings.push({ listedAt, changes: Object.fromEntries(names) })
  }

  readEntries(manifests: readonly Digest[], format: IndexFormat): ReadonlyMap<Digest, string> {
    this.reads += 1
    const entries = new Map<Digest, string>()
    for (const manifest of manifests) {
      const entry = this.entries.get(manifest)
      if (entry !== undefined) entries.set(manifest, entry[format])
    }
    return entries
  }

  forget(unused: { readonly records: Iterable<Digest>; readonly entries: Iterable<Digest> }): void {
    const needed = new Set([...(this.tags?.values() ?? [])].flatMap((tags) => [...tags.values()]))
    for (const digest of unused.records) {
      if (needed.has(digest)) throw new TypeError(`${digest} is forgotten and a tag has it`)
      if (!this.records.delete(digest)) throw new TypeError(`${digest} is forgotten and was not there`)
    }
    const manifests = new Set([...this.records.values()].map((each) => each.kind === 'chart' && each.manifest))
    for (const manifest of unused.entries) {
      if (manifests.has(manifest)) throw new TypeError(`The entry of ${manifest} is forgotten and a record needs it`)
      if (!this.entries.delete(manifest)) throw new TypeError(`The entry of ${manifest} is forgotten and was not there`)
    }
  }

  /** Loses the texts of some entries, as a damaged file does; what was made of these manifests may be saved again. */
  lose(...manifests: readonly Digest[]): void {
    this.#hasLost = true
    for (const manifest of manifests) {
      if (!this.entries.delete(manifest)) throw new TypeError(`There is no entry of ${manifest} to lose`)
      for (const [digest, record] of this.records) {
        if (record.kind === 'chart' && record.manifest === manifest) this.records.delete(digest)
      }
    }
  }

  #change(repository: string, changed: ReadonlyMap<string, Digest | null | undefined>): void {
    const tags = this.tags?.get(repository) ?? new Map<string, Digest | null>()
    if (changed.size === 0) throw new TypeError(`${repository} is named and nothing of it changed`)
    for (const [tag, digest] of changed) {
      if (digest === tags.get(tag)) throw new TypeError(`${repository}:${tag} is named and did not change`)
      if (digest === undefined) tags.delete(tag)
      else tags.set(tag, digest)
      if (typeof digest === 'string' && !this.records.has(digest))
        throw new TypeError(`${repository}:${tag} is saved and nobody knows what it means`)
    }
    if (tags.size === 0) this.tags?.delete(repository)
    else this.tags?.set(repository, tags)
  }
}
