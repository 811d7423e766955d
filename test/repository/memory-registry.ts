/**
 * A registry in memory behind the ports of oci/ports.ts, which counts what it is asked and fails where a test says so.
 * Asked for anything that is not in one of its listings, it fails the test.
 */
import { ChartRepoError, type ErrorCode } from '../../src/errors.ts'
import { type Digest, digestBytes, isDigest } from '../../src/oci/digest.ts'
import type { Descriptor } from '../../src/oci/manifest.ts'
import { mediaTypes } from '../../src/oci/media-types.ts'
import type { CallOptions, ChartRegistry, FetchedManifest, Listing } from '../../src/oci/ports.ts'

interface StoredManifest {
  readonly bytes: Uint8Array
  readonly mediaType: string
}

export interface ChartContent {
  readonly name: string
  readonly version: string
  /** More fields of the config. */
  readonly metadata?: Readonly<Record<string, unknown>>
  /** What tells two packages of one version apart. */
  readonly content?: string
  readonly created?: string
}

/** Thrown, waited for, or called with the signal of the call. */
type Fault = ChartRepoError | Promise<unknown> | ((signal: AbortSignal | undefined) => unknown)

export class MemoryRegistry implements ChartRegistry {
  readonly #repositories = new Map<string, Map<string, Digest>>()
  readonly #manifests = new Map<Digest, StoredManifest>()
  readonly #blobs = new Map<Digest, Uint8Array>()
  readonly #faults = new Map<string, Fault>()
  /** `catalog`, `tags REPOSITORY`, `head REPOSITORY:TAG`, `get REPOSITORY:REFERENCE`, `blob REPOSITORY`. */
  readonly calls: string[] = []
  /** Of the last call. */
  signal: AbortSignal | undefined
  /** Why names may be missing from the list of repositories, or from the tags of a repository. */
  readonly incomplete = new Map<string, ChartRepoError>()
  /** What the registry says a manifest's digest is. */
  confirmed: boolean | undefined = true
  /** Whether HEAD tells digests. */
  tellsDigests = true

  /** Adds a chart as `helm push` does; the digest of its manifest. */
  addChart(repository: string, tag: string, chart: ChartContent): Digest {
    const { name, version, metadata, content = `${name} ${version}`, created } = chart
    const layer = Buffer.from(content)
    const config = this.addBlob(JSON.stringify({ name, version, ...metadata }), mediaTypes.helmConfig)
    return this.addManifest(repository, tag, {
      schemaVersion: 2,
      config,
      layers: [{ mediaType: mediaTypes.helmChart, digest: digestBytes(layer), size: layer.length }],
      ...(created !== undefined && { annotations: { 'org.opencontainers.image.created': created } }),
    })
  }

  addManifest(
    repository: string,
    tag: string | undefined,
    document: unknown,
    mediaType: string = mediaTypes.ociManifest,
  ): Digest {
    const bytes = Buffer.from(typeof document === 'string' ? document : JSON.stringify(document))
    const digest = digestBytes(bytes)
    this.#manifests.set(digest, { bytes, mediaType })
    const tags = this.#repositories.get(repository) ?? new Map<string, Digest>()
    if (tag !== undefined) tags.set(tag, digest)
    this.#repositories.set(repository, tags)
    return digest
  }

  addBlob(text: string, mediaType: string): Descriptor {
    const bytes = Buffer.from(text)
    const digest = digestBytes(bytes)
    this.#blobs.set(digest, bytes)
    return { mediaType, digest, size: bytes.length }
  }

  removeBlobs(): void {
    this.#blobs.clear()
  }

  removeTag(repository: string, tag: string): void {
    this.#repositories.get(repository)?.delete(tag)
  }

  removeRepository(repository: string): void {
    this.#repositories.delete(repository)
  }

  /** Makes a call fail, or wait for a promise, from now on; `undefined` mends it. */
  fail(call: string, fault: Fault | undefined): void {
    if (fault === undefined) this.#faults.delete(call)
    else this.#faults.set(call, fault)
  }

  /** How many calls begin with `prefix`. */
  count(prefix: string): number {
    return this.calls.filter((call) => call.startsWith(prefix)).length
  }

  async listRepositories(options: CallOptions = {}): Promise<Listing> {
    await this.#enter('catalog', options)
    return { names: [...this.#repositories.keys()], incomplete: this.incomplete.get('catalog') }
  }

  async listTags(repository: string, options: CallOptions = {}): Promise<Listing | undefined> {
    await this.#enter(`tags ${repository}`, options)
    const tags = this.#repositories.get(repository)
    return tags && { names: [...tags.keys()], incomplete: this.incomplete.get(repository) }
  }

  async resolveTag(repository: string, tag: string, options: CallOptions = {}): Promise<Digest | undefined> {
    await this.#enter(`head ${repository}:${tag}`, options)
    return this.tellsDigests ? this.#repositories.get(repository)?.get(tag) : undefined
  }

  async readManifest(
    repository: string,
    reference: string,
    options: CallOptions = {},
  ): Promise<FetchedManifest | undefined> {
    await this.#enter(`get ${repository}:${reference}`, options)
    const digest = isDigest(reference) ? reference : this.#repositories.get(repository)?.get(reference)
    const stored = digest && this.#manifests.get(digest)
    return stored && { ...stored, digest, confirmed: isDigest(reference) || this.confirmed }
  }

  async readBlob(
    repository: string,
    blob: Descriptor,
    options: CallOptions & { readonly maxBytes: number },
  ): Promise<Uint8Array | undefined> {
    await this.#enter(`blob ${repository}`, options)
    return this.#blobs.get(blob.digest)
  }

  openBlob(): Promise<never> {
    throw new TypeError('A crawl has no use for packages')
  }

  async #enter(call: string, { signal }: CallOptions): Promise<void> {
    this.calls.push(call)
    this.signal = signal
    const fault = this.#faults.get(call)
    if (fault instanceof Error) throw fault
    await (typeof fault === 'function' ? fault(signal) : fault)
  }
}

/** A fault for `fail`: no answer, until the call is broken off. */
export function hang(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason), { once: true }))
}

/** A failure of the registry; transient when it is one of the network. */
export function failure(code: ErrorCode = 'UPSTREAM_UNAVAILABLE', message: string = code): ChartRepoError {
  return new ChartRepoError(code, message, { retryable: code === 'UPSTREAM_UNAVAILABLE' })
}
