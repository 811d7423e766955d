/**
 * The manifests of image layouts: found by tag or digest, stored, removed, and asked what they point to. What a manifest
 * points to never changes, so it is read once and kept.
 */

import { LRUCache } from 'lru-cache'
import { ChartRepoError, isChartRepoError } from '../errors.ts'
import { compareText } from '../lib/compare-text.ts'
import { tryParseJson } from '../lib/json.ts'
import { TimeSlices } from '../lib/time-slices.ts'
import { limits } from '../limits.ts'
import { type Digest, digestAlgorithm, digestBytes, digestHex, isDigest } from '../oci/digest.ts'
import { type ManifestLinks, parseLinks } from '../oci/manifest-links.ts'
import { imageTypes, indexTypes } from '../oci/media-types.ts'
import type { ManifestToStore, Referrer, StoredManifest, WrittenManifest } from '../oci/registry-store.ts'
import type { ImageLayout } from './image-layout.ts'
import type { LayoutBlobs } from './layout-blobs.ts'
import type { LayoutIndex } from './layout-index.ts'

export class LayoutManifests {
  readonly #blobs: LayoutBlobs
  /** By digest and type. */
  readonly #links = new LRUCache<string, ManifestLinks>({
    maxSize: limits.maxManifestLinksBytes,
    sizeCalculation: measureLinks,
  })
  /** What only other manifests name: image layouts that other tools wrote have such. */
  readonly #nested = new WeakMap<LayoutIndex, Promise<ReadonlyMap<Digest, StoredManifest>>>()
  /** By what they are about. */
  readonly #referrers = new WeakMap<LayoutIndex, Promise<ReadonlyMap<Digest, readonly StoredManifest[]>>>()

  constructor(blobs: LayoutBlobs) {
    this.#blobs = blobs
  }

  /** By tag or digest; undefined when it is not there, or its bytes are not. */
  async find(layout: ImageLayout, index: LayoutIndex, reference: string): Promise<StoredManifest | undefined> {
    const found = isDigest(reference)
      ? (index.manifests.get(reference) ?? (await this.#nestedIn(layout, index)).get(reference))
      : index.tags.get(reference)
    if (found === undefined) return undefined
    const size = this.#blobs.size(layout, found.digest)
    return size === undefined ? undefined : { ...found, size }
  }

  /** @throws MANIFEST_INVALID, DIGEST_INVALID */
  async write(layout: ImageLayout, { bytes, mediaType, tags, ...wanted }: ManifestToStore): Promise<WrittenManifest> {
    const digest = digestBytes(bytes, wanted.digest && digestAlgorithm(wanted.digest))
    if (wanted.digest !== undefined && wanted.digest !== digest) {
      const message = `The manifest that was pushed is ${digest}, ${wanted.digest} was promised`
      throw new ChartRepoError('DIGEST_INVALID', message)
    }
    const links = this.#keepLinks(digest, mediaType, parseLinks(bytes, mediaType))
    await layout.turns.take(digest, async () => {
      // First: from here on no sweep takes it away.
      this.#blobs.touch(layout, digest)
      if (!(await this.#isWhole(layout, digest))) await layout.writeBlob(digest, bytes)
      this.#blobs.hold(digest, new Uint8Array(bytes))
      await layout.change({ add: { manifest: { digest, mediaType, size: bytes.byteLength }, tags } })
    })
    return { digest, subject: links.subject }
  }

  /** Whether it was there. */
  async remove(layout: ImageLayout, index: LayoutIndex, digest: Digest): Promise<boolean> {
    const found = await this.find(layout, index, digest)
    return await layout.turns.take(digest, async () => {
      const wasListed = await layout.change({ removeManifest: digest })
      if (found === undefined && !wasListed) return false
      // An index that still names it must not bring it back.
      await this.#blobs.remove(layout, digest)
      return true
    })
  }

  /** The manifests about `subject`, by digest, from the one behind `after` on. Each is read when it is asked for. */
  async *referrers(layout: ImageLayout, index: LayoutIndex, subject: Digest, after = ''): AsyncGenerator<Referrer> {
    let all = this.#referrers.get(index)
    if (all === undefined) {
      all = this.#collectReferrers(layout, index)
      this.#referrers.set(index, all)
      all.catch(() => this.#referrers.delete(index))
    }
    const listed = await this.#listedByTag(layout, index, subject)
    const manifests = new Map([...listed, ...((await all).get(subject) ?? [])].map((each) => [each.digest, each]))
    const left = [...manifests.values()].filter(({ digest }) => digest > after)
    for (const manifest of left.sort((a, b) => compareText(a.digest, b.digest))) {
      const links = await this.#tryLinksOf(layout, manifest)
      // Links are remembered whoever has the manifest; what an index names may be another repository's, or deleted.
      if (links?.subject !== subject || this.#blobs.size(layout, manifest.digest) === undefined) continue
      yield { ...manifest, artifactType: links.artifactType, annotations: links.annotations }
    }
  }

  /**
   * Everything that has to stay because a manifest of the index is made of it, itself included.
   * @throws LAYOUT_DAMAGED, MANIFEST_INVALID when a manifest cannot be read: then nobody knows what has to stay
   */
  async findUsed(layout: ImageLayout, index: LayoutIndex): Promise<ReadonlySet<Digest>> {
    if (index.hasUnknown) throw new ChartRepoError('MANIFEST_INVALID', 'A manifest has a digest of an unknown kind')
    const used = new Set<Digest>()
    // Apart from what is used: a manifest may also be the layer of another one.
    const read = new Set<string>()
    const slices = new TimeSlices()
    const waiting = [...index.descriptors]
    const listed = new Set(waiting.map(keyOf))
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const key = keyOf(next)
      if (read.has(key)) continue
      read.add(key)
      used.add(next.digest)
      if (!isKnown(next) && !listed.has(key)) {
        // What an index names need be no manifest; whatever it names in turn stays.
        for (const digest of await this.#digestsIn(layout, next.digest)) used.add(digest)
      } else {
        const links = await this.#linksOf(layout, next)
        for (const digest of links?.blobs ?? []) used.add(digest)
        for (const child of links?.manifests ?? []) waiting.push(child)
      }
      if (slices.isOver()) await slices.next()
    }
    return used
  }

  /** Every digest in a JSON document of any kind; none in what is too large for a manifest, or no JSON. */
  async #digestsIn(layout: ImageLayout, digest: Digest): Promise<readonly Digest[]> {
    if ((this.#blobs.size(layout, digest) ?? Number.POSITIVE_INFINITY) > limits.maxManifestBytes) return []
    const bytes = await this.#blobs.read(layout, digest, limits.maxManifestBytes)
    const found: Digest[] = []
    const waiting: unknown[] = [bytes && tryParseJson(bytes)]
    while (waiting.length > 0) {
      const next = waiting.pop()
      if (typeof next === 'string' && isDigest(next)) found.push(next)
      if (typeof next === 'object' && next !== null) for (const value of Object.values(next)) waiting.push(value)
    }
    return found
  }

  async #isWhole(layout: ImageLayout, digest: Digest): Promise<boolean> {
    try {
      return (await this.#blobs.openVerified(layout, digest)) !== undefined
    } catch (error) {
      if (isChartRepoError(error, 'LAYOUT_DAMAGED')) return false
      throw error
    }
  }

  /** undefined when the manifest's bytes are not there. @throws LAYOUT_DAMAGED, MANIFEST_INVALID */
  async #linksOf(layout: ImageLayout, manifest: StoredManifest): Promise<ManifestLinks | undefined> {
    const { digest, mediaType } = manifest
    const known = this.#links.get(keyOf(manifest))
    if (known !== undefined) return known
    const bytes = await this.#blobs.read(layout, digest, limits.maxManifestBytes)
    return bytes && this.#keepLinks(digest, mediaType, parseLinks(bytes, mediaType))
  }

  #keepLinks(digest: Digest, mediaType: string, links: ManifestLinks): ManifestLinks {
    // Annotations can be megabytes, and are wanted of referrers alone.
    const kept = links.subject === undefined ? { ...links, annotations: undefined } : links
    this.#links.set(keyOf({ digest, mediaType }), kept)
    return kept
  }

  /** As `#linksOf`; what is no manifest that is understood here has no links. */
  async #tryLinksOf(layout: ImageLayout, manifest: StoredManifest): Promise<ManifestLinks | undefined> {
    try {
      return await this.#linksOf(layout, manifest)
    } catch (error) {
      if (isChartRepoError(error, 'MANIFEST_INVALID', 'LAYOUT_DAMAGED')) return undefined
      throw error
    }
  }

  #nestedIn(layout: ImageLayout, index: LayoutIndex): Promise<ReadonlyMap<Digest, StoredManifest>> {
    const collect = async () => {
      const nested = new Map<Digest, StoredManifest>()
      const waiting = [...index.manifests.values()].filter(isIndex)
      const slices = new TimeSlices()
      for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
        if (slices.isOver()) await slices.next()
        for (const child of (await this.#tryLinksOf(layout, next))?.manifests ?? []) {
          if (nested.has(child.digest)) continue
          nested.set(child.digest, child)
          if (isIndex(child)) waiting.push(child)
        }
      }
      return nested
    }
    const known = this.#nested.get(index)
    if (known !== undefined) return known
    const nested = collect()
    this.#nested.set(index, nested)
    nested.catch(() => this.#nested.delete(index))
    return nested
  }

  async #collectReferrers(
    layout: ImageLayout,
    index: LayoutIndex,
  ): Promise<ReadonlyMap<Digest, readonly StoredManifest[]>> {
    const found = new Map<Digest, StoredManifest[]>()
    const slices = new TimeSlices()
    const nested = await this.#nestedIn(layout, index)
    for (const manifest of new Map([...nested, ...index.manifests]).values()) {
      const links = await this.#tryLinksOf(layout, manifest)
      if (slices.isOver()) await slices.next()
      if (links?.subject === undefined) continue
      const others = found.get(links.subject)
      if (others === undefined) found.set(links.subject, [manifest])
      else others.push(manifest)
    }
    return found
  }

  /**
   * What clients listed under a tag while they believed that there was no such interface here (distribution spec 1.1,
   * "Enabling the Referrers API"): layouts that were copied from elsewhere have such tags.
   */
  async #listedByTag(layout: ImageLayout, index: LayoutIndex, subject: Digest): Promise<readonly StoredManifest[]> {
    const tagged = index.tags.get(`${digestAlgorithm(subject)}-${digestHex(subject).slice(0, 64)}`)
    if (tagged === undefined || !isIndex(tagged)) return []
    return (await this.#tryLinksOf(layout, tagged))?.manifests ?? []
  }
}

/** About what they take of memory, in bytes. */
function measureLinks({ blobs, manifests, annotations }: ManifestLinks): number {
  const texts = Object.entries(annotations ?? {}).reduce(
    (sum, [key, value]) => sum + key.length + value.length + 100,
    0,
  )
  return 300 + 100 * blobs.length + 300 * manifests.length + texts
}

function keyOf({ digest, mediaType }: Pick<StoredManifest, 'digest' | 'mediaType'>): string {
  return `${digest} ${mediaType}`
}

function isKnown({ mediaType }: StoredManifest): boolean {
  return imageTypes.includes(mediaType) || indexTypes.includes(mediaType)
}

function isIndex({ mediaType }: StoredManifest): boolean {
  return indexTypes.includes(mediaType)
}
