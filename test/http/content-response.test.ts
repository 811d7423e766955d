/** Conditional requests and ranges, against a slice of the bytes. */
import { describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import fc from 'fast-check'
import { allowsRange, matchesNone } from '../../src/http/conditional.ts'
import { respondWithContent } from '../../src/http/content-response.ts'
import { textResponse } from '../../src/http/error-table.ts'
import { openStream, readFileAhead } from '../../src/lib/file-stream.ts'
import { limits } from '../../src/limits.ts'
import { sendRaw } from '../faults/raw-request.ts'
import { openTempDir } from '../stand/temp-dir.ts'

const etag = '"sha256:abc"'

function respond(bytes: Uint8Array, headers: Readonly<Record<string, string>> = {}, method = 'GET') {
  return respondWithContent(new Request('http://h/', { method, headers }), {
    etag,
    size: bytes.byteLength,
    headers: { 'content-type': 'application/x', 'cache-control': 'no-cache' },
    open: () => new Blob([new Uint8Array(bytes)]),
  })
}

describe('respondWithContent', () => {
  test('gives the part of any range, by RFC 9110', async () => {
    const edge = fc.oneof(fc.constant(undefined), fc.nat({ max: 40 }), fc.constant(10 ** 12))
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 30 }), edge, edge, async (bytes, first, last) => {
        fc.pre(first !== undefined || last !== undefined)
        const response = await respond(bytes, { range: `bytes=${first ?? ''}-${last ?? ''}` })
        const size = bytes.length
        const body = await response.bytes()
        const start = first ?? Math.max(0, size - (last ?? 0))
        const end = first === undefined ? size : Math.min(size, (last ?? size) + 1)
        if (start >= size || end <= start) {
          expect([response.status, response.headers.get('content-range'), body.length]).toEqual([
            416,
            `bytes */${size}`,
            0,
          ])
          return
        }
        expect([response.status, response.headers.get('content-range')]).toEqual([
          206,
          `bytes ${start}-${end - 1}/${size}`,
        ])
        expect([...body]).toEqual([...bytes.slice(start, end)])
        expect(response.headers.get('etag')).toBe(etag)
      }),
      { numRuns: 300 },
    )
  })

  test('puts the pieces of a package together again, as a broken download does', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ minLength: 1, maxLength: 200 }),
        fc.integer({ min: 1, max: 60 }),
        async (bytes, piece) => {
          const parts: Uint8Array[] = []
          for (let at = 0; at < bytes.length; at += piece) {
            const response = await respond(bytes, { range: `bytes=${at}-${at + piece - 1}`, 'if-range': etag })
            expect(response.status).toBe(206)
            parts.push(await response.bytes())
          }
          expect(Buffer.compare(Buffer.concat(parts), bytes)).toBe(0)
        },
      ),
      { numRuns: 50 },
    )
  })

  const hello = Buffer.from('hello')

  test.each([
    [{ 'if-none-match': etag }, 304],
    [{ 'if-none-match': `W/${etag}` }, 304],
    [{ 'if-none-match': '*' }, 304],
    [{ 'if-none-match': `"a", ${etag}` }, 304],
    [{ 'if-none-match': etag, range: 'bytes=0-1' }, 304],
    [{ 'if-none-match': '"other"', range: 'bytes=0-1' }, 206],
    [{ 'if-none-match': 'sha256:abc' }, 200],
    [{ 'if-modified-since': 'Fri, 31 Dec 2099 23:59:59 GMT' }, 200],
    [{ range: 'bytes=0-1', 'if-range': etag }, 206],
    [{ range: 'bytes=0-1', 'if-range': `W/${etag}` }, 200],
    [{ range: 'bytes=0-1', 'if-range': '"other"' }, 200],
    [{ range: 'bytes=0-1', 'if-range': 'Fri, 31 Dec 2099 23:59:59 GMT' }, 200],
    [{ range: 'bytes=9-', 'if-range': '"other"' }, 200],
    [{ range: 'bytes=9-' }, 416],
    [{ range: 'bytes=0-1,2-3' }, 200],
    [{ range: 'lines=0-1' }, 200],
  ] as const)('answers %j with %d', async (headers, status) => {
    const response = await respond(hello, headers as Record<string, string>)
    expect(response.status).toBe(status)
    if (status === 200) expect(await response.text()).toBe('hello')
    if (status === 304)
      expect([await response.text(), response.headers.get('etag'), response.headers.get('content-type')]).toEqual([
        '',
        etag,
        null,
      ])
  })

  test('says all of itself in a 304 but what is about the bytes, which are not there', async () => {
    const headers = {
      'content-type': 'application/x',
      'content-encoding': 'gzip',
      'content-disposition': 'inline',
      'cache-control': 'public, max-age=1',
      vary: 'Accept',
      'docker-content-digest': 'sha256:abc',
      'x-snapshot-age': '3',
    }
    const request = new Request('http://h/', { headers: { 'if-none-match': etag } })
    const open = () => {
      throw new TypeError('Nothing is to be opened')
    }
    const response = await respondWithContent(request, { etag, size: 5, headers, open })
    expect([response.status, Object.fromEntries(response.headers)]).toEqual([
      304,
      {
        etag,
        'cache-control': 'public, max-age=1',
        vary: 'Accept',
        'docker-content-digest': 'sha256:abc',
        'x-snapshot-age': '3',
      },
    ])
  })

  test('answers HEAD with the headers of GET and no body, whatever the range', async () => {
    for (const headers of [{}, { range: 'bytes=0-1' }, { range: 'bytes=9-' }] as const) {
      const response = await respond(hello, headers, 'HEAD')
      expect([
        response.status,
        response.headers.get('content-length'),
        response.headers.get('etag'),
        await response.text(),
      ]).toEqual([200, '5', etag, ''])
    }
    expect((await respond(hello, { 'if-none-match': etag }, 'HEAD')).status).toBe(304)
  })

  test('does not keep a 416 in any cache', async () => {
    expect((await respond(hello, { range: 'bytes=9-' })).headers.get('cache-control')).toBe('no-store')
  })
})

test('matchesNone compares weakly, allowsRange strongly', () => {
  expect([null, '', '"b"', 'a', 'W/"b", "c"'].map((header) => matchesNone(header, '"a"'))).toEqual([
    false,
    false,
    false,
    false,
    false,
  ])
  expect(['"a"', 'W/"a"', '"b","a"', '*', ' * ', '"b, c", "a"'].map((header) => matchesNone(header, '"a"'))).toEqual(
    Array(6).fill(true),
  )
  expect(matchesNone('"a"', 'W/"a"')).toBe(true)
  expect([null, '"a"', ' "a" '].map((header) => allowsRange(header, '"a"'))).toEqual([true, true, true])
  expect(['W/"a"', '"b"', 'a', ''].map((header) => allowsRange(header, '"a"'))).toEqual([false, false, false, false])
})

test('textResponse is one line of plain text that nobody keeps', async () => {
  const response = textResponse(418, 'No.', { allow: 'GET' })
  expect([response.status, await response.text()]).toEqual([418, 'No.\n'])
  expect(Object.fromEntries(response.headers)).toEqual({
    'content-type': 'text/plain; charset=utf-8',
    'cache-control': 'no-store',
    allow: 'GET',
  })
})

describe('what is sent in pieces', () => {
  test.each(['a file', 'a stream'])('has its length, as %s, for clients of HTTP/1.0 (nginx)', async (kind) => {
    await using temp = await openTempDir()
    const path = join(temp.path, 'large')
    const size = limits.minPiecedFileBytes
    await Bun.write(path, new Uint8Array(size))
    const stream = kind === 'a stream' ? () => openStream(readFileAhead({ path, start: 0, end: size })) : undefined
    await using server = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      fetch: (request) => respondWithContent(request, { etag, size, headers: {}, open: () => Bun.file(path), stream }),
    })
    const head = `Host: ${server.url.host}\r\nConnection: close`
    const old = await sendRaw(server.url.host, `GET / HTTP/1.0\r\n${head}\r\n\r\n`)
    expect([old.headers['content-length'], old.body.length]).toEqual([String(size), size])
    const part = await sendRaw(server.url.host, `GET / HTTP/1.0\r\n${head}\r\nRange: bytes=0-\r\n\r\n`)
    expect([part.headers['content-length'], part.body.length]).toEqual([String(size), size])
  })
})
