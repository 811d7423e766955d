/** What waits to be written to the catalog, and how it is: row by row, so that a large batch can be written in pieces. */

import type { Database } from 'bun:sqlite'
import type { ManifestRecord } from '../helm/chart-record.ts'
import type { IndexEntry } from '../helm/index-entry.ts'
import type { Digest } from '../oci/digest.ts'
import { toRow } from './catalog-rows.ts'

/** By tag: the digest it has now, null for what is no chart by its name; undefined when it is gone. */
export type TagChanges = ReadonlyMap<string, Digest | null | undefined>

export class CatalogBatch {
  readonly records = new Map<Digest, ManifestRecord>()
  /** By manifest. */
  readonly entries = new Map<Digest, IndexEntry>()
  readonly tags = new Map<string, Map<string, Digest | null | undefined>>()
  readonly forgottenRecords = new Set<Digest>()
  readonly forgottenEntries = new Set<Digest>()
  /** The tags are all there are: those in the file count for nothing. */
  replacesTags = false
  listedAt: number | undefined

  saveRecord(digest: Digest, record: ManifestRecord, entry: IndexEntry | undefined): void {
    this.records.set(digest, record)
    this.forgottenRecords.delete(digest)
    if (entry === undefined || record.kind !== 'chart') return
    this.entries.set(record.manifest, entry)
    this.forgottenEntries.delete(record.manifest)
  }

  saveTags(repository: string, changes: TagChanges): void {
    const waiting = this.tags.get(repository) ?? new Map<string, Digest | null | undefined>()
    for (const [tag, digest] of changes) waiting.set(tag, digest)
    this.tags.set(repository, waiting)
  }

  forgetListing(): void {
    this.tags.clear()
    this.replacesTags = false
    this.listedAt = undefined
  }

  forgetRecord(digest: Digest): void {
    this.records.delete(digest)
    this.forgottenRecords.add(digest)
  }

  forgetEntry(manifest: Digest): void {
    this.entries.delete(manifest)
    this.forgottenEntries.add(manifest)
  }

  /** Takes over what came after this one. */
  append(later: CatalogBatch): void {
    for (const digest of later.forgottenRecords) this.forgetRecord(digest)
    for (const manifest of later.forgottenEntries) this.forgetEntry(manifest)
    for (const [digest, record] of later.records) this.saveRecord(digest, record, undefined)
    for (const [manifest, entry] of later.entries) {
      this.entries.set(manifest, entry)
      this.forgottenEntries.delete(manifest)
    }
    if (later.replacesTags) this.tags.clear()
    this.replacesTags ||= later.replacesTags
    for (const [repository, changes] of later.tags) this.saveTags(repository, changes)
    this.listedAt = later.listedAt ?? this.listedAt
  }

  /** Writes it within a transaction of the caller's; it may stop after each row and go on later. */
  *write(db: Database): Generator<void> {
    if (this.replacesTags) {
      db.run('DELETE FROM listing')
      db.run('DELETE FROM tag')
    }
    const removeRecord = db.query('DELETE FROM record WHERE digest = ?')
    for (const digest of this.forgottenRecords) yield void removeRecord.run(digest)
    const removeEntry = db.query('DELETE FROM entry WHERE manifest = ?')
    for (const manifest of this.forgottenEntries) yield void removeEntry.run(manifest)
    const saveRecord = db.query(
      'INSERT OR REPLACE INTO record VALUES ($digest, $skip_reason, $name, $version, $created, $chart_digest, $chart_size, $provenance_digest, $provenance_size, $manifest)',
    )
    for (const [digest, record] of this.records) yield void saveRecord.run(toRow(digest, record))
    const saveEntry = db.query('INSERT OR REPLACE INTO entry (manifest, yaml, json) VALUES (?, ?, ?)')
    for (const [manifest, { yaml, json }] of this.entries) yield void saveEntry.run(manifest, yaml, json)
    const saveTag = db.query('INSERT OR REPLACE INTO tag (repository, tag, digest) VALUES (?, ?, ?)')
    const removeTag = db.query('DELETE FROM tag WHERE repository = ? AND tag = ?')
    for (const [repository, tags] of this.tags) {
      for (const [tag, digest] of tags) {
        yield void (digest === undefined ? removeTag.run(repository, tag) : saveTag.run(repository, tag, digest))
      }
    }
    if (this.listedAt === undefined) return
    db.query('INSERT OR REPLACE INTO listing (id, listed_at) VALUES (1, ?)').run(this.listedAt)
  }
}
