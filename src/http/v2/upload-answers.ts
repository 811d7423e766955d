/** Blobs coming in (distribution spec 1.1, "Pushing blobs", "Mounting a blob from another repository"). */

import { ChartRepoError } from '../../errors.ts'
import type { DigestAlgorithm } from '../../oci/digest.ts'
import type { BlobStore, Chunk, UploadProgress, UploadStore } from '../../oci/registry-store.ts'
import type { NamedBlob } from './blob-answers.ts'
import { parseDigest } from './registry-path.ts'

interface NamedUpload {
  readonly repository: string
  readonly id: string
}

/** POST: a mount, a whole blob, or the beginning of an upload. */
export async function beginUpload(
  store: UploadStore & BlobStore,
  request: Request,
  { repository }: { readonly repository: string },
  query: URLSearchParams,
): Promise<Response> {
  const mount = query.get('mount')
  if (mount !== null) {
    const digest = parseDigest(mount)
    if (await store.mountBlob(repository, digest, query.get('from') ?? undefined))
      return created({ repository, digest })
  }
  const whole = mount === null ? query.get('digest') : null
  const digest = whole === null ? undefined : parseDigest(whole)
  const progress = await store.beginUpload(repository, parseAlgorithm(query.get('digest-algorithm')))
  if (digest === undefined) return accepted(repository, progress, 202)
  try {
    await store.finishUpload(repository, progress.id, { ...toChunk(request), digest })
  } catch (error) {
    // Nobody was told of it, so nobody would go on with it.
    await store.cancelUpload(repository, progress.id).catch(() => undefined)
    throw error
  }
  return created({ repository, digest })
}

/** PATCH: a chunk, with its range or without. */
export async function takeChunk(store: UploadStore, request: Request, upload: NamedUpload): Promise<Response> {
  const { repository, id } = upload
  return accepted(repository, await store.appendChunk(repository, id, toChunk(request)), 202)
}

/** PUT: the end, with the last chunk or without. */
export async function finishUpload(
  store: UploadStore,
  request: Request,
  { repository, id }: NamedUpload,
  query: URLSearchParams,
): Promise<Response> {
  store.uploadProgress(repository, id)
  const digest = parseDigest(query.get('digest'))
  await store.finishUpload(repository, id, { ...toChunk(request), digest })
  return created({ repository, digest })
}

export function answerUpload(store: UploadStore, { repository, id }: NamedUpload): Response {
  return accepted(repository, store.uploadProgress(repository, id), 204)
}

export async function cancelUpload(store: UploadStore, { repository, id }: NamedUpload): Promise<Response> {
  await store.cancelUpload(repository, id)
  return new Response(null, { status: 204 })
}

function accepted(repository: string, { id, size }: UploadProgress, status: 202 | 204): Response {
  return new Response(null, {
    status,
    headers: {
      location: `/v2/${repository}/blobs/uploads/${id}`,
      // The spec has no way to say that there is nothing yet; clients want two numbers.
      range: `0-${Math.max(0, size - 1)}`,
      'docker-upload-uuid': id,
    },
  })
}

function created({ repository, digest }: NamedBlob): Response {
  return new Response(null, {
    status: 201,
    headers: { location: `/v2/${repository}/blobs/${digest}`, 'docker-content-digest': digest },
  })
}

/** @throws UPLOAD_INVALID for a Content-Range that is none, or not of the length of the body */
function toChunk(request: Request): Chunk {
  const { body, headers } = request
  const range = headers.get('content-range')
  const declared = headers.get('content-length')
  if (range === null) return { body, start: undefined, length: declared === null ? undefined : Number(declared) }
  const match = /^(\d{1,15})-(\d{1,15})$/.exec(range.trim())
  const [start, end] = [Number(match?.[1]), Number(match?.[2])]
  const length = end - start + 1
  if (match === null || length < 1) {
    throw new ChartRepoError('UPLOAD_INVALID', 'A Content-Range is wanted as its first and last byte, such as 0-1023')
  }
  if (declared !== null && Number(declared) !== length) {
    throw new ChartRepoError('UPLOAD_INVALID', `The Content-Range has ${length} bytes, and the body ${declared}`)
  }
  return { body, start, length }
}

function parseAlgorithm(text: string | null): DigestAlgorithm {
  if (text === null || text === 'sha256') return 'sha256'
  if (text === 'sha512') return 'sha512'
  throw new ChartRepoError('DIGEST_INVALID', 'Digests are sha256 or sha512 here')
}
