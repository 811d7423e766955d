/** The embedded registry through the ports by which charts are found in any registry. */

import { ChartRepoError, isChartRepoError } from '../errors.ts'
import { limits } from '../limits.ts'
import type { Digest } from '../oci/digest.ts'
import type { Descriptor } from '../oci/manifest.ts'
import type {
  BlobReader,
  FetchedManifest,
  Listing,
  ManifestReader,
  RepositoryLister,
  TagLister,
  TagListing,
} from '../oci/ports.ts'
import type { LocalRegistry } from './local-registry.ts'

export class LocalCharts implements RepositoryLister, TagLister, ManifestReader, Pick<BlobReader, 'readBlob'> {
  readonly #registry: LocalRegistry

  constructor(registry: LocalRegistry) {
    this.#registry = registry
  }

  async listRepositories(): Promise<Listing> {
    return { names: await this.#registry.sortedRepositories(), incomplete: undefined }
  }

  async listTags(repository: string): Promise<TagListing | undefined> {
    const digests = await this.#registry.digestsByTag(repository)
    return digests && { names: [...digests.keys()], digests, incomplete: undefined }
  }

  digestsAtHand(repository: string): ReadonlyMap<string, Digest> | undefined {
    return this.#registry.digestsAtHand(repository)
  }

  async resolveTag(repository: string, tag: string): Promise<Digest | undefined> {
    return (await this.#registry.digestsByTag(repository))?.get(tag)
  }

  async readManifest(repository: string, reference: string): Promise<FetchedManifest | undefined> {
    const found = await this.#find(repository, reference)
    if (found === undefined) return undefined
    const { digest, mediaType } = found
    const bytes = await this.#registry.readBytes(repository, digest, limits.maxManifestBytes)
    return bytes && { digest, mediaType, bytes, confirmed: true }
  }

  async readBlob(
    repository: string,
    { digest, size }: Descriptor,
    { maxBytes }: { readonly maxBytes: number },
  ): Promise<Uint8Array | undefined> {
    if (size > maxBytes) throw wrongSize(digest, size, maxBytes)
    const bytes = await this.#registry.readBytes(repository, digest, maxBytes)
    if (bytes !== undefined && bytes.byteLength !== size) throw wrongSize(digest, bytes.byteLength, size)
    return bytes
  }

  /** The verified bytes of a blob of a chart. @throws LAYOUT_DAMAGED, also when it has another size than its manifest says */
  async open(repository: string, { digest, size }: Pick<Descriptor, 'digest' | 'size'>): Promise<Blob | undefined> {
    const blob = await this.#registry.openVerified(repository, digest)
    if (blob !== undefined && blob.size !== size) throw wrongSize(digest, blob.size, size)
    return blob
  }

  async #find(repository: string, reference: string) {
    try {
      return await this.#registry.findManifest(repository, reference)
    } catch (error) {
      if (isChartRepoError(error, 'REPOSITORY_UNKNOWN')) return undefined
      throw error
    }
  }
}

function wrongSize(digest: Digest, actual: number, wanted: number): ChartRepoError {
  return new ChartRepoError(
    'LAYOUT_DAMAGED',
    `Cannot use blob ${digest}: it has ${actual} bytes, ${wanted} were promised`,
  )
}
