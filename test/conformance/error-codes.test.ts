/** Distribution spec 1.1, "Error Codes" and "Endpoints": every refusal has a code of the spec, a sentence, and no secret. */
import { beforeAll, describe, expect, test } from 'bun:test'
import { requestRaw, sendRaw } from '../faults/raw-request.ts'
import type { SpecCode } from '../stand/spec-codes.ts'
import { waitFor } from '../stand/wait-for.ts'
import { bytesOf, digestOf, imageOf, someBytes } from './manifest-content.ts'
import { expectError, expectStatus, openRegistryClient } from './registry-client.ts'

const registry = openRegistryClient()
const repository = registry.freshName()
const image = imageOf()
const blob = someBytes(1_000)
const ABSENT = digestOf(bytesOf('never pushed'))
const UPLOAD = `blobs/uploads/${crypto.randomUUID()}`

const hostOf = () => new URL(registry.url).host

beforeAll(async () => {
  await registry.pushManifest(repository, image, 'latest')
  await registry.pushBlob(repository, blob)
})

type Method = Parameters<typeof registry.send>[0]
type Refusal = readonly [method: Method, path: string, status: number, code: SpecCode]

const refusals: readonly Refusal[] = [
  ['GET', `NAME/blobs/${ABSENT}`, 404, 'BLOB_UNKNOWN'],
  ['DELETE', `NAME/blobs/${ABSENT}`, 404, 'BLOB_UNKNOWN'],
  ['GET', 'NAME/blobs/latest', 400, 'DIGEST_INVALID'],
  ['GET', 'NAME/manifests/absent', 404, 'MANIFEST_UNKNOWN'],
  ['DELETE', 'NAME/manifests/absent', 404, 'MANIFEST_UNKNOWN'],
  ['GET', `NAME/manifests/${ABSENT}`, 404, 'MANIFEST_UNKNOWN'],
  ['GET', 'NAME/manifests/sha256:bad', 400, 'DIGEST_INVALID'],
  ['GET', 'NAME/manifests/-bad', 400, 'NAME_INVALID'],
  ['PUT', 'NAME/manifests/latest', 400, 'MANIFEST_INVALID'],
  ['GET', 'absent/manifests/latest', 404, 'NAME_UNKNOWN'],
  ['GET', 'absent/tags/list', 404, 'NAME_UNKNOWN'],
  ['DELETE', 'absent/manifests/latest', 404, 'NAME_UNKNOWN'],
  ['GET', 'Upper/tags/list', 400, 'NAME_INVALID'],
  ['GET', `Upper/blobs/${ABSENT}`, 400, 'NAME_INVALID'],
  ['POST', 'Upper/blobs/uploads/', 400, 'NAME_INVALID'],
  ['GET', `Upper/referrers/${ABSENT}`, 400, 'NAME_INVALID'],
  ['GET', 'NAME/referrers/latest', 400, 'DIGEST_INVALID'],
  ['GET', `NAME/${UPLOAD}`, 404, 'BLOB_UPLOAD_UNKNOWN'],
  ['PATCH', `NAME/${UPLOAD}`, 404, 'BLOB_UPLOAD_UNKNOWN'],
  ['PUT', `NAME/${UPLOAD}?digest=${ABSENT}`, 404, 'BLOB_UPLOAD_UNKNOWN'],
  ['DELETE', `NAME/${UPLOAD}`, 404, 'BLOB_UPLOAD_UNKNOWN'],
  ['POST', 'NAME/blobs/uploads/?digest=sha256:bad', 400, 'DIGEST_INVALID'],
  ['POST', 'NAME/blobs/uploads/?mount=sha256:bad', 400, 'DIGEST_INVALID'],
  ['POST', 'NAME/blobs/uploads/?digest-algorithm=md5', 400, 'DIGEST_INVALID'],
  ['GET', 'NAME/tags/list?n=x', 400, 'UNSUPPORTED'],
]

describe('spec "Error Codes"', () => {
  test.each(refusals)('%s %s is %d %s', async (method, path, status, code) => {
    const answer = await registry.send(method, `/v2/${path.replace('NAME', repository)}`)
    expect(answer.headers.get('cache-control')).toBe('no-store')
    await expectError(answer, status, code)
  })

  test('no answer tells where on disk the registry is', async () => {
    for (const [method, path] of refusals) {
      const answer = await registry.send(method, `/v2/${path.replace('NAME', repository)}`)
      expect((await answer.text()) + JSON.stringify([...answer.headers])).not.toContain(registry.root)
    }
  })

  test('names that lead out of the registry are no names', async () => {
    for (const name of ['..', '../..', '%2e%2e', '%2e%2e%2fetc', 'a/../../b', '.uploads', 'a\\b', 'a%00b', '%ff']) {
      for (const rest of ['tags/list', 'manifests/latest', `blobs/${ABSENT}`]) {
        const answer = await requestRaw(hostOf(), `/v2/${name}/${rest}`)
        expect([400, 404], `${name}: ${answer.text}`).toContain(answer.status)
      }
    }
  })

  test.each(['blobs', 'a/blobs/b', 'index.json', 'a/oci-layout'])(
    'no repository can be called %s: image layouts call their own files so',
    async (name) => {
      const push = await registry.sendManifest(name, 'latest', image)
      await expectError(push, 400, 'NAME_INVALID')
      await expectError(await registry.send('POST', `/v2/${name}/blobs/uploads/`), 400, 'NAME_INVALID')
    },
  )

  test('two that write to one upload: the second is 400, and the first goes on', async () => {
    const location = await registry.beginUpload(repository)
    const first = Promise.withResolvers<void>()
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      async start(controller) {
        controller.enqueue(blob.slice(0, 500))
        await first.promise
        controller.enqueue(blob.slice(500))
        controller.close()
      },
    })
    const pushed = registry.sendChunk(location, body)
    // The first has arrived once the upload takes no other.
    for (let status = 0; status !== 400; ) {
      const answer = await registry.sendChunk(location, blob, '5000-5999')
      status = answer.status
      if (status === 400) await expectError(answer, 400, 'BLOB_UPLOAD_INVALID')
      else await expectError(answer, 416, 'BLOB_UPLOAD_INVALID')
    }
    first.resolve()
    await expectStatus(await pushed, 202)
    await expectStatus(await registry.finishUpload(location, digestOf(blob)), 201)
  })

  test('a chunk whose connection breaks off: what came of it counts, and the upload goes on', async () => {
    const location = await registry.beginUpload(repository)
    const { pathname } = new URL(location)
    const head = `PATCH ${pathname} HTTP/1.1\r\nHost: ${hostOf()}\r\nContent-Length: 1000\r\n\r\n`
    const socket = await Bun.connect({
      hostname: '127.0.0.1',
      port: Number(new URL(registry.url).port),
      socket: { data: () => undefined },
    })
    socket.write(Buffer.concat([bytesOf(head), blob.subarray(0, 400)]))
    await waitFor(
      'what was sent to be there',
      async () => (await registry.get(location)).headers.get('range') === '0-399',
    )
    socket.end()
    const answer = await waitFor('the upload to take the rest', async () => {
      const rest = await registry.sendChunk(location, blob.slice(400), '400-999')
      return rest.status === 202 && rest
    })
    expect(answer.headers.get('range')).toBe('0-999')
    await expectStatus(await registry.finishUpload(location, digestOf(blob)), 201)
  })

  test('a body that is cut short is no manifest and no blob', async () => {
    const paths = [
      `PUT /v2/${repository}/manifests/cut`,
      `POST /v2/${repository}/blobs/uploads/?digest=${digestOf(blob)}`,
    ]
    for (const path of paths) {
      const head = `${path} HTTP/1.1\r\nHost: ${hostOf()}\r\nContent-Type: ${image.mediaType}\r\nConnection: close\r\n`
      const chunked = `${head}Transfer-Encoding: chunked\r\n\r\nzz\r\nnot a chunk\r\n`
      expect((await sendRaw(hostOf(), chunked)).status).toBe(400)
    }
    await expectError(await registry.get(`/v2/${repository}/manifests/cut`), 404, 'MANIFEST_UNKNOWN')
  })
})

describe('spec "Endpoints"', () => {
  test.each([
    ['POST', 'NAME/manifests/latest', 'GET, HEAD, PUT, DELETE'],
    ['PATCH', 'NAME/manifests/latest', 'GET, HEAD, PUT, DELETE'],
    ['PUT', `NAME/blobs/${ABSENT}`, 'GET, HEAD, DELETE'],
    ['POST', 'NAME/tags/list', 'GET, HEAD'],
    ['DELETE', 'NAME/tags/list', 'GET, HEAD'],
    ['PUT', `NAME/referrers/${ABSENT}`, 'GET, HEAD'],
    ['GET', 'NAME/blobs/uploads/', 'POST'],
    ['POST', `NAME/${UPLOAD}`, 'GET, HEAD, PATCH, PUT, DELETE'],
    ['DELETE', '_catalog', 'GET, HEAD'],
  ] as const)('%s %s is 405, and Allow has %s', async (method, path, allow) => {
    const answer = await registry.send(method, `/v2/${path.replace('NAME', repository)}`)
    expect(answer.headers.get('allow')).toBe(allow)
    await expectError(answer, 405, 'UNSUPPORTED')
  })

  test.each(['x', 'NAME', 'NAME/tags', 'NAME/tags/list/', 'NAME/manifests/', 'NAME/manifests/a/b', 'NAME/_oci', '%'])(
    '/v2/%s is no endpoint: 404',
    async (path) => {
      await expectError(await registry.get(`/v2/${path.replace('NAME', repository)}`), 404, 'UNSUPPORTED')
    },
  )

  test('parameters that nobody knows do no harm', async () => {
    const query = '?ns=registry.example.org&x=%ff'
    for (const path of ['manifests/latest', `blobs/${digestOf(blob)}`, 'tags/list', `referrers/${image.digest}`]) {
      expect((await registry.head(`/v2/${repository}/${path}${query}`)).status).toBe(200)
    }
  })

  test('digests and names may be escaped', async () => {
    const escaped = digestOf(blob).replace(':', '%3A')
    expect((await registry.head(`/v2/${repository}/blobs/${escaped}`)).status).toBe(200)
    expect((await registry.head(`/v2/${repository.replace('/', '%2F')}/manifests/latest`)).status).toBe(200)
  })
})
