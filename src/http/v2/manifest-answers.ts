/** Manifests and tags (distribution spec 1.1, "Pulling manifests", "Pushing Manifests", "Deleting tags"). */

import { ChartRepoError, isChartRepoError } from '../../errors.ts'
import { limits } from '../../limits.ts'
import { isDigest } from '../../oci/digest.ts'
import { isMediaType } from '../../oci/media-types.ts'
import { isTag } from '../../oci/reference.ts'
import type { ManifestStore } from '../../oci/registry-store.ts'
import { respondWithContent } from '../content-response.ts'

interface NamedManifest {
  readonly repository: string
  /** A tag or a digest. */
  readonly reference: string
}

export async function answerManifest(
  store: ManifestStore,
  request: Request,
  { repository, reference }: NamedManifest,
): Promise<Response> {
  const found = await store.findManifest(repository, reference)
  if (found === undefined) throw unknownManifest()
  const { digest, mediaType, size } = found
  return await respondWithContent(request, {
    etag: `"${digest}"`,
    size,
    headers: {
      'content-type': isMediaType(mediaType) ? mediaType : 'application/octet-stream',
      'docker-content-digest': digest,
      'cache-control': isDigest(reference) ? 'max-age=31536000' : 'no-cache',
      // Whoever pushes an index chooses the types of what it names: no browser is to show them as pages of this server.
      'content-disposition': 'attachment',
    },
    open: async () => {
      const blob = await store.openManifest(repository, found)
      if (blob === undefined) throw unknownManifest()
      return blob
    },
  })
}

/** Also sets the tags of `tag` parameters, when the manifest is pushed by its digest. */
export async function takeManifest(
  store: ManifestStore,
  request: Request,
  { repository, reference }: NamedManifest,
  query: URLSearchParams,
): Promise<Response> {
  const digest = isDigest(reference) ? reference : undefined
  const named = digest === undefined ? [] : query.getAll('tag')
  if (named.length > limits.maxTagsPerPush) {
    throw new ChartRepoError('TOO_MANY_TAGS', `One push may set ${limits.maxTagsPerPush} tags, not ${named.length}`)
  }
  if (!named.every(isTag)) throw new ChartRepoError('NAME_INVALID', 'This is no tag')
  const [mediaType = ''] = (request.headers.get('content-type') ?? '').split(';')
  const bytes = await readManifest(request)
  const tags = digest === undefined ? [reference] : named
  const manifest = { bytes, mediaType: mediaType.trim(), digest, tags }
  const written = await store.writeManifest(repository, manifest)
  const headers = new Headers({
    location: `/v2/${repository}/manifests/${written.digest}`,
    'docker-content-digest': written.digest,
  })
  if (written.subject !== undefined) headers.set('oci-subject', written.subject)
  if (named.length > 0) headers.set('oci-tag', named.join(', '))
  return new Response(null, { status: 201, headers })
}

export async function removeManifest(
  store: ManifestStore,
  { repository, reference }: NamedManifest,
): Promise<Response> {
  const wasThere = isDigest(reference)
    ? await store.removeManifest(repository, reference)
    : await store.removeTag(repository, reference)
  if (!wasThere) throw unknownManifest()
  return new Response(null, { status: 202 })
}

/** @throws MANIFEST_TOO_LARGE, before anything is read when its length is given; MANIFEST_INVALID when the body breaks off */
async function readManifest(request: Request): Promise<Uint8Array> {
  const tooLarge = () => {
    const message = `A manifest may have ${limits.maxManifestBytes} bytes, and this one has more`
    return new ChartRepoError('MANIFEST_TOO_LARGE', message)
  }
  if (Number(request.headers.get('content-length') ?? 0) > limits.maxManifestBytes) throw tooLarge()
  const pieces: Uint8Array[] = []
  let length = 0
  try {
    for await (const piece of request.body ?? []) {
      length += piece.byteLength
      if (length > limits.maxManifestBytes) throw tooLarge()
      pieces.push(piece)
    }
  } catch (cause) {
    if (isChartRepoError(cause)) throw cause
    throw new ChartRepoError('MANIFEST_INVALID', 'The body broke off', { cause })
  }
  return Buffer.concat(pieces, length)
}

function unknownManifest(): ChartRepoError {
  return new ChartRepoError('MANIFEST_UNKNOWN', 'There is no such manifest')
}
