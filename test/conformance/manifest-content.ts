/** What is pushed to a registry to see what it makes of it: bytes, their digests, and manifests around them. */

export interface Manifest {
  readonly mediaType: string
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly digest: string
}

export interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly [field: string]: unknown
}

type Fields = Readonly<Record<string, unknown>>

export const IMAGE_TYPE = 'application/vnd.oci.image.manifest.v1+json'
export const INDEX_TYPE = 'application/vnd.oci.image.index.v1+json'
export const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json'
export const LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar+gzip'
export const EMPTY_TYPE = 'application/vnd.oci.empty.v1+json'

export function digestOf(bytes: Uint8Array, algorithm: 'sha256' | 'sha512' = 'sha256'): string {
  return `${algorithm}:${Bun.CryptoHasher.hash(algorithm, bytes, 'hex')}`
}

export function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text)
}

/** Bytes that differ from place to place, and from `seed` to `seed`. */
export function someBytes(length: number, seed = 1): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length)
  let state = seed
  for (let at = 0; at < length; at++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    bytes[at] = state >>> 24
  }
  return bytes
}

export function descriptorOf(bytes: Uint8Array, mediaType: string, fields: Fields = {}): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.byteLength, ...fields }
}

export const EMPTY_BLOB = bytesOf('{}')
/** The config and the layer of what has none (OCI image spec 1.1, "Guidance for an Empty Descriptor"). */
export const EMPTY_DESCRIPTOR = descriptorOf(EMPTY_BLOB, EMPTY_TYPE)

export function manifestOf(document: Fields, algorithm: 'sha256' | 'sha512' = 'sha256'): Manifest {
  const bytes = bytesOf(JSON.stringify(document))
  return { mediaType: String(document['mediaType']), bytes, digest: digestOf(bytes, algorithm) }
}

/** An image manifest with an empty config and no layers unless `fields` say otherwise. */
export function imageOf(fields: Fields = {}, algorithm: 'sha256' | 'sha512' = 'sha256'): Manifest {
  return manifestOf(
    { schemaVersion: 2, mediaType: IMAGE_TYPE, config: EMPTY_DESCRIPTOR, layers: [], ...fields },
    algorithm,
  )
}

export function indexOf(manifests: readonly Descriptor[], fields: Fields = {}): Manifest {
  return manifestOf({ schemaVersion: 2, mediaType: INDEX_TYPE, manifests, ...fields })
}

/** How an index or a subject field speaks of a manifest. */
export function describeManifest({ mediaType, bytes, digest }: Manifest): Descriptor {
  return { mediaType, digest, size: bytes.byteLength }
}
