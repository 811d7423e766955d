/**
 * What the repository needs of a registry, cut by ability. `upstream/` implements them over HTTP; whatever else holds
 * repositories can too. Absence is `undefined`; anything else that goes wrong throws a ChartRepoError.
 */

import type { ChartRepoError } from '../errors.ts'
import type { Digest } from './digest.ts'
import type { Descriptor } from './manifest.ts'

export interface CallOptions {
  readonly signal?: AbortSignal | undefined
}

export interface Listing {
  /** Each once, in no particular order. */
  readonly names: readonly string[]
  /** Why names may be missing: a later page failed. Nothing follows from the absence of a name then. */
  readonly incomplete: ChartRepoError | undefined
}

export interface TagListing extends Listing {
  /** What each tag points to, where the registry tells that with their names: then none needs to be asked for again. */
  readonly digests?: ReadonlyMap<string, Digest>
}

export interface RepositoryLister {
  /**
   * The repositories in view.
   * @throws UPSTREAM_UNKNOWN or UPSTREAM_DENIED when the registry does not list them.
   */
  listRepositories(options?: CallOptions): Promise<Listing>
}

export interface TagLister {
  /** The tags of `repository`; undefined when the registry says that there is no such repository. */
  listTags(repository: string, options?: CallOptions): Promise<TagListing | undefined>
  /**
   * What `listTags` would tell of digests, where that is known without asking anybody: the same object as long as nothing
   * changes. undefined where it has to be asked for.
   */
  digestsAtHand?(repository: string): ReadonlyMap<string, Digest> | undefined
}

export interface FetchedManifest {
  /** Of the bytes, computed, not taken from a header. */
  readonly digest: Digest
  /** The Content-Type without parameters. */
  readonly mediaType: string
  readonly bytes: Uint8Array
  /** Whether the registry calls these bytes by this digest; undefined when it does not say. */
  readonly confirmed: boolean | undefined
}

export interface ManifestReader {
  /** The digest a tag points to now; undefined when the registry does not tell it without handing out the manifest. */
  resolveTag(repository: string, tag: string, options?: CallOptions): Promise<Digest | undefined>
  /** The manifest of a tag or digest; undefined when the registry says that there is none. */
  readManifest(repository: string, reference: string, options?: CallOptions): Promise<FetchedManifest | undefined>
}

export interface BlobReader {
  /** A small blob, whole and verified; undefined when the registry says that there is none. */
  readBlob(
    repository: string,
    blob: Descriptor,
    options: CallOptions & { readonly maxBytes: number },
  ): Promise<Uint8Array | undefined>
  /** The bytes of a blob as they arrive, not verified. The caller reads the stream to its end or cancels it. */
  openBlob(
    repository: string,
    blob: Pick<Descriptor, 'digest' | 'size'>,
    options?: CallOptions,
  ): Promise<ReadableStream<Uint8Array> | undefined>
}

export interface ChartRegistry extends RepositoryLister, TagLister, ManifestReader, BlobReader {}
