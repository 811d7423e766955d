/** Blobs (distribution spec 1.1, "Pulling blobs", "Deleting Blobs"). */

import { ChartRepoError } from '../../errors.ts'
import type { Digest } from '../../oci/digest.ts'
import type { BlobStore } from '../../oci/registry-store.ts'
import { respondWithContent } from '../content-response.ts'

export interface NamedBlob {
  readonly repository: string
  readonly digest: Digest
}

export async function answerBlob(
  store: BlobStore,
  request: Request,
  { repository, digest }: NamedBlob,
): Promise<Response> {
  const isHead = request.method === 'HEAD'
  // Who asks whether it is there may leave it out of a push.
  const blob = isHead ? undefined : await store.openBlob(repository, digest)
  const size = isHead ? await store.statBlob(repository, digest) : blob?.size
  if (size === undefined) throw unknownBlob()
  return await respondWithContent(request, {
    etag: `"${digest}"`,
    size,
    headers: {
      'content-type': 'application/octet-stream',
      'docker-content-digest': digest,
      // What a digest names never changes. The name of a file is of no use to anybody.
      'cache-control': 'max-age=31536000',
      'content-disposition': 'attachment',
    },
    open: () => blob ?? Promise.reject(unknownBlob()),
  })
}

export async function removeBlob(store: BlobStore, { repository, digest }: NamedBlob): Promise<Response> {
  if (!(await store.removeBlob(repository, digest))) throw unknownBlob()
  return new Response(null, { status: 202, headers: { 'docker-content-digest': digest } })
}

function unknownBlob(): ChartRepoError {
  return new ChartRepoError('BLOB_UNKNOWN', 'There is no such blob')
}
