/** The HTTP side: strange paths and hosts, methods, HEAD, broken requests. One server for all of it. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type FakeRegistry, openFakeRegistry } from '../fakes/fake-registry.ts'
import type { AddedChart } from '../fakes/fake-store.ts'
import type { Server } from '../stand/server.ts'
import { type RawAnswer, requestRaw, sendRaw } from './raw-request.ts'
import { expectSentence, openServerOver, waitForIndex } from './scene.ts'

let registry: FakeRegistry
let server: Server
let host: string
let chart: AddedChart
let chartPath: string
let plus: AddedChart

beforeAll(async () => {
  registry = await openFakeRegistry()
  chart = registry.addChart({ repository: 'team/app', name: 'app', version: '1.0.0' })
  plus = registry.addChart({ repository: 'team/app', name: 'app', version: '1.0.0-rc.1+build.5' })
  chartPath = `/charts/${chart.fileName}`
  server = await openServerOver(registry, { args: ['--refresh-interval=1h', '--refresh-wait=5s'] })
  host = new URL(server.url).host
  await waitForIndex(server, [chart.fileName, plus.fileName])
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await registry[Symbol.asyncDispose]()
})

const get = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
  server.get(path, { method, headers, redirect: 'manual' })

/** 404 or 400, and nothing in it but a sentence. */
function expectRefused(answer: RawAnswer, path: string): void {
  const shown = JSON.stringify(path.slice(0, 200))
  expect([400, 404], `${shown} was answered ${answer.text.slice(0, 300)}`).toContain(answer.status)
  expect(answer.text, shown).not.toMatch(/root:|SQLite format|node_modules|\.ts:\d|<html/)
}

describe('paths', () => {
  test('200 random byte strings are 404 or 400', async () => {
    // A fixed seed, so that a failure can be had again. What cannot be in a path, or ends it, is sent
    // encoded: control characters, blanks, ? and #.
    let state = 20261123
    const randomByte = () => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0
      return state >>> 24
    }
    const reserved = new Set(Buffer.from('?#\x7f'))
    const prefixes = ['', '/', '/charts/', '/charts/app-', '/index.yaml']
    for (let at = 0; at < 200; at++) {
      const prefix = prefixes[at % prefixes.length] ?? ''
      const bytes = Array.from({ length: 1 + (randomByte() % 60) }, randomByte).flatMap((byte) =>
        byte > 0x20 && !reserved.has(byte) ? [byte] : [...Buffer.from(`%${byte.toString(16).padStart(2, '0')}`)],
      )
      // One byte that is no part of any route, so that no draw can name one.
      const path = Buffer.concat([Buffer.from(prefix), Buffer.from([...bytes, 0xfe])])
      expectRefused(await requestRaw(host, path), path.toString('latin1'))
    }
    expect((await get('/health')).status).toBe(200)
  })

  test('control characters and blanks as they are never get through', async () => {
    for (const byte of [0, 1, 9, 0x0b, 0x1b, 0x20, 0x7f]) {
      for (const path of [
        [47, byte],
        [...Buffer.from(chartPath), byte],
        [47, 105, byte, 47],
      ]) {
        const answer = await requestRaw(host, Uint8Array.from(path))
        // The runtime's own refusals: some are a 505, because it takes the rest for the version.
        expect([0, 400, 404, 505]).toContain(answer.status)
      }
    }
    expect((await get('/health')).status).toBe(200)
  })

  test.each([
    '/charts/../../../../etc/passwd',
    '/charts/..',
    '/charts/../index.yaml/x',
    '/charts/..-1.0.0.tgz',
    '/charts/%2e%2e%2f%2e%2e%2fetc%2fpasswd',
    '/charts/..%2f..%2fetc%2fpasswd-1.0.0.tgz',
    '/charts/..%5c..%5cetc-1.0.0.tgz',
    '/charts/team%2Fapp-1.0.0.tgz',
    '/charts/app-1.0.0.tgz%00',
    '/charts/%00app-1.0.0.tgz',
    '/charts/app%00-1.0.0.tgz',
    '/charts/app-1.0.0%2Etgz%2F',
    '/charts//app-1.0.0.tgz',
    '/charts/app-1.0.0.tgz/x',
    '/charts/__proto__',
    '/charts/__proto__-1.0.0.tgz',
    '/charts/constructor-1.0.0.tgz',
    '/charts/toString-1.0.0.tgz.prov',
    '/charts/hasOwnProperty',
    '/__proto__',
    '/constructor',
    '/charts/%zz-1.0.0.tgz',
    '/charts/%ff%fe-1.0.0.tgz',
    '/charts/app-1.0.0.tar',
    '/charts/app-1.0.0',
    '/charts/app-.tgz',
    '/charts/.tgz',
    '/charts/-.tgz',
    '/charts/',
    '/charts',
    '/INDEX.YAML',
    '/index.yml',
    '//index.yaml',
    '/blobs/sha256/ab',
    '/v2/',
    '/api/charts',
    'index.yaml',
    '*',
    'file:///etc/passwd',
    'http://127.0.0.1/etc/passwd',
    `/charts/${'a'.repeat(10_000)}-1.0.0.tgz`,
    `/${'a/'.repeat(5_000)}`,
    `/charts/${'%2e'.repeat(3_000)}`,
  ])('%p is 404 or 400', async (path) => {
    expectRefused(await requestRaw(host, path), path)
  })

  test.each(['app-1.0.0-rc.1+build.5.tgz', 'app-1.0.0-rc.1%2Bbuild.5.tgz', 'app-1.0.0-rc.1%2bbuild.5.tgz'])(
    'the plus of build metadata works as in %s',
    async (name) => {
      const answer = await get(`/charts/${name}`)
      expect(answer.status).toBe(200)
      expect(answer.headers.get('docker-content-digest')).toBe(plus.chartDigest)
    },
  )

  test('a query changes nothing', async () => {
    expect((await get('/index.yaml?x=1')).status).toBe(200)
    expect((await get(`${chartPath}?download=..%2f..`)).status).toBe(200)
  })

  test('an unknown chart is told in a sentence', async () => {
    for (const path of ['/charts/none-1.0.0.tgz', '/charts/app-9.9.9.tgz', `${chartPath}.prov`, '/nowhere']) {
      const answer = await get(path)
      expect(answer.status).toBe(404)
      expectSentence(await answer.text())
    }
  })
})

describe('the Host header', () => {
  const ask = (hostLines: string, path = '/index.yaml') =>
    sendRaw(host, `GET ${path} HTTP/1.1\r\n${hostLines}Connection: close\r\n\r\n`)

  test.each(['a', 'ab', 'oci', 'hcr', 'a.b', 'x:1', 'localhost', 'a-name.that.is.rather.long.example:65535'])(
    'may be %p',
    async (name) => {
      expect((await ask(`Host: ${name}\r\n`)).status).toBe(200)
      expect((await ask(`Host: ${name}\r\n`, chartPath)).status).toBe(200)
      expect((await ask(`Host: ${name}\r\n`, '/nowhere/index.yaml')).status).toBe(404)
    },
  )

  test.each(['a b', 'a/b', 'u:p@h', '', '/', 'a?b', 'a#b', '[::1', 'a\\b'])('must not be %p', async (name) => {
    const answer = await ask(`Host: ${name}\r\n`)
    // What the runtime can read as a host is served like any other; nothing else is.
    expect([200, 400]).toContain(answer.status)
    expect(answer.text).not.toMatch(/\.ts:\d|node_modules|at \w+ \(/)
  })

  test('is needed', async () => {
    expect((await ask('')).status).toBe(400)
  })

  test('cannot move a request to another route', async () => {
    // A router that looks for the path at a fixed offset finds /index.yaml in these.
    for (const path of ['/aaaaaaaaaaa/index.yaml', '/aaaa/index.yaml', `/aaaaaaaaaaa${chartPath}`]) {
      expect((await ask('Host: abc\r\n', path)).status).toBe(404)
      expect((await ask('Host: a b\r\n', path)).status).not.toBe(200)
    }
  })

  test('of HTTP/1.0 may be missing, without an answer that tells anything of the inside', async () => {
    const answer = await sendRaw(host, 'GET /index.yaml HTTP/1.0\r\n\r\n')
    expect([200, 400]).toContain(answer.status)
  })

  test('never gets into an answer', async () => {
    const answer = await ask('Host: evil.example\r\n')
    expect(answer.text).not.toContain('evil.example')
  })
})

describe('methods', () => {
  const routes = ['/', '/index.yaml', '/health', '/readyz', '/charts/app-1.0.0.tgz', '/charts/none-1.0.0.tgz']

  test.each(routes)('other than GET and HEAD on %s are 405 with Allow', async (path) => {
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
      const answer = await get(path, {}, method)
      expect([method, answer.status, answer.headers.get('allow')]).toEqual([method, 405, 'GET, HEAD'])
      expectSentence(await answer.text())
    }
  })

  test('on an unknown route are 404', async () => {
    for (const method of ['GET', 'HEAD', 'POST', 'DELETE']) expect((await get('/nowhere', {}, method)).status).toBe(404)
  })

  test('that nobody knows are refused', async () => {
    const answer = await requestRaw(host, '/index.yaml', { method: 'BREW' })
    // 0: the runtime closes the connection without an answer.
    expect([0, 400, 405, 501]).toContain(answer.status)
  })

  test.each(routes)('HEAD on %s mirrors GET', async (path) => {
    // What is decoded on the way has no length that could be compared.
    const plain = { 'accept-encoding': 'identity' }
    const whole = await get(path, plain)
    const head = await get(path, plain, 'HEAD')
    expect(head.status).toBe(whole.status)
    const length = (await whole.bytes()).length
    expect((await head.bytes()).length).toBe(0)
    for (const name of [
      'content-type',
      'etag',
      'docker-content-digest',
      'accept-ranges',
      'cache-control',
      'content-disposition',
    ]) {
      expect([name, head.headers.get(name)]).toEqual([name, whole.headers.get(name)])
    }
    // The ages in /readyz may differ by a digit between the two.
    if (path !== '/readyz') expect(head.headers.get('content-length')).toBe(String(length))
  })

  test('a large body sent with GET is not waited for', async () => {
    const answer = await requestRaw(host, '/health', { headers: ['Content-Length: 5'] })
    expect([0, 200, 400, 408]).toContain(answer.status)
  })
})

describe('broken requests', () => {
  test.each([
    ['no HTTP', 'nonsense\r\n\r\n'],
    [
      'two lengths',
      `POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab`,
    ],
    [
      'a length and chunks',
      `POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    ],
    ['a header of 100 KB', `GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Long: ${'x'.repeat(100_000)}\r\n\r\n`],
  ])('%s: a 4xx or a closed connection, and the server lives on', async (_what, bytes) => {
    const answer = await sendRaw(host, bytes)
    expect(answer.status === 0 || (answer.status >= 400 && answer.status < 500)).toBe(true)
    expect(answer.text).not.toMatch(/\.ts:\d|node_modules/)
    expect((await get('/health')).status).toBe(200)
  })

  test('nothing of all this got into the log as an error', async () => {
    expect(server.logLines().filter(({ level }) => level === 'error')).toEqual([])
  })
})
