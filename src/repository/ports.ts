/** What the repository needs to keep things: cut here, by what is used; `storage/` implements them. */

import type { LayerRecord, ManifestRecord } from '../helm/chart-record.ts'
import type { Digest } from '../oci/digest.ts'

/** Keeps blobs, verified. Concurrent calls for one digest fetch it once. */
export interface BlobStore {
  /**
   * The bytes of `blob`, fetched with `fetchBlob` when they are not at hand; undefined when that finds none.
   * @throws DIGEST_MISMATCH, STORAGE_FULL, or what fetching fails with.
   */
  open(blob: LayerRecord, fetchBlob: () => Promise<ReadableStream<Uint8Array> | undefined>): Promise<Blob | undefined>
}

/** Keeps what was learnt for the next start. Never throws for a full or read-only disk: it says so in the log. */
export interface CatalogStore {
  saveRecord(digest: Digest, record: ManifestRecord): void
  saveListing(listedAt: number, changed: ReadonlyMap<string, ReadonlyMap<string, Digest | null> | undefined>): void
}
