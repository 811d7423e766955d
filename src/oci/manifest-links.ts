/**
 * What a manifest of any kind points to, for whoever stores it (OCI image spec 1.1, manifest.md and image-index.md;
 * Docker image spec v2.2). Stricter than reading a chart: what is no manifest is refused before it is stored.
 */

import { type Static, Type } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { ChartRepoError } from '../errors.ts'
import { tryParseJson } from '../lib/json.ts'
import { type Digest, isDigest } from './digest.ts'
import { imageTypes, indexTypes } from './media-types.ts'

export interface ManifestLinks {
  readonly subject: Digest | undefined
  /** What the referrers API calls it by; an image without one is called by the type of its config. */
  readonly artifactType: string | undefined
  readonly annotations: Readonly<Record<string, string>> | undefined
  /** Config and layers. */
  readonly blobs: readonly Digest[]
  /** Of an index. */
  readonly manifests: readonly { readonly digest: Digest; readonly mediaType: string; readonly size: number }[]
}

const Descriptor = Type.Object({
  mediaType: Type.String(),
  digest: Type.String(),
  size: Type.Integer({ minimum: 0 }),
})
/** Go's encoder writes null for a list or a map that nobody made. */
const Descriptors = Type.Union([Type.Array(Descriptor), Type.Null()])
const common = {
  schemaVersion: Type.Literal(2),
  mediaType: Type.Optional(Type.String()),
  artifactType: Type.Optional(Type.String()),
  subject: Type.Optional(Type.Union([Descriptor, Type.Null()])),
  annotations: Type.Optional(Type.Union([Type.Record(Type.String(), Type.String()), Type.Null()])),
}
const Image = Type.Object({ ...common, config: Descriptor, layers: Descriptors })
const Index = Type.Object({ ...common, manifests: Descriptors })
/** Image spec 1.1, descriptor.md, "Digests". */
const OTHER_DIGEST = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/

const imageCheck = TypeCompiler.Compile(Image)
const indexCheck = TypeCompiler.Compile(Index)

/**
 * The links of a manifest of type `mediaType`.
 * @throws MANIFEST_INVALID when it is none, or of another type than it is called
 */
export function parseLinks(bytes: Uint8Array, mediaType: string): ManifestLinks {
  const document = tryParseJson(bytes)
  if (imageTypes.includes(mediaType)) {
    if (!imageCheck.Check(document)) throw invalid('it is no image manifest of schema version 2')
    checkType(document, mediaType)
    return {
      ...toCommon(document, document.config.mediaType),
      blobs: [document.config, ...(document.layers ?? [])].flatMap(({ digest }) => toDigests(digest)),
      manifests: [],
    }
  }
  if (!indexTypes.includes(mediaType)) throw invalid(`manifests of type ${JSON.stringify(mediaType)} are not taken`)
  if (!indexCheck.Check(document)) throw invalid('it is no image index of schema version 2')
  checkType(document, mediaType)
  return {
    ...toCommon(document, undefined),
    blobs: [],
    manifests: (document.manifests ?? []).flatMap(({ digest, mediaType: type, size }) =>
      toDigests(digest).map((known) => ({ digest: known, mediaType: type, size })),
    ),
  }
}

type Document = Static<typeof Image> | Static<typeof Index>

function toCommon({ subject, artifactType, annotations }: Document, configType: string | undefined) {
  return {
    subject: subject ? toDigests(subject.digest)[0] : undefined,
    artifactType: artifactType === undefined || artifactType === '' ? configType : artifactType,
    annotations: annotations ?? undefined,
  }
}

function checkType({ mediaType }: Document, called: string): void {
  if (mediaType === undefined || mediaType === called) return
  throw invalid(`it says that it is of type ${JSON.stringify(mediaType)}, and its Content-Type is ${called}`)
}

/** None for a digest of an algorithm that is not known here: nothing of the kind can be in this registry. */
function toDigests(text: string): readonly Digest[] {
  if (isDigest(text)) return [text]
  if (OTHER_DIGEST.test(text) && !/^sha(?:256|512):/.test(text)) return []
  throw invalid('a descriptor has a digest that is none')
}

function invalid(fault: string): ChartRepoError {
  return new ChartRepoError('MANIFEST_INVALID', `Cannot take the manifest: ${fault}`)
}
