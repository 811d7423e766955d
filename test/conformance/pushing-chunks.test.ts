/** Distribution spec 1.1, "Pushing a blob in chunks" and "Cancel a blob upload". */
import { describe, expect, test } from 'bun:test'
import { digestOf, someBytes } from './manifest-content.ts'
import { type Bytes, expectError, expectStatus, locationOf, openRegistryClient, streamOf } from './registry-client.ts'

const registry = openRegistryClient()
const BYTES = someBytes(5_000)
const DIGEST = digestOf(BYTES)

/** The first `length` bytes are there: the next address. */
async function pushFirst(repository: string, length: number): Promise<string> {
  const location = await registry.beginUpload(repository)
  return await registry.pushChunk(location, BYTES.slice(0, length), `0-${length - 1}`)
}

/** What the registry says it has, and where the upload goes on. */
async function askStatus(location: string): Promise<{ readonly range: string | null; readonly location: string }> {
  const answer = await registry.get(location)
  await expectStatus(answer, 204)
  expect(await answer.text()).toBe('')
  return { range: answer.headers.get('range'), location: locationOf(answer) }
}

async function expectFinishes(location: string, rest: Bytes, start: number): Promise<void> {
  const answer = await registry.finishUpload(location, DIGEST, rest, `${start}-${start + rest.length - 1}`)
  await expectStatus(answer, 201)
  const pulled = await registry.get(locationOf(answer))
  expect(Buffer.from(await pulled.bytes()).equals(BYTES)).toBe(true)
}

describe('spec "Pushing a blob in chunks"', () => {
  test('each chunk is 202 and says how far the upload is', async () => {
    let location = await registry.beginUpload(registry.freshName())
    for (const [start, end] of [
      [0, 0],
      [1, 1023],
      [1024, 4998],
      [4999, 4999],
    ] as const) {
      const answer = await registry.sendChunk(location, BYTES.slice(start, end + 1), `${start}-${end}`)
      await expectStatus(answer, 202)
      expect(answer.headers.get('range')).toBe(`0-${end}`)
      location = locationOf(answer)
    }
    await expectStatus(await registry.finishUpload(location, DIGEST), 201)
  })

  test('chunks without Content-Range, and with, take turns', async () => {
    let location = await registry.beginUpload(registry.freshName())
    location = await registry.pushChunk(location, streamOf(BYTES.slice(0, 700), BYTES.slice(700, 1_000)))
    location = await registry.pushChunk(location, BYTES.slice(1_000, 2_000), '1000-1999')
    location = await registry.pushChunk(location, BYTES.slice(2_000, 3_000))
    expect((await askStatus(location)).range).toBe('0-2999')
    await expectFinishes(location, BYTES.slice(3_000), 3_000)
  })

  test('a chunk with Content-Range may come without a length', async () => {
    let location = await registry.beginUpload(registry.freshName())
    location = await registry.pushChunk(location, streamOf(BYTES.slice(0, 2_000)), '0-1999')
    expect((await askStatus(location)).range).toBe('0-1999')
    await expectFinishes(location, BYTES.slice(2_000), 2_000)
  })

  test('a blob of 40 MiB is streamed in', async () => {
    const piece = someBytes(1024 * 1024)
    const pieces = Array.from({ length: 40 }, () => piece)
    const location = await registry.pushChunk(await registry.beginUpload(registry.freshName()), streamOf(...pieces))
    expect((await askStatus(location)).range).toBe(`0-${40 * piece.length - 1}`)
    await expectStatus(await registry.finishUpload(location, digestOf(Buffer.concat(pieces))), 201)
  })

  test.each([
    ['leaves bytes out', 2_000, 2_999],
    ['comes a second time', 0, 999],
    ['overlaps', 500, 1_499],
  ])('a chunk that %s is 416, and the upload goes on where it was', async (_, start, end) => {
    const location = await pushFirst(registry.freshName(), 1_000)
    const chunk = BYTES.slice(start, end + 1)
    await expectError(await registry.sendChunk(location, chunk, `${start}-${end}`), 416, 'BLOB_UPLOAD_INVALID')
    const status = await askStatus(location)
    expect(status.range).toBe('0-999')
    await expectFinishes(status.location, BYTES.slice(1_000), 1_000)
  })

  test('a first chunk that does not begin at 0 is 416, and the upload can begin anew', async () => {
    const location = await registry.beginUpload(registry.freshName())
    const chunk = BYTES.slice(1_000, 2_000)
    await expectError(await registry.sendChunk(location, chunk, '1000-1999'), 416, 'BLOB_UPLOAD_INVALID')
    await expectFinishes((await askStatus(location)).location, BYTES, 0)
  })

  test('a final chunk in the PUT that is out of order is 416, and the upload goes on where it was', async () => {
    const repository = registry.freshName()
    const location = await pushFirst(repository, 1_000)
    const answer = await registry.finishUpload(location, DIGEST, BYTES.slice(2_000), '2000-4999')
    await expectError(answer, 416, 'BLOB_UPLOAD_INVALID')
    await expectError(await registry.get(`/v2/${repository}/blobs/${DIGEST}`), 404, 'BLOB_UNKNOWN')
    const status = await askStatus(location)
    expect(status.range).toBe('0-999')
    await expectFinishes(status.location, BYTES.slice(1_000), 1_000)
  })

  test.each(['bytes 0-99', '0-', '-99', '0', '99-0', 'a-b', '0-99/100', '0-98', '0-100'])(
    'a chunk of 100 bytes with the Content-Range %p is 400, and the upload goes on',
    async (range) => {
      const location = await registry.beginUpload(registry.freshName())
      await expectError(await registry.sendChunk(location, BYTES.slice(0, 100), range), 400, 'BLOB_UPLOAD_INVALID')
      await expectFinishes((await askStatus(location)).location, BYTES, 0)
    },
  )

  test('the status of an upload that has nothing yet is a range that begins with 0', async () => {
    expect((await askStatus(await registry.beginUpload(registry.freshName()))).range).toBe('0-0')
  })

  test('POST takes the algorithms that are registered, and no other', async () => {
    const repository = registry.freshName()
    for (const algorithm of ['sha256', 'sha512']) {
      await registry.beginUpload(repository, `?digest-algorithm=${algorithm}`)
    }
    for (const algorithm of ['md5', 'sha384', '']) {
      const answer = await registry.send('POST', `/v2/${repository}/blobs/uploads/?digest-algorithm=${algorithm}`)
      await expectError(answer, 400, 'DIGEST_INVALID')
    }
  })

  test.each([
    ['sha256', 'sha512'],
    ['sha512', 'sha256'],
  ] as const)('an upload that was begun for %s can be closed with %s', async (begun, closed) => {
    let location = await registry.beginUpload(registry.freshName(), `?digest-algorithm=${begun}`)
    location = await registry.pushChunk(location, BYTES.slice(0, 3_000), '0-2999')
    const digest = digestOf(BYTES, closed)
    const answer = await registry.finishUpload(location, digest, BYTES.slice(3_000), '3000-4999')
    await expectStatus(answer, 201)
    expect(answer.headers.get('docker-content-digest')).toBe(digest)
  })

  test('an upload that never was is 404', async () => {
    const location = `/v2/${registry.freshName()}/blobs/uploads/${crypto.randomUUID()}`
    await expectError(await registry.get(location), 404, 'BLOB_UPLOAD_UNKNOWN')
    await expectError(await registry.sendChunk(location, BYTES, '0-4999'), 404, 'BLOB_UPLOAD_UNKNOWN')
    await expectError(await registry.finishUpload(location, DIGEST), 404, 'BLOB_UPLOAD_UNKNOWN')
    await expectError(await registry.delete(location), 404, 'BLOB_UPLOAD_UNKNOWN')
  })

  test('uploads of one repository do not mix', async () => {
    const repository = registry.freshName()
    const contents = [1, 2, 3, 4].map((seed) => someBytes(4_000, seed))
    const push = async (bytes: Bytes) => {
      let location = await registry.beginUpload(repository)
      for (let start = 0; start < bytes.length; start += 1_000) {
        location = await registry.pushChunk(location, bytes.slice(start, start + 1_000), `${start}-${start + 999}`)
      }
      return (await registry.finishUpload(location, digestOf(bytes))).status
    }
    expect(await Promise.all(contents.map(push))).toEqual([201, 201, 201, 201])
  })
})

describe('spec "Cancel a blob upload"', () => {
  test.each([
    ['has nothing yet', 0],
    ['has a chunk', 1_000],
  ])('DELETE of an upload that %s is 204, and it is over', async (_, length) => {
    const repository = registry.freshName()
    const location = length === 0 ? await registry.beginUpload(repository) : await pushFirst(repository, length)
    const answer = await registry.delete(location)
    expect([answer.status, await answer.text()]).toEqual([204, ''])
    await expectError(await registry.get(location), 404, 'BLOB_UPLOAD_UNKNOWN')
    await expectError(await registry.sendChunk(location, BYTES), 404, 'BLOB_UPLOAD_UNKNOWN')
    await expectError(await registry.finishUpload(location, DIGEST, BYTES), 404, 'BLOB_UPLOAD_UNKNOWN')
    await expectError(await registry.delete(location), 404, 'BLOB_UPLOAD_UNKNOWN')
    await expectError(await registry.get(`/v2/${repository}/blobs/${DIGEST}`), 404, 'BLOB_UNKNOWN')
  })

  test('other uploads go on', async () => {
    const repository = registry.freshName()
    const [one, other] = [await pushFirst(repository, 1_000), await pushFirst(repository, 1_000)]
    await expectStatus(await registry.delete(one), 204)
    await expectFinishes(other, BYTES.slice(1_000), 1_000)
  })
})
