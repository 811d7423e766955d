/**
 * Manifests and indexes as registries hand them out (OCI image spec 1.1, manifest.md and image-index.md).
 *
 * Parsing is tolerant where the spec is ("implementations MUST NOT generate an error on unknown properties") and
 * strict on what is used: every descriptor has a media type, a digest of a known algorithm and a size.
 */

import { type Static, Type } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { ChartRepoError } from '../errors.ts'
import { tryParseJson } from '../lib/json.ts'
import { type Digest, isDigest } from './digest.ts'
import { mediaTypes } from './media-types.ts'

export interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  /** Bytes. */
  readonly size: number
}

export interface ImageManifest {
  readonly kind: 'image'
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
  /** Values that are no strings are left out. */
  readonly annotations: ReadonlyMap<string, string>
}

export interface ImageIndex {
  readonly kind: 'index'
  /** Those without a platform: a child for an operating system is an image, never a chart. */
  readonly children: readonly Descriptor[]
}

const RawDescriptor = Type.Object({
  mediaType: Type.String(),
  digest: Type.String(),
  size: Type.Integer({ minimum: 0 }),
  platform: Type.Optional(Type.Unknown()),
})
const RawManifest = Type.Object({
  config: RawDescriptor,
  layers: Type.Array(RawDescriptor),
  annotations: Type.Optional(Type.Unknown()),
})
const RawIndex = Type.Object({ manifests: Type.Array(RawDescriptor) })

const manifestCheck = TypeCompiler.Compile(RawManifest)
const indexCheck = TypeCompiler.Compile(RawIndex)

/**
 * Reads a manifest of either kind; `mediaType` is the Content-Type it came with (manifests pushed by Helm carry none
 * inside), and only decides between the kinds when the document leaves it open.
 * @throws UPSTREAM_MALFORMED when it is neither.
 */
export function parseManifest(bytes: Uint8Array, mediaType: string): ImageManifest | ImageIndex {
  const document = tryParseJson(bytes)
  if (manifestCheck.Check(document) && !isIndexType(mediaType)) {
    return {
      kind: 'image',
      config: toDescriptor(document.config),
      layers: document.layers.filter(hasKnownDigest).map(toDescriptor),
      annotations: stringEntries(document.annotations),
    }
  }
  if (indexCheck.Check(document)) {
    return {
      kind: 'index',
      children: document.manifests
        .filter((child) => child.platform === undefined && hasKnownDigest(child))
        .map(toDescriptor),
    }
  }
  throw malformed('it is neither an image manifest nor an index')
}

function isIndexType(mediaType: string): boolean {
  return mediaType === mediaTypes.ociIndex || mediaType === mediaTypes.dockerManifestList
}

/** What has another digest cannot be verified, so it is left out; whether it was needed shows where it is looked for. */
function hasKnownDigest({ digest }: Static<typeof RawDescriptor>): boolean {
  return isDigest(digest)
}

function toDescriptor(raw: Static<typeof RawDescriptor>): Descriptor {
  const { mediaType, digest, size } = raw
  if (!isDigest(digest)) throw malformed('a descriptor has a digest that is neither sha256 nor sha512')
  return { mediaType, digest, size }
}

function stringEntries(value: unknown): ReadonlyMap<string, string> {
  if (typeof value !== 'object' || value === null) return new Map()
  return new Map(Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'))
}

function malformed(fault: string): ChartRepoError {
  return new ChartRepoError('UPSTREAM_MALFORMED', `Cannot read the manifest: ${fault}`)
}
