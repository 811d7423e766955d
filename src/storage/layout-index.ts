/**
 * The index.json of an OCI image layout (image spec 1.1, image-layout.md): which manifests a repository has, and which
 * tags point to them. One descriptor per tag, and one without a tag for a manifest that has none.
 *
 * Immutable: a change makes the next one. What other tools wrote into descriptors is kept as they wrote it.
 */

import { type Static, Type } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { ChartRepoError } from '../errors.ts'
import { compareText } from '../lib/compare-text.ts'
import { tryParseJson } from '../lib/json.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { mediaTypes } from '../oci/media-types.ts'
import { isTag } from '../oci/reference.ts'
import type { StoredManifest } from '../oci/registry-store.ts'

/** Where an image layout keeps the tag of a descriptor (image spec 1.1, annotations.md). */
const REF_NAME = 'org.opencontainers.image.ref.name'

const Descriptor = Type.Object({
  mediaType: Type.String(),
  digest: Type.String(),
  size: Type.Integer({ minimum: 0 }),
  // Go's encoder writes null for a map that nobody made.
  annotations: Type.Optional(Type.Union([Type.Record(Type.String(), Type.Unknown()), Type.Null()])),
})
type Descriptor = Static<typeof Descriptor>
const documentCheck = TypeCompiler.Compile(
  Type.Object({ schemaVersion: Type.Literal(2), manifests: Type.Union([Type.Array(Descriptor), Type.Null()]) }),
)

/** One descriptor. */
interface Item {
  /** As it stands in the file. */
  readonly digest: string
  /** undefined for a digest that is not understood here: the descriptor is kept, and nothing made of it. */
  readonly manifest: StoredManifest | undefined
  readonly tag: string | undefined
  /** As it stands in the file. */
  readonly text: string
}

export interface LayoutChanges {
  readonly add?: { readonly manifest: StoredManifest; readonly tags: readonly string[] }
  readonly removeTag?: string
  readonly removeManifest?: Digest
}

/** What tags point to now; undefined for those that are gone. */
export type TagChanges = ReadonlyMap<string, Digest | undefined>

export class LayoutIndex {
  static readonly empty = new LayoutIndex([], { schemaVersion: 2, mediaType: mediaTypes.ociIndex })

  readonly #items: readonly Item[]
  /** The document without its descriptors. */
  readonly #rest: Readonly<Record<string, unknown>>
  readonly manifests: ReadonlyMap<Digest, StoredManifest>
  readonly tags: ReadonlyMap<string, StoredManifest>
  /** Whether manifests are named by digests that are not understood here, so that nobody knows what they are made of. */
  readonly hasUnknown: boolean
  #digests: ReadonlyMap<string, Digest> | undefined
  #sortedTags: readonly string[] | undefined

  private constructor(items: readonly Item[], rest: Readonly<Record<string, unknown>>) {
    this.#items = items
    this.#rest = rest
    const manifests = new Map<Digest, StoredManifest>()
    const tags = new Map<string, StoredManifest>()
    for (const { manifest, tag } of items) {
      if (manifest === undefined) continue
      manifests.set(manifest.digest, manifest)
      if (tag !== undefined) tags.set(tag, manifest)
    }
    this.manifests = manifests
    this.tags = tags
    this.hasUnknown = items.some(({ manifest }) => manifest === undefined)
  }

  /** @throws LAYOUT_DAMAGED */
  static parse(bytes: Uint8Array): LayoutIndex {
    const document = tryParseJson(bytes)
    if (!documentCheck.Check(document)) {
      throw new ChartRepoError('LAYOUT_DAMAGED', 'index.json is not the index of an OCI image layout')
    }
    const { manifests, ...rest } = document
    return new LayoutIndex((manifests ?? []).map(toItem), rest)
  }

  /** The manifest of each descriptor; other tools may call one by several types. */
  get descriptors(): readonly StoredManifest[] {
    return this.#items.flatMap(({ manifest }) => manifest ?? [])
  }

  /** The same object as long as nothing changes. */
  get digests(): ReadonlyMap<string, Digest> {
    this.#digests ??= new Map([...this.tags].map(([tag, { digest }]) => [tag, digest]))
    return this.#digests
  }

  /** In byte order. */
  get sortedTags(): readonly string[] {
    this.#sortedTags ??= [...this.tags.keys()].sort(compareText)
    return this.#sortedTags
  }

  /** What it is after `changes`; the same object when they change nothing. */
  with(changes: LayoutChanges): LayoutIndex {
    const { add, removeTag, removeManifest } = changes
    let items: readonly Item[] = this.#items
    if (removeManifest !== undefined) items = items.filter(({ manifest }) => manifest?.digest !== removeManifest)
    if (removeTag !== undefined && this.tags.has(removeTag)) items = withoutTags(items, new Set([removeTag]))
    if (add !== undefined && !this.#has(add.manifest, add.tags)) {
      const { manifest, tags } = add
      const kept = withoutTags(items, new Set(tags), manifest.digest)
      // A manifest with a tag needs no descriptor without one beside it.
      const others = tags.length === 0 ? kept : kept.filter((item) => !isBare(item, manifest.digest))
      const isThere = tags.length === 0 && others.some((item) => item.manifest?.digest === manifest.digest)
      const added = isThere
        ? []
        : (tags.length === 0 ? [undefined] : [...new Set(tags)]).map((tag) => makeItem(manifest, tag))
      items = [...others, ...added]
    }
    return items === this.#items || isSame(items, this.#items) ? this : new LayoutIndex(items, this.#rest)
  }

  /** The bytes of the file. */
  render(): string {
    const rest = JSON.stringify(this.#rest).slice(0, -1)
    return `${rest},"manifests":[${this.#items.map(({ text }) => text).join(',')}]}`
  }

  #has({ digest, mediaType }: StoredManifest, tags: readonly string[]): boolean {
    if (this.manifests.get(digest)?.mediaType !== mediaType) return false
    return tags.every((tag) => this.tags.get(tag)?.digest === digest)
  }
}

/** What tags point elsewhere keeps a descriptor without a tag, unless it is `replacedBy` that it points to. */
function withoutTags(items: readonly Item[], tags: ReadonlySet<string>, replacedBy?: Digest): readonly Item[] {
  if (tags.size === 0) return items
  const isTagged = ({ tag }: Item) => tag !== undefined && tags.has(tag)
  const left = items.filter((item) => !isTagged(item))
  const there = new Set(left.map(({ digest }) => digest))
  for (const item of items.filter(isTagged)) {
    if (there.has(item.digest) || item.digest === replacedBy) continue
    there.add(item.digest)
    left.push(withoutTag(item))
  }
  return left
}

/** The rest of what another tool may have written into it stays. */
function withoutTag(item: Item): Item {
  const { annotations, ...rest } = JSON.parse(item.text)
  const { [REF_NAME]: _tag, ...others } = annotations
  const isPlain = Object.keys(others).length === 0
  return { ...item, tag: undefined, text: JSON.stringify(isPlain ? rest : { ...rest, annotations: others }) }
}

function isBare({ manifest, tag, text }: Item, digest: Digest): boolean {
  return manifest?.digest === digest && tag === undefined && text === makeItem(manifest, undefined).text
}

function isSame(a: readonly Item[], b: readonly Item[]): boolean {
  return a.length === b.length && a.every((item, place) => item === b[place])
}

function toItem(raw: Descriptor): Item {
  const { digest, mediaType, size } = raw
  const name = raw.annotations?.[REF_NAME]
  return {
    digest,
    manifest: isDigest(digest) ? { digest, mediaType, size } : undefined,
    // Other tools put whole references there; those are no tags of this repository.
    tag: typeof name === 'string' && isTag(name) ? name : undefined,
    text: JSON.stringify(raw),
  }
}

function makeItem(manifest: StoredManifest, tag: string | undefined): Item {
  const { mediaType, digest, size } = manifest
  const annotations = tag === undefined ? undefined : { [REF_NAME]: tag }
  return { digest, manifest, tag, text: JSON.stringify({ mediaType, digest, size, annotations }) }
}

/** What is different in the tags of two states. */
export function findTagChanges(before: LayoutIndex, after: LayoutIndex): TagChanges {
  const changes = new Map<string, Digest | undefined>()
  for (const [tag, digest] of after.digests) if (before.digests.get(tag) !== digest) changes.set(tag, digest)
  for (const tag of before.digests.keys()) if (!after.digests.has(tag)) changes.set(tag, undefined)
  return changes
}
