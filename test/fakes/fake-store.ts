/**
 * What a fake registry holds, in memory: repositories with their tags, manifests and blobs.
 *
 * It knows no HTTP. Invariant: a digest is the hash of the bytes it names, unless a test put wrong bytes there itself.
 */

import { digestOf, type FakeChart, mediaTypes, packChart } from './fake-chart.ts'

export interface StoredManifest {
  readonly bytes: Uint8Array
  readonly mediaType: string
}

export interface AddedChart {
  readonly repository: string
  readonly tag: string
  readonly manifestDigest: string
  readonly configDigest: string
  readonly chartDigest: string
  readonly archive: Uint8Array
  /** `app-1.2.3.tgz` */
  readonly fileName: string
}

interface Repository {
  readonly tags: Map<string, string>
  readonly manifests: Map<string, StoredManifest>
  readonly blobs: Map<string, Uint8Array>
}

export class FakeStore {
  readonly #repositories = new Map<string, Repository>()

  /** Adds a chart as `helm push` does. The tag is the version with `_` for `+` unless another is given. */
  addChart(chart: FakeChart & { readonly repository: string; readonly tag?: string }): AddedChart {
    const { archive, config, manifest } = packChart(chart)
    const { repository, tag = chart.version.replaceAll('+', '_') } = chart
    return {
      repository,
      tag,
      archive,
      configDigest: this.addBlob(repository, config),
      chartDigest: this.addBlob(repository, archive),
      manifestDigest: this.addManifest({ repository, tag, bytes: manifest }),
      fileName: `${chart.name}-${chart.version}.tgz`,
    }
  }

  /** Adds bytes as a manifest, whatever they are, and returns their digest. Without a tag only the digest names them. */
  addManifest(manifest: {
    readonly repository: string
    readonly tag?: string
    readonly bytes: string | Uint8Array
    readonly mediaType?: string
  }): string {
    const bytes = Buffer.from(manifest.bytes)
    const digest = digestOf(bytes)
    const repository = this.#repository(manifest.repository)
    repository.manifests.set(digest, { bytes, mediaType: manifest.mediaType ?? mediaTypes.manifest })
    if (manifest.tag !== undefined) repository.tags.set(manifest.tag, digest)
    return digest
  }

  addBlob(repository: string, bytes: string | Uint8Array): string {
    const digest = digestOf(bytes)
    this.#repository(repository).blobs.set(digest, Buffer.from(bytes))
    return digest
  }

  /** Lets a tag name another digest. */
  moveTag(repository: string, tag: string, digest: string): void {
    this.#repository(repository).tags.set(tag, digest)
  }

  removeTag(repository: string, tag: string): void {
    this.#repository(repository).tags.delete(tag)
  }

  removeRepository(repository: string): void {
    this.#repositories.delete(repository)
  }

  /** All repository names, sorted bytewise. */
  repositories(): string[] {
    return [...this.#repositories.keys()].sort()
  }

  /** All tags, sorted bytewise; `undefined` for an unknown repository. */
  tags(repository: string): string[] | undefined {
    const known = this.#repositories.get(repository)
    return known && [...known.tags.keys()].sort()
  }

  /** By tag or by digest. */
  manifest(repository: string, reference: string): (StoredManifest & { readonly digest: string }) | undefined {
    const known = this.#repositories.get(repository)
    const digest = known?.tags.get(reference) ?? reference
    const stored = known?.manifests.get(digest)
    return stored && { ...stored, digest }
  }

  blob(repository: string, digest: string): Uint8Array | undefined {
    return this.#repositories.get(repository)?.blobs.get(digest)
  }

  #repository(name: string): Repository {
    const known = this.#repositories.get(name)
    if (known !== undefined) return known
    const added: Repository = { tags: new Map(), manifests: new Map(), blobs: new Map() }
    this.#repositories.set(name, added)
    return added
  }
}
