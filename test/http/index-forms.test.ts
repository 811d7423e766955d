/** Every form of /index.yaml over a real socket: its bytes, entity tag, 304, ranges and HEAD. */
import { describe, expect, test } from 'bun:test'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { ChartRepoError } from '../../src/errors.ts'
import type { IndexFormat } from '../../src/helm/index-entry.ts'
import type { Coding } from '../../src/lib/compression.ts'
import { CODINGS, type HeldIndex, TEXTS } from './held-index.ts'
import { openStage } from './stage.ts'

const forms = (['yaml', 'json'] as const).flatMap((format) => CODINGS.map((coding) => [format, coding] as const))

const decoders = { gzip: gunzipSync, zstd: zstdDecompressSync } as const

interface Form {
  readonly index: HeldIndex
  readonly whole: Buffer<ArrayBuffer>
  readonly etag: string
  ask(headers?: Readonly<Record<string, string>>, method?: string): Promise<{ response: Response; bytes: Buffer }>
}

/** Asks for one form as a cache does: nothing is decoded on the way. */
async function withForm(format: IndexFormat, coding: Coding | undefined, use: (form: Form) => Promise<void>) {
  const { index, overSocket } = openStage()
  await overSocket((origin) =>
    use({
      index,
      whole: index.bytesOf(format, coding),
      etag: index.document(format, coding).etag,
      ask: async (headers = {}, method = 'GET') => {
        const asking = { accept: `application/${format}`, 'accept-encoding': coding ?? 'identity', ...headers }
        const response = await fetch(`${origin}/index.yaml`, { method, headers: asking, decompress: false })
        return { response, bytes: Buffer.from(await response.bytes()) }
      },
    }),
  )
}

describe.each(forms)('the index as %s, coded %p', (format, coding) => {
  test('is its very bytes, said to be what they are', async () => {
    await withForm(format, coding, async ({ ask, whole, etag, index }) => {
      const { response, bytes } = await ask()
      expect([response.status, bytes.equals(whole)]).toEqual([200, true])
      const plain = coding === undefined ? bytes : decoders[coding](bytes)
      expect(plain.toString()).toBe(TEXTS[format])
      expect(Object.fromEntries(response.headers)).toMatchObject({
        'content-type': `application/${format}`,
        'content-length': String(whole.length),
        etag,
        vary: 'Accept, Accept-Encoding, User-Agent',
        'cache-control': 'public, max-age=1, stale-if-error=86400',
        'accept-ranges': 'bytes',
      })
      expect(response.headers.get('content-encoding')).toBe(coding ?? null)
      expect(index.opened).toEqual([`${format} ${coding ?? 'plain'}`])
    })
  })

  test('is 304 for who has this form, with what a cache must know, and opens nothing', async () => {
    await withForm(format, coding, async ({ ask, etag, index }) => {
      for (const method of ['GET', 'HEAD']) {
        const { response, bytes } = await ask({ 'if-none-match': `"x", W/${etag}` }, method)
        expect([response.status, bytes.length]).toEqual([304, 0])
        expect(Object.fromEntries(response.headers)).toMatchObject({
          etag,
          vary: 'Accept, Accept-Encoding, User-Agent',
          'cache-control': 'public, max-age=1, stale-if-error=86400',
        })
        expect(response.headers.has('content-encoding')).toBe(false)
      }
      expect(index.opened).toEqual([])
    })
  })

  test('is sent to who has another form', async () => {
    await withForm(format, coding, async ({ ask, index, whole }) => {
      const others = forms.filter((other) => other[0] !== format || other[1] !== coding)
      const tags = others.map(([otherFormat, otherCoding]) => index.document(otherFormat, otherCoding).etag)
      const { response, bytes } = await ask({ 'if-none-match': tags.join(', ') })
      expect([response.status, bytes.equals(whole)]).toEqual([200, true])
    })
  })

  test('has ranges of its own bytes, and none for who has another form', async () => {
    await withForm(format, coding, async ({ ask, index, whole, etag }) => {
      const middle = await ask({ range: 'bytes=5-14', 'if-range': etag })
      expect([middle.response.status, middle.bytes.equals(whole.subarray(5, 15))]).toEqual([206, true])
      expect(middle.response.headers.get('content-range')).toBe(`bytes 5-14/${whole.length}`)
      expect(middle.response.headers.get('content-encoding')).toBe(coding ?? null)
      expect(middle.response.headers.get('content-length')).toBe('10')
      const rest = await ask({ range: 'bytes=15-' })
      const first = await ask({ range: 'bytes=0-4' })
      expect(Buffer.concat([first.bytes, middle.bytes, rest.bytes]).equals(whole)).toBe(true)
      const beyond = await ask({ range: `bytes=${whole.length}-` })
      expect([beyond.response.status, beyond.response.headers.get('content-range')]).toEqual([
        416,
        `bytes */${whole.length}`,
      ])
      const [otherFormat, otherCoding] = forms.find((other) => other[0] !== format) ?? [format, coding]
      const moved = await ask({ range: 'bytes=5-14', 'if-range': index.document(otherFormat, otherCoding).etag })
      expect([moved.response.status, moved.bytes.equals(whole)]).toEqual([200, true])
    })
  })

  test('has a HEAD with the headers of GET, and opens nothing for it', async () => {
    await withForm(format, coding, async ({ ask, index }) => {
      const { response: head, bytes } = await ask({}, 'HEAD')
      expect([head.status, bytes.length, index.opened]).toEqual([200, 0, []])
      const { response: get } = await ask()
      const said = (response: Response) => {
        const { date: _now, ...headers } = Object.fromEntries(response.headers)
        return headers
      }
      expect(said(head)).toEqual(said(get))
    })
  })
})

test('no two forms share an entity tag', () => {
  const { index } = openStage()
  expect(new Set(forms.map(([format, coding]) => index.document(format, coding).etag)).size).toBe(forms.length)
})

test.each(['yaml', 'json'] as const)('--index-format=%s has no other format for anybody', async (indexFormat) => {
  const { request, index } = openStage({ indexFormat })
  for (const headers of [{ 'user-agent': 'Helm/4.2.3' }, { accept: 'application/json' }, { accept: 'text/yaml' }]) {
    const response = await request('/index.yaml', headers)
    expect([response.status, response.headers.get('content-type'), response.headers.get('vary')]).toEqual([
      200,
      `application/${indexFormat}`,
      'Accept-Encoding',
    ])
    expect(await response.text()).toBe(TEXTS[indexFormat])
  }
  expect(index.opened).toHaveLength(3)
})

test('an index that cannot be opened is a sentence and a time to come back, kept by nobody', async () => {
  const { request, index } = openStage()
  const document = index.document('yaml')
  const failing = {
    ...document,
    open: () => Promise.reject(new ChartRepoError('STORAGE_FULL', 'The index cannot be kept anywhere')),
  }
  Object.assign(index, { document: () => failing })
  const response = await request('/index.yaml')
  expect([response.status, response.headers.get('cache-control'), response.headers.get('etag')]).toEqual([
    503,
    'no-store',
    null,
  ])
  expect(await response.text()).toMatch(/^[A-Z][^\n]+\.\n$/)
  expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0)
})
