/**
 * What a registry that takes pushes is made of, cut by ability, in the terms of the distribution spec 1.1. `storage/`
 * implements it over a directory; `http/` speaks the protocol over it. Repository names and tags are valid here, digests
 * were parsed; what is not there is `undefined` or false, anything else that goes wrong throws a ChartRepoError:
 * NAME_INVALID for a name that cannot be kept, LAYOUT_DAMAGED for what cannot be read, STORAGE_FULL and STORAGE_DENIED
 * for what cannot be written.
 */

import type { Digest, DigestAlgorithm } from './digest.ts'

export interface StoredManifest {
  /** What its tag was pushed with, which may be a SHA-512. */
  readonly digest: Digest
  /** As it was pushed, without parameters. */
  readonly mediaType: string
  /** Bytes. */
  readonly size: number
}

export interface ManifestToStore {
  readonly bytes: Uint8Array
  readonly mediaType: string
  /** What the bytes have to hash to; undefined for whoever pushes by tag. */
  readonly digest: Digest | undefined
  readonly tags: readonly string[]
}

export interface WrittenManifest {
  readonly digest: Digest
  /** What the manifest says it is about. */
  readonly subject: Digest | undefined
}

/** Finding and removing throw REPOSITORY_UNKNOWN where there is no such repository. */
export interface ManifestStore {
  /** By tag or digest. */
  findManifest(repository: string, reference: string): Promise<StoredManifest | undefined>
  /** Its bytes, exactly as pushed; undefined when they are gone. */
  openManifest(repository: string, manifest: StoredManifest): Promise<Blob | undefined>
  /**
   * Durable when it resolves, with all of its tags or none.
   * @throws MANIFEST_INVALID, DIGEST_INVALID
   */
  writeManifest(repository: string, manifest: ManifestToStore): Promise<WrittenManifest>
  /** Takes the manifest away, and every tag that points to it; false when there is none. */
  removeManifest(repository: string, digest: Digest): Promise<boolean>
  /** Takes the tag away and leaves its manifest; false when there is none. */
  removeTag(repository: string, tag: string): Promise<boolean>
}

export interface BlobStore {
  /** Bytes; undefined when the repository has no such blob. The blob is safe from being collected for a while. */
  statBlob(repository: string, digest: Digest): Promise<number | undefined>
  /** Its bytes; those of large ones are as they are on the disk, for the reader to verify. undefined when there is none. */
  openBlob(repository: string, digest: Digest): Promise<Blob | undefined>
  /** Whether the repository has the blob now, taken from `from`, or from wherever it is when that is undefined. */
  mountBlob(repository: string, digest: Digest, from: string | undefined): Promise<boolean>
  /** Whether it was there. @throws BLOB_IS_MANIFEST */
  removeBlob(repository: string, digest: Digest): Promise<boolean>
}

export interface UploadProgress {
  /** A UUID. */
  readonly id: string
  /** Bytes received so far. */
  readonly size: number
}

export interface Chunk {
  readonly body: ReadableStream<Uint8Array> | null
  /** Where its first byte belongs; undefined for wherever the upload is. */
  readonly start: number | undefined
  /** Bytes it says it has; undefined when it does not say. */
  readonly length: number | undefined
}

/** All but beginning throw UPLOAD_UNKNOWN where there is no such upload in the repository. */
export interface UploadStore {
  /** @throws TOO_MANY_UPLOADS */
  beginUpload(repository: string, algorithm: DigestAlgorithm): Promise<UploadProgress>
  uploadProgress(repository: string, id: string): UploadProgress
  /**
   * Adds bytes as they arrive. What had arrived when a body breaks off stays, and counts.
   * @throws UPLOAD_OUT_OF_ORDER, UPLOAD_INVALID
   */
  appendChunk(repository: string, id: string, chunk: Chunk): Promise<UploadProgress>
  /**
   * The last chunk, if any, and the end: the blob is durable when it resolves.
   * @throws DIGEST_INVALID, and then the upload is gone; what `appendChunk` throws
   */
  finishUpload(repository: string, id: string, end: Chunk & { readonly digest: Digest }): Promise<void>
  cancelUpload(repository: string, id: string): Promise<void>
}

export interface Referrer extends StoredManifest {
  readonly artifactType: string | undefined
  readonly annotations: Readonly<Record<string, string>> | undefined
}

export interface ContentLister {
  /** In byte order; undefined when there is no such repository. */
  sortedTags(repository: string): Promise<readonly string[] | undefined>
  /** In byte order. */
  sortedRepositories(): Promise<readonly string[]>
  /** The manifests that are about `subject`, by digest, from the one behind `after` on; each is read when it is asked for; none for what is not there. */
  listReferrers(repository: string, subject: Digest, after?: string): AsyncIterable<Referrer>
}

export interface RegistryStore extends ManifestStore, BlobStore, UploadStore, ContentLister {}
