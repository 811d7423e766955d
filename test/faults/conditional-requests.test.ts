/** ETag and 304, ranges and If-Range, over a real socket. One server for all of it. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type FakeRegistry, openFakeRegistry } from '../fakes/fake-registry.ts'
import type { AddedChart } from '../fakes/fake-store.ts'
import type { Server } from '../stand/server.ts'
import { requestRaw } from './raw-request.ts'
import { openServerOver, waitForIndex } from './scene.ts'

let registry: FakeRegistry
let server: Server
let host: string
let chart: AddedChart
let chartPath: string

beforeAll(async () => {
  registry = await openFakeRegistry()
  chart = registry.addChart({ repository: 'team/app', name: 'app', version: '1.0.0' })
  chartPath = `/charts/${chart.fileName}`
  server = await openServerOver(registry, { args: ['--refresh-interval=1h', '--refresh-wait=5s'] })
  host = new URL(server.url).host
  await waitForIndex(server, [chart.fileName])
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await registry[Symbol.asyncDispose]()
})

const get = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
  server.get(path, { method, headers, redirect: 'manual' })

describe('conditional requests', () => {
  const paths = ['/index.yaml', '/charts/app-1.0.0.tgz']

  test.each(paths)('If-None-Match on %s', async (path) => {
    const whole = await get(path)
    await whole.bytes()
    const etag = whole.headers.get('etag') ?? ''
    expect(etag).toMatch(/^"[^"]+"$/)
    const opaque = etag.slice(1, -1)
    const matching = [
      etag,
      '*',
      `W/${etag}`,
      `"other", ${etag}`,
      `"other",W/${etag} , "more"`,
      ` ${etag} `,
      `"a,b",${etag}`,
    ]
    for (const value of matching) {
      for (const method of ['GET', 'HEAD']) {
        const answer = await get(path, { 'if-none-match': value }, method)
        expect([value, method, answer.status]).toEqual([value, method, 304])
        expect((await answer.bytes()).length).toBe(0)
        expect(answer.headers.get('etag')).toBe(etag)
      }
    }
    for (const value of ['"other"', opaque, '""', 'W/"other"', `"x${opaque}"`, `"${opaque.slice(0, -1)}"`, '"*"', '']) {
      const answer = await get(path, { 'if-none-match': value })
      await answer.bytes()
      expect([value, answer.status]).toEqual([value, 200])
    }
  })

  test('If-None-Match on an unknown chart is still 404', async () => {
    expect((await get('/charts/none-1.0.0.tgz', { 'if-none-match': '*' })).status).toBe(404)
  })

  test('the index tells its age, and its type is YAML', async () => {
    const answer = await get('/index.yaml')
    await answer.bytes()
    expect(answer.headers.get('x-snapshot-age')).toMatch(/^\d+(\.\d+)?$/)
    expect(answer.headers.get('content-type')).toMatch(/yaml/)
  })

  test('no encoding is used unless it was asked for, and none for charts', async () => {
    for (const path of paths) {
      for (const headers of [[], ['Accept-Encoding: br'], ['Accept-Encoding: gzip;q=0, zstd;q=0']]) {
        expect((await requestRaw(host, path, { headers })).headers['content-encoding']).toBeUndefined()
      }
    }
    const all = { headers: ['Accept-Encoding: gzip, br, zstd'] }
    expect((await requestRaw(host, '/index.yaml', all)).headers['content-encoding']).toBe('zstd')
    expect((await requestRaw(host, chartPath, all)).headers['content-encoding']).toBeUndefined()
  })

  test('an entity tag of the index stands for one form of it', async () => {
    const forms = ['yaml', 'json'].flatMap((format) =>
      ['identity', 'gzip', 'zstd'].map((coding) => ({ accept: `application/${format}`, 'accept-encoding': coding })),
    )
    const etagOf = async (form: Record<string, string>) => (await get('/index.yaml', form, 'HEAD')).headers.get('etag')
    const etags = await Promise.all(forms.map(async (form) => (await etagOf(form)) ?? ''))
    expect(new Set(etags).size).toBe(forms.length)
    for (const form of forms) {
      for (const etag of etags) {
        const answer = await get('/index.yaml', { ...form, 'if-none-match': etag })
        await answer.bytes()
        expect(answer.status === 304).toBe(etag === (await etagOf(form)))
      }
    }
  })
})

describe('ranges on charts', () => {
  const ask = async (range: string, headers: Record<string, string> = {}) => {
    const answer = await get(chartPath, { range, ...headers })
    const bytes = await answer.bytes()
    return { status: answer.status, bytes, contentRange: answer.headers.get('content-range'), headers: answer.headers }
  }

  test('the whole chart says that ranges are welcome', async () => {
    const answer = await get(chartPath)
    expect(await answer.bytes()).toEqual(new Uint8Array(chart.archive))
    expect(answer.headers.get('accept-ranges')).toBe('bytes')
    expect(answer.headers.get('content-range')).toBeNull()
    expect(answer.headers.get('docker-content-digest')).toBe(chart.chartDigest)
    expect(answer.headers.get('content-length')).toBe(String(chart.archive.length))
  })

  test('first bytes, middle, open end, suffix, clamped', async () => {
    const size = chart.archive.length
    const cases: [range: string, start: number, end: number][] = [
      ['bytes=0-0', 0, 1],
      ['bytes=0-9', 0, 10],
      ['bytes=10-19', 10, 20],
      ['bytes=100-', 100, size],
      ['bytes=-20', size - 20, size],
      [`bytes=-${size * 2}`, 0, size],
      [`bytes=50-${size * 10}`, 50, size],
      [`bytes=${size - 1}-`, size - 1, size],
    ]
    for (const [range, start, end] of cases) {
      const answer = await ask(range)
      expect([range, answer.status, answer.contentRange]).toEqual([range, 206, `bytes ${start}-${end - 1}/${size}`])
      expect(answer.bytes).toEqual(new Uint8Array(chart.archive.subarray(start, end)))
      expect(answer.headers.get('etag')).toMatch(/^"/)
    }
  })

  test('behind the end, or ending before it begins, is 416 with the size', async () => {
    const size = chart.archive.length
    const behind = [`bytes=${size}-`, `bytes=${size * 2}-${size * 3}`, 'bytes=-0', `bytes=${'9'.repeat(30)}-`]
    for (const range of [...behind, 'bytes=9-5']) {
      const answer = await ask(range)
      expect([range, answer.status, answer.contentRange]).toEqual([range, 416, `bytes */${size}`])
    }
  })

  test('several, other units and nonsense get the whole chart', async () => {
    for (const range of [
      'bytes=0-1,5-9',
      'bytes=0-1, -5',
      'lines=0-1',
      'bytes=-',
      'bytes=a-b',
      'bytes',
      'bytes=1--2',
      'bytes=0x1-0x5',
    ]) {
      const answer = await ask(range)
      expect([range, answer.status]).toEqual([range, 200])
      expect(answer.bytes.length).toBe(chart.archive.length)
    }
  })

  test('If-Range with this version is a range, with another or a weak one the whole', async () => {
    const etag = (await ask('bytes=0-0')).headers.get('etag') ?? ''
    expect((await ask('bytes=0-4', { 'if-range': etag })).status).toBe(206)
    for (const value of ['"other"', `W/${etag}`, 'Sat, 01 Jan 2000 00:00:00 GMT', 'nonsense']) {
      expect([value, (await ask('bytes=0-4', { 'if-range': value })).status]).toEqual([value, 200])
    }
    // A precondition that failed comes before the range.
    expect((await ask(`bytes=${chart.archive.length}-`, { 'if-range': '"other"' })).status).toBe(200)
  })

  test('If-None-Match comes before Range', async () => {
    const etag = (await ask('bytes=0-0')).headers.get('etag') ?? ''
    expect((await ask('bytes=0-4', { 'if-none-match': etag })).status).toBe(304)
    expect((await ask('bytes=0-4', { 'if-none-match': '"other"' })).status).toBe(206)
  })

  test('HEAD has no use for a range', async () => {
    const answer = await get(chartPath, { range: 'bytes=0-4' }, 'HEAD')
    expect([200, 206]).toContain(answer.status)
    expect((await answer.bytes()).length).toBe(0)
  })
})
