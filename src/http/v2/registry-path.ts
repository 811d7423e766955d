/** What a path under /v2/ names (distribution spec 1.1, "Endpoints"). Parsed once; nothing else looks at the path. */

import { ChartRepoError } from '../../errors.ts'
import { type Digest, isDigest } from '../../oci/digest.ts'
import { isRepositoryName, isTag } from '../../oci/reference.ts'

export type RegistryPath =
  | { readonly kind: 'root' }
  | { readonly kind: 'catalog' }
  | { readonly kind: 'tags'; readonly repository: string }
  /** A tag or a digest. */
  | { readonly kind: 'manifest'; readonly repository: string; readonly reference: string }
  | { readonly kind: 'blob'; readonly repository: string; readonly digest: Digest }
  | { readonly kind: 'uploads'; readonly repository: string }
  | { readonly kind: 'upload'; readonly repository: string; readonly id: string }
  | { readonly kind: 'referrers'; readonly repository: string; readonly digest: Digest }

/** A name may have any number of parts: what stands behind it is looked for from the end. */
const ENDPOINT =
  /^(?<name>.+?)\/(?:(?<tags>tags\/list)|blobs\/uploads(?:\/(?<upload>[^/]*))?|(?<kind>manifests|blobs|referrers)\/(?<reference>[^/]+))$/

/**
 * `path` is what stands behind `/v2/`, as it came; undefined when it is no endpoint.
 * @throws NAME_INVALID, DIGEST_INVALID
 */
export function parseRegistryPath(path: string): RegistryPath | undefined {
  const decoded = tryDecode(path)
  if (decoded === '') return { kind: 'root' }
  if (decoded === '_catalog') return { kind: 'catalog' }
  const groups = ENDPOINT.exec(decoded ?? '')?.groups
  const repository = groups?.['name']
  if (groups === undefined || repository === undefined) return undefined
  if (!isRepositoryName(repository)) throw new ChartRepoError('NAME_INVALID', 'This is no name of a repository')
  const { tags, upload, kind, reference } = groups
  if (tags !== undefined) return { kind: 'tags', repository }
  if (kind === undefined || reference === undefined) {
    return upload === undefined || upload === ''
      ? { kind: 'uploads', repository }
      : { kind: 'upload', repository, id: upload }
  }
  if (kind === 'blobs') return { kind: 'blob', repository, digest: parseDigest(reference) }
  if (kind === 'referrers') return { kind: 'referrers', repository, digest: parseDigest(reference) }
  if (reference.includes(':')) return { kind: 'manifest', repository, reference: parseDigest(reference) }
  if (!isTag(reference)) throw new ChartRepoError('NAME_INVALID', 'This is no tag')
  return { kind: 'manifest', repository, reference }
}

/** @throws DIGEST_INVALID */
export function parseDigest(text: string | null): Digest {
  if (text !== null && isDigest(text)) return text
  const message =
    text === null ? 'A digest is missing' : 'This is no digest, or one of an algorithm that is not known here'
  throw new ChartRepoError('DIGEST_INVALID', message)
}

function tryDecode(path: string): string | undefined {
  try {
    return decodeURIComponent(path)
  } catch {
    // Bad escapes name nothing.
    return undefined
  }
}
