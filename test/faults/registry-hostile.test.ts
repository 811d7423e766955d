/** What clients do to an embedded registry: names that lead elsewhere, bodies that break off or never end, crowds. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readdir } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { digestOf, OCI_MANIFEST_TYPE } from '../stand/charts.ts'
import { readLayouts } from '../stand/image-layouts.ts'
import type { Server } from '../stand/server.ts'
import { openTempDir, type TempDir } from '../stand/temp-dir.ts'
import { waitFor } from '../stand/wait-for.ts'
import { requestRaw } from './raw-request.ts'
import {
  expectChart,
  expectErrorDocument,
  expectRefusal,
  type OciCode,
  openRegistryServer,
  type PushedChart,
  pushChartTo,
} from './registry-scene.ts'

const DIGEST = `sha256:${'ab'.repeat(32)}`

let dir: TempDir
let root: string
let server: Server
let host: string
let chart: PushedChart

beforeAll(async () => {
  dir = await openTempDir()
  root = join(dir.path, 'root')
  server = await openRegistryServer(root)
  host = new URL(server.url).host
  chart = await pushChartTo(server, 'team/app')
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await dir[Symbol.asyncDispose]()
})

/** A request whose body is sent piece by piece, and never ended. */
class OpenRequest implements Disposable {
  readonly #socket: Socket
  /** What came back so far. */
  answer = ''
  isClosed = false

  constructor(method: string, path: string, headers: readonly string[]) {
    const { hostname, port } = new URL(server.url)
    this.#socket = connect({ host: hostname, port: Number(port) })
    this.#socket.on('data', (data) => {
      this.answer += data.toString('latin1')
    })
    this.#socket.on('close', () => {
      this.isClosed = true
    })
    // The other side may hang up while this one writes.
    this.#socket.on('error', () => undefined)
    this.#socket.write([`${method} ${path} HTTP/1.1`, `Host: ${host}`, ...headers, '', ''].join('\r\n'))
  }

  /** Resolves when it was handed to the system; never when the other side reads no more. */
  write(bytes: Uint8Array | string): Promise<void> {
    return new Promise((resolve) => this.#socket.write(bytes, () => resolve()))
  }

  async answered(): Promise<{ readonly status: number; readonly body: string }> {
    await waitFor('an answer', () => this.answer.includes('}]}') || this.isClosed)
    const [, status = ''] = this.answer.split(' ')
    return { status: Number(status), body: this.answer.slice(this.answer.indexOf('\r\n\r\n') + 4) }
  }

  [Symbol.dispose](): void {
    this.#socket.destroy()
  }
}

const uploadFiles = () => readdir(join(root, '.uploads'))

describe('names', () => {
  const bad = (name: string): [path: string, status: number, code: OciCode] => [name, 400, 'NAME_INVALID']
  const names: readonly [name: string, status: number, code: OciCode][] = [
    bad('%2e%2e%2fetc'),
    bad('..%2f..%2f..%2fetc'),
    bad('..%2F..%2Fetc'),
    bad('app%2f..%2f..%2fetc'),
    bad('%2fetc'),
    bad('/etc'),
    bad('team//app'),
    bad('.uploads'),
    bad('.lock'),
    bad('team/.uploads'),
    bad('blobs'),
    bad('team/app/blobs'),
    bad('index.json'),
    bad('team/index.json/x'),
    bad('oci-layout'),
    bad('Team/App'),
    bad('a%00b'),
    bad('a%5cb'),
    bad('c:%5cwindows'),
    bad('a..b'),
    bad('-a'),
    bad('a'.repeat(256)),
    bad(`${'a/'.repeat(200)}a`),
    bad('a/'.repeat(5000).slice(0, -1)),
    ['a%0ab', 404, 'UNSUPPORTED'],
    ['%zz', 404, 'UNSUPPORTED'],
    ['%ff', 404, 'UNSUPPORTED'],
  ]
  test.each(names)('%p is refused everywhere', async (name, status, code) => {
    const before = (await readdir(dir.path, { recursive: true })).sort()
    for (const [method, end] of [
      ['GET', 'tags/list'],
      ['GET', 'manifests/latest'],
      ['GET', `blobs/${DIGEST}`],
      ['GET', `referrers/${DIGEST}`],
      ['PUT', 'manifests/latest'],
      ['DELETE', 'manifests/latest'],
      ['DELETE', `blobs/${DIGEST}`],
      ['POST', 'blobs/uploads/'],
      ['POST', `blobs/uploads/?mount=${chart.layerDigest}&from=team/app`],
      ['POST', `blobs/uploads/?digest=${DIGEST}`],
    ]) {
      const headers = method === 'GET' ? [] : ['Content-Length: 0']
      const answer = await requestRaw(host, `/v2/${name}/${end}`, { method: method ?? '', headers })
      expect(answer.status, `${method} ${end}`).toBe(status)
      expectErrorDocument(answer.body, code)
    }
    expect((await readdir(dir.path, { recursive: true })).sort()).toEqual(before)
  })

  test.each([
    ['manifests/..%2f..%2f..%2f.lock', 404, 'UNSUPPORTED'],
    ['manifests/.lock', 400, 'NAME_INVALID'],
    [`manifests/${'a'.repeat(129)}`, 400, 'NAME_INVALID'],
    ['manifests/sha256:..%2f..%2findex.json', 404, 'UNSUPPORTED'],
    ['manifests/sha256:..', 400, 'DIGEST_INVALID'],
    ['blobs/sha256:..%2f..%2findex.json', 404, 'UNSUPPORTED'],
    ['blobs/sha256:index.json', 400, 'DIGEST_INVALID'],
    ['blobs/md5:d41d8cd98f00b204e9800998ecf8427e', 400, 'DIGEST_INVALID'],
    ['blobs/uploads/..%2f..%2f.lock', 404, 'UNSUPPORTED'],
    ['blobs/uploads/.lock', 404, 'BLOB_UPLOAD_UNKNOWN'],
  ] as const)('%s of a repository is refused', async (end, status, code) => {
    for (const method of ['GET', 'DELETE']) {
      const answer = await requestRaw(host, `/v2/team/app/${end}`, { method, headers: ['Content-Length: 0'] })
      expect(answer.status, method).toBe(status)
      expectErrorDocument(answer.body, code)
    }
  })

  test('a path that leaves /v2/ names nothing', async () => {
    for (const path of ['/v2/../../etc/passwd', '/v2/%2e%2e/%2e%2e/etc/passwd', '/v2/team/../../../root/.lock']) {
      expect((await requestRaw(host, path)).status).toBe(404)
    }
  })

  test('nothing is mounted from elsewhere', async () => {
    for (const from of ['../root/team/app', '/etc', 'blobs', 'team/app/blobs/..', '.uploads']) {
      const query = new URLSearchParams({ mount: chart.layerDigest, from })
      const answer = await server.get(`/v2/other/blobs/uploads/?${query}`, { method: 'POST' })
      expect(answer.status).toBe(202)
      await server.get(answer.headers.get('location') ?? '', { method: 'DELETE' })
    }
  })
})

describe('bodies', () => {
  const begin = async (): Promise<string> => {
    const begun = await server.get('/v2/team/app/blobs/uploads/', { method: 'POST' })
    expect(begun.status).toBe(202)
    return begun.headers.get('location') ?? ''
  }

  test.each([
    ['of a length', (size: number) => [`Content-Length: ${size}`], (bytes: Uint8Array) => [bytes]],
    [
      'in chunks',
      () => ['Transfer-Encoding: chunked'],
      (bytes: Uint8Array) => [`${bytes.byteLength.toString(16)}\r\n`, bytes, '\r\n'],
    ],
  ])('a body %s that breaks off is gone on with where it ended', async (_, headersOf, frame) => {
    const blob = crypto.getRandomValues(new Uint8Array(60_000))
    const [sent, left] = [blob.subarray(0, 40_000), blob.subarray(40_000)]
    const location = await begin()
    {
      using request = new OpenRequest('PATCH', location, headersOf(blob.byteLength))
      for (const piece of frame(sent)) await request.write(piece)
      await waitFor('the bytes', async () => (await server.get(location)).headers.get('range') === '0-39999')
    }
    const headers = { 'content-range': '40000-59999' }
    await waitFor('the end of the request that broke off', async () => {
      const answer = await server.get(location, { method: 'PATCH', headers, body: left })
      if (answer.status === 202) return true
      await expectRefusal(answer, 400, 'BLOB_UPLOAD_INVALID')
      return false
    })
    const digest = digestOf(blob)
    expect((await server.get(`${location}?digest=${digest}`, { method: 'PUT' })).status).toBe(201)
    expect(digestOf(await (await server.get(`/v2/team/app/blobs/${digest}`)).bytes())).toBe(digest)
    expect(await uploadFiles()).toEqual([])
  })

  test('a body of a length that no disk has room for is refused before it is read', async () => {
    const location = await begin()
    using request = new OpenRequest('PATCH', location, ['Content-Length: 9007199254740000'])
    await request.write(new Uint8Array(40_000))
    expect((await request.answered()).status).toBe(503)
    expect((await server.get(location)).headers.get('range')).toBe('0-0')
    await server.get(location, { method: 'DELETE' })
  })

  test('a client that vanishes in the middle of a whole blob leaves nothing', async () => {
    for (let i = 0; i < 20; i++) {
      const path = `/v2/team/app/blobs/uploads/?digest=${DIGEST}`
      using request = new OpenRequest('POST', path, ['Content-Length: 1000000'])
      await request.write(new Uint8Array(1000 * i + 1))
      await waitFor('the upload', async () => (await uploadFiles()).length > 0)
    }
    await waitFor('the end of the uploads', async () => (await uploadFiles()).length === 0)
  })

  test('a client that vanishes in the middle of a manifest leaves nothing', async () => {
    const path = '/v2/team/app/manifests/broken'
    const ended = () => server.logLines().filter((line) => line.msg === 'request' && line['path'] === path)
    for (let i = 0; i < 20; i++) {
      const headers = [`Content-Type: ${OCI_MANIFEST_TYPE}`, 'Content-Length: 1000']
      using request = new OpenRequest('PUT', path, headers)
      await request.write('{"schemaVersion":2,')
    }
    await waitFor('the ends of the requests', () => ended().length === 20)
    await expectRefusal(await server.get(path), 404, 'MANIFEST_UNKNOWN')
  })

  test('a manifest without end is refused at its bound', async () => {
    const headers = [`Content-Type: ${OCI_MANIFEST_TYPE}`, 'Transfer-Encoding: chunked']
    using request = new OpenRequest('PUT', '/v2/team/app/manifests/endless', headers)
    const piece = ' '.repeat(64 * 1024)
    const pour = async () => {
      while (request.answer === '' && !request.isClosed)
        await request.write(`${piece.length.toString(16)}\r\n${piece}\r\n`)
    }
    void pour()
    const { status, body } = await request.answered()
    expect(status).toBe(413)
    expectErrorDocument(body, 'SIZE_INVALID')
  })

  test('a manifest that says it is too large is refused before it is sent', async () => {
    const headers = [`Content-Type: ${OCI_MANIFEST_TYPE}`, 'Content-Length: 9007199254740000']
    using request = new OpenRequest('PUT', '/v2/team/app/manifests/large', headers)
    const { status, body } = await request.answered()
    expect(status).toBe(413)
    expectErrorDocument(body, 'SIZE_INVALID')
  })

  test('a chunk in the wrong place is refused, and the upload goes on', async () => {
    const location = await begin()
    await server.get(location, { method: 'PATCH', body: 'abc' })
    for (const range of ['0-2', '4-6', '100-102']) {
      const answer = await server.get(location, { method: 'PATCH', headers: { 'content-range': range }, body: 'def' })
      await expectRefusal(answer, 416, 'BLOB_UPLOAD_INVALID')
    }
    const digest = digestOf('abcdef')
    const headers = { 'content-range': '3-5' }
    const end = await server.get(`${location}?digest=${digest}`, { method: 'PUT', headers, body: 'def' })
    expect(end.status).toBe(201)
  })
})

test('2,000 uploads at once all come to their end', async () => {
  const begun = await Promise.all(
    Array.from({ length: 2000 }, async () => {
      const answer = await server.get('/v2/team/app/blobs/uploads/', { method: 'POST' })
      expect(answer.status).toBe(202)
      return answer.headers.get('location') ?? ''
    }),
  )
  expect(new Set(begun).size).toBe(2000)
  const send = async (location: string, init: RequestInit, status: number) =>
    expect((await server.get(location, init)).status).toBe(status)
  await Promise.all(begun.map((location, i) => send(location, { method: 'PATCH', body: `upload ${i}` }, 202)))
  expect((await uploadFiles()).length).toBe(2000)
  await Promise.all(
    begun.map((location, i) =>
      i % 2 === 0
        ? send(location, { method: 'DELETE' }, 204)
        : send(`${location}?digest=${digestOf(`upload ${i}`)}`, { method: 'PUT' }, 201),
    ),
  )
  expect(await uploadFiles()).toEqual([])
})

test('after all that everything is there and valid', async () => {
  await expectChart(server, chart)
  await expectChart(server, await pushChartTo(server, 'team/app', '2.0.0'))
  const layouts = await readLayouts(root)
  expect(layouts.map(({ repository }) => repository)).toEqual(['team/app'])
  expect((await readdir(dir.path)).sort()).toEqual(['root'])
})
