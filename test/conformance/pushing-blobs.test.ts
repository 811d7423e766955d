/** Distribution spec 1.1, "Pushing a blob monolithically", and what is the same for every way in: digests. */
import { describe, expect, test } from 'bun:test'
import { bytesOf, digestOf, someBytes } from './manifest-content.ts'
import { type Bytes, expectError, expectStatus, locationOf, openRegistryClient, streamOf } from './registry-client.ts'

const registry = openRegistryClient()
const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/

type Push = (repository: string, bytes: Bytes, digest: string) => Promise<Response>

const postPath = (repository: string, digest: string) => `/v2/${repository}/blobs/uploads/?digest=${digest}`

async function pushInChunks(location: string, bytes: Bytes, digest: string): Promise<Response> {
  const half = Math.floor(bytes.length / 2)
  let next = location
  if (half > 0) next = await registry.pushChunk(next, bytes.slice(0, half), `0-${half - 1}`)
  if (bytes.length > half) next = await registry.pushChunk(next, bytes.slice(half), `${half}-${bytes.length - 1}`)
  return await registry.finishUpload(next, digest)
}

/** Every way in that the spec has, and those that clients use besides. */
const waysIn: readonly (readonly [name: string, push: Push])[] = [
  [
    'a single POST',
    (repository, bytes, digest) => registry.send('POST', postPath(repository, digest), { body: bytes }),
  ],
  [
    'a single POST without a length',
    (repository, bytes, digest) => registry.send('POST', postPath(repository, digest), { body: streamOf(bytes) }),
  ],
  [
    'POST then PUT',
    async (repository, bytes, digest) => registry.finishUpload(await registry.beginUpload(repository), digest, bytes),
  ],
  [
    'POST then PUT without a length',
    async (repository, bytes, digest) =>
      registry.finishUpload(await registry.beginUpload(repository), digest, streamOf(bytes)),
  ],
  ['chunks', async (repository, bytes, digest) => pushInChunks(await registry.beginUpload(repository), bytes, digest)],
  [
    'chunks of an upload that was told its algorithm',
    async (repository, bytes, digest) => {
      const [algorithm] = digest.split(':')
      return await pushInChunks(await registry.beginUpload(repository, `?digest-algorithm=${algorithm}`), bytes, digest)
    },
  ],
  [
    'chunks of which the last is in the PUT',
    async (repository, bytes, digest) => {
      const location = await registry.beginUpload(repository)
      if (bytes.length < 2) return await registry.finishUpload(location, digest, bytes)
      const next = await registry.pushChunk(location, bytes.slice(0, 1), '0-0')
      return await registry.finishUpload(next, digest, bytes.slice(1), `1-${bytes.length - 1}`)
    },
  ],
  [
    'one PATCH of all of it without Content-Range',
    async (repository, bytes, digest) => {
      const next = await registry.pushChunk(await registry.beginUpload(repository), bytes)
      return await registry.finishUpload(next, digest)
    },
  ],
  [
    'one PATCH with Transfer-Encoding: chunked',
    async (repository, bytes, digest) => {
      const next = await registry.pushChunk(await registry.beginUpload(repository), streamOf(bytes))
      return await registry.finishUpload(next, digest)
    },
  ],
]

describe.each(waysIn)('spec "Pushing blobs", by %s', (way, push) => {
  test.each([
    ['a blob', someBytes(3_000, way.length)],
    ['a large blob', someBytes(1_500_000, way.length)],
    ['the empty object', bytesOf('{}')],
    ['an empty blob', new Uint8Array()],
  ])('%s is taken, by SHA-256 and by SHA-512, and is where Location says', async (_, bytes) => {
    const repository = registry.freshName()
    for (const digest of [digestOf(bytes), digestOf(bytes, 'sha512')]) {
      const pushed = await push(repository, bytes, digest)
      await expectStatus(pushed, 201)
      expect(pushed.headers.get('docker-content-digest')).toBe(digest)
      const pulled = await registry.get(locationOf(pushed))
      expect(pulled.status).toBe(200)
      expect(pulled.headers.get('docker-content-digest')).toBe(digest)
      expect(Buffer.from(await pulled.bytes()).equals(bytes)).toBe(true)
      expect((await registry.head(`/v2/${repository}/blobs/${digest}`)).status).toBe(200)
    }
  })

  test('bytes of another digest are 400, and nothing is there', async () => {
    const repository = registry.freshName()
    const bytes = someBytes(2_000)
    for (const algorithm of ['sha256', 'sha512'] as const) {
      const digest = digestOf(bytesOf('other bytes'), algorithm)
      await expectError(await push(repository, bytes, digest), 400, 'DIGEST_INVALID')
      await expectError(await registry.get(`/v2/${repository}/blobs/${digest}`), 404, 'BLOB_UNKNOWN')
      await expectError(
        await registry.get(`/v2/${repository}/blobs/${digestOf(bytes, algorithm)}`),
        404,
        'BLOB_UNKNOWN',
      )
    }
  })

  test('pushing what is there already is 201 again', async () => {
    const repository = registry.freshName()
    const bytes = someBytes(1_000)
    for (let time = 0; time < 2; time++) await expectStatus(await push(repository, bytes, digestOf(bytes)), 201)
    expect(await (await registry.get(`/v2/${repository}/blobs/${digestOf(bytes)}`)).bytes()).toEqual(bytes)
  })
})

const badDigests = ['sha256:baddigeststring', `md5:${'a'.repeat(32)}`, 'sha256', `sha256:${'Z'.repeat(64)}`, '']

describe('spec "Single POST"', () => {
  test.each(badDigests)('the digest %p is 400', async (digest) => {
    const path = postPath(registry.freshName(), encodeURIComponent(digest))
    await expectError(await registry.send('POST', path, { body: someBytes(100) }), 400, 'DIGEST_INVALID')
  })

  test('a blob of a repository whose name is none is 400', async () => {
    const bytes = someBytes(10)
    const answer = await registry.send('POST', postPath('Upper', digestOf(bytes)), { body: bytes })
    await expectError(answer, 400, 'NAME_INVALID')
  })
})

describe('spec "POST then PUT"', () => {
  test('POST is 202 with an address that has a UUID in it, another each time', async () => {
    const repository = registry.freshName()
    const ids = new Set<string>()
    for (const path of [`/v2/${repository}/blobs/uploads/`, `/v2/${repository}/blobs/uploads`]) {
      const answer = await registry.send('POST', path)
      await expectStatus(answer, 202)
      const [id = ''] = UUID.exec(locationOf(answer)) ?? []
      expect(answer.headers.get('docker-upload-uuid')).toBe(id)
      ids.add(id)
    }
    expect(ids.size).toBe(2)
    expect(ids).not.toContain('')
  })

  test('a parameter of the client beside the digest does no harm', async () => {
    const repository = registry.freshName()
    const bytes = someBytes(10)
    const location = await registry.beginUpload(repository)
    const answer = await registry.send('PUT', `${location}?_state=x&digest=${digestOf(bytes)}`, { body: bytes })
    await expectStatus(answer, 201)
  })

  test.each(badDigests)('the digest %p is 400, and the upload goes on', async (digest) => {
    const location = await registry.beginUpload(registry.freshName())
    const bytes = someBytes(100)
    await expectError(await registry.finishUpload(location, digest, bytes), 400, 'DIGEST_INVALID')
    await expectStatus(await registry.finishUpload(location, digestOf(bytes), bytes), 201)
  })

  test('PUT without a digest is 400, and the upload goes on', async () => {
    const location = await registry.beginUpload(registry.freshName())
    const bytes = someBytes(100)
    await expectError(await registry.send('PUT', location, { body: bytes }), 400, 'DIGEST_INVALID')
    await expectStatus(await registry.finishUpload(location, digestOf(bytes), bytes), 201)
  })

  test('an upload whose bytes had another digest is over', async () => {
    const location = await registry.beginUpload(registry.freshName())
    const digest = digestOf(bytesOf('other bytes'))
    await expectError(await registry.finishUpload(location, digest, someBytes(10)), 400, 'DIGEST_INVALID')
    await expectError(await registry.get(location), 404, 'BLOB_UPLOAD_UNKNOWN')
  })

  test('an upload that is finished is over', async () => {
    const location = await registry.beginUpload(registry.freshName())
    const bytes = someBytes(10)
    await expectStatus(await registry.finishUpload(location, digestOf(bytes), bytes), 201)
    await expectError(await registry.get(location), 404, 'BLOB_UPLOAD_UNKNOWN')
    await expectError(await registry.finishUpload(location, digestOf(bytes), bytes), 404, 'BLOB_UPLOAD_UNKNOWN')
    await expectError(await registry.sendChunk(location, bytes, '0-9'), 404, 'BLOB_UPLOAD_UNKNOWN')
  })

  test('an upload belongs to its repository', async () => {
    const repository = registry.freshName()
    const elsewhere = (await registry.beginUpload(repository)).replace(repository, registry.freshName())
    const bytes = someBytes(10)
    await expectError(await registry.get(elsewhere), 404, 'BLOB_UPLOAD_UNKNOWN')
    await expectError(await registry.sendChunk(elsewhere, bytes, '0-9'), 404, 'BLOB_UPLOAD_UNKNOWN')
    await expectError(await registry.finishUpload(elsewhere, digestOf(bytes), bytes), 404, 'BLOB_UPLOAD_UNKNOWN')
    await expectError(await registry.delete(elsewhere), 404, 'BLOB_UPLOAD_UNKNOWN')
  })

  test('the same blob by many clients at once is taken from each', async () => {
    const repository = registry.freshName()
    const bytes = someBytes(100_000)
    const push = async () =>
      (await registry.finishUpload(await registry.beginUpload(repository), digestOf(bytes), bytes)).status
    expect(await Promise.all(Array.from({ length: 8 }, push))).toEqual(Array(8).fill(201))
    const pulled = await registry.get(`/v2/${repository}/blobs/${digestOf(bytes)}`)
    expect(Buffer.from(await pulled.bytes()).equals(bytes)).toBe(true)
  })
})
