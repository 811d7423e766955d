/** What the repository needs to keep things: cut here, by what is used; `storage/` implements them. */

import type { ManifestRecord } from '../helm/chart-record.ts'
import type { IndexEntry, IndexFormat } from '../helm/index-entry.ts'
import type { Pages } from '../lib/compression.ts'
import type { Digest } from '../oci/digest.ts'

/** By tag: the digest it has now, null where its name says that it is no chart; undefined when it is gone. */
export type TagChanges = ReadonlyMap<string, Digest | null | undefined>

/** By repository. */
export type ListingChanges = ReadonlyMap<string, TagChanges>

export interface ListingToSave {
  /** When it began, in milliseconds since the epoch. */
  readonly listedAt: number
  /** What is different from the listing before. */
  readonly changes: ListingChanges
  /** There was no listing before. */
  readonly isFirst: boolean
}

/** Keeps what was learnt for the next start. Never throws for a full or read-only disk: it says so in the log. */
export interface CatalogStore {
  /** `entry` is that of a chart's manifest, once. */
  saveRecord(digest: Digest, record: ManifestRecord, entry?: IndexEntry): void
  saveListing(listing: ListingToSave): Promise<void>
  /** By the manifest each was made of; what the store has lost is left out. */
  readEntries(manifests: readonly Digest[], format: IndexFormat): ReadonlyMap<Digest, string>
  forget(unused: { readonly records: Iterable<Digest>; readonly entries: Iterable<Digest> }): void
}

export interface KeptDocument {
  /** Bytes. */
  readonly size: number
  /** Of its bytes, in hex. */
  readonly sha256: string
  /** Its bytes; undefined when somebody has removed them. */
  open(): Promise<Blob | undefined>
  /** Some of them, for another document; undefined where all are in memory. The pages end with an error when they are gone. */
  readonly read: ((start: number, end: number) => Pages) | undefined
  /** The same for a client, a little ahead of it. What is handed out holds until the next is asked for. */
  readonly readAhead: ((start: number, end: number) => AsyncGenerator<Uint8Array>) | undefined
}

export type DocumentSet = ReadonlyMap<string, KeptDocument>

/**
 * Makes one document; `read` has those that were made before it. Called again when the disk gives up half way. Whoever
 * takes a page is done with it, or has copied it, before the next one is asked for.
 */
export type DocumentSource = (read: (name: string) => Pages) => Pages

/** Keeps documents that belong together under a key of 64 hex digits; on disk if it can, for the next start. */
export interface DocumentStore {
  /** What an earlier run has left, when it is whole. */
  find(key: string): Promise<DocumentSet | undefined>
  /** Makes all of them, in the order of `sources`. @throws what a source fails with */
  write(key: string, sources: ReadonlyMap<string, DocumentSource>): Promise<DocumentSet>
  /** Keeps this set, and what a response may be about to open; removes the others. */
  retain(key: string): Promise<void>
}
