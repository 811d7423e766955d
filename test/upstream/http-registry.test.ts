/** The registry's protocol: what is asked, what is believed, and whose word makes something absent. */
import { describe, expect, test } from 'bun:test'
import { limits } from '../../src/limits.ts'
import { digestBytes } from '../../src/oci/digest.ts'
import { acceptedManifests, mediaTypes } from '../../src/oci/media-types.ts'
import { HttpRegistry } from '../../src/upstream/http-registry.ts'
import { type Answer, answerInTurn, json, refusal, rejection } from './fake-send.ts'

const bytes = Buffer.from('{"schemaVersion":2}')
const digest = digestBytes(bytes)
const blob = { mediaType: 'application/x', digest, size: bytes.byteLength }
const proxy404 = () => new Response('<h1>404</h1>', { status: 404 })

function open(...answers: readonly Answer[]) {
  const fake = answerInTurn(...answers)
  return { ...fake, registry: new HttpRegistry(fake.send, new URL('https://r.example')) }
}

describe('listCatalog', () => {
  test('asks for pages of 1,000, and takes names of the grammar only', async () => {
    const { registry, calls, lines } = open(
      json({ repositories: ['a', 'team/b', 'UPPER', '../x', 'a b', '', 7, null, 'a'] }),
    )
    expect(await registry.listCatalog()).toEqual({ names: ['a', 'team/b'], incomplete: undefined })
    expect(lines()).toEqual(['GET https://r.example/v2/_catalog?n=1000'])
    expect(calls[0]).toMatchObject({ scope: 'registry:catalog:*', purpose: 'list' })
  })

  test('takes null for none', async () => {
    expect(await open(json({ repositories: null })).registry.listCatalog()).toMatchObject({ names: [] })
  })

  test.each([400, 405])('asks again without a page size when %d is the answer', async (status) => {
    const { registry, lines } = open(refusal(status, 'PAGINATION_NUMBER_INVALID'), json({ repositories: ['a'] }))
    expect(await registry.listCatalog()).toMatchObject({ names: ['a'] })
    expect(lines()).toEqual(['GET https://r.example/v2/_catalog?n=1000', 'GET https://r.example/v2/_catalog'])
  })

  test.each([
    [401, 'UPSTREAM_DENIED'],
    [403, 'UPSTREAM_DENIED'],
    [404, 'UPSTREAM_UNKNOWN'],
    [500, 'UPSTREAM_UNAVAILABLE'],
  ])('fails on %d with %s, after one request', async (status, code) => {
    const { registry, calls } = open(refusal(status, 'X'))
    expect(await rejection(registry.listCatalog())).toMatchObject({ code, status })
    expect(calls).toHaveLength(1)
  })

  test.each([{}, { repositories: 'a' }, { repositories: {} }, { names: [] }, [[]], 'x', null])(
    'fails on %j, which is no page',
    async (page) => {
      expect(await rejection(open(json(page)).registry.listCatalog())).toMatchObject({ code: 'UPSTREAM_MALFORMED' })
    },
  )
})

describe('listTags', () => {
  test('takes tags of the grammar only, and null for none', async () => {
    const { registry, calls } = open(
      json({ name: 'a', tags: ['1.0.0', 'a/b', '-x', '', '_', '1.0.0'] }),
      json({ tags: null }),
    )
    expect(await registry.listTags('team/a')).toEqual({ names: ['1.0.0', '_'], incomplete: undefined })
    expect(calls[0]).toMatchObject({
      url: new URL('https://r.example/v2/team/a/tags/list'),
      scope: 'repository:team/a:pull',
      purpose: 'list',
    })
    expect(await registry.listTags('a')).toMatchObject({ names: [] })
  })

  test('has none where the registry says so itself', async () => {
    expect(await open(refusal(404, 'NAME_UNKNOWN')).registry.listTags('a')).toBeUndefined()
  })

  test('fails where somebody else says 404', async () => {
    expect(await rejection(open(proxy404()).registry.listTags('a'))).toMatchObject({
      code: 'UPSTREAM_UNKNOWN',
      status: 404,
    })
  })

  test('is incomplete where a later page is gone, whoever says so', async () => {
    for (const gone of [refusal(404, 'NAME_UNKNOWN'), proxy404()]) {
      const { registry } = open(json({ tags: ['a'] }, 200, { link: '<?last=a>; rel="next"' }), gone)
      expect(await registry.listTags('a')).toMatchObject({ names: ['a'], incomplete: { status: 404 } })
    }
  })

  test.each([401, 403, 500])('fails on %d', async (status) => {
    expect(await rejection(open(refusal(status, 'DENIED')).registry.listTags('a'))).toMatchObject({ status })
  })
})

describe('resolveTag', () => {
  test('asks by HEAD and takes the digest of the answer', async () => {
    const { registry, calls } = open(new Response(null, { headers: { 'docker-content-digest': digest } }))
    expect(await registry.resolveTag('a', '1.0.0')).toBe(digest)
    expect(calls).toEqual([
      expect.objectContaining({
        method: 'HEAD',
        url: new URL('https://r.example/v2/a/manifests/1.0.0'),
        scope: 'repository:a:pull',
        headers: { accept: acceptedManifests },
      }),
    ])
  })

  test.each([undefined, '', 'x', 'md5:0', `${digest},${digest}`])(
    'does not know where the header is %j',
    async (value) => {
      const headers: Record<string, string> = value === undefined ? {} : { 'docker-content-digest': value }
      expect(await open(new Response(null, { headers })).registry.resolveTag('a', '1')).toBeUndefined()
    },
  )

  test('leaves 404, and what a server says that does not know HEAD, to whoever reads the manifest; fails on all else', async () => {
    for (const status of [404, 405, 501]) {
      expect(await open(new Response(null, { status })).registry.resolveTag('a', '1')).toBeUndefined()
    }
    for (const status of [401, 403, 429, 500]) {
      expect(await rejection(open(new Response(null, { status })).registry.resolveTag('a', '1'))).toMatchObject({
        status,
      })
    }
  })
})

describe('readManifest', () => {
  const lie = digestBytes(Buffer.from('a lie'))
  const answer = (body: Uint8Array<ArrayBuffer> = bytes, type: string = mediaTypes.ociManifest) =>
    new Response(body, { headers: { 'content-type': type, 'docker-content-digest': lie } })

  test('computes the digest, and takes the type without parameters', async () => {
    const { registry, calls } = open(answer(bytes, `${mediaTypes.ociManifest.toUpperCase()} ; charset=utf-8`))
    expect(await registry.readManifest('a', 'latest')).toEqual({
      digest,
      mediaType: mediaTypes.ociManifest,
      bytes: new Uint8Array(bytes),
      confirmed: false,
    })
    expect(calls[0]).toMatchObject({ headers: { accept: acceptedManifests }, maxBodyBytes: limits.maxManifestBytes })
  })

  test('tells whether the registry calls the bytes by their digest', async () => {
    const confirmed = async (headers: Record<string, string>) =>
      (await open(new Response(bytes, { headers })).registry.readManifest('a', 'latest'))?.confirmed
    expect(await confirmed({ 'docker-content-digest': digest })).toBe(true)
    expect(await confirmed({ 'docker-content-digest': lie })).toBe(false)
    expect(await confirmed({})).toBeUndefined()
  })

  test('does not hold the digest of another algorithm against the registry, when it is that of the bytes', async () => {
    const headers = { 'docker-content-digest': digestBytes(bytes, 'sha512') }
    const manifest = await open(new Response(bytes, { headers })).registry.readManifest('a', 'latest')
    expect(manifest?.confirmed).not.toBe(false)
  })

  test('verifies a digest that was asked for, of either algorithm', async () => {
    const sha512 = digestBytes(bytes, 'sha512')
    expect(await open(answer()).registry.readManifest('a', digest)).toMatchObject({ digest })
    expect(await open(answer()).registry.readManifest('a', sha512)).toMatchObject({ digest: sha512 })
    expect(await rejection(open(answer(Buffer.from('other'))).registry.readManifest('a', digest))).toMatchObject({
      code: 'DIGEST_MISMATCH',
    })
  })

  test("believes in absence on the registry's own word", async () => {
    expect(await open(refusal(404, 'MANIFEST_UNKNOWN')).registry.readManifest('a', '1')).toBeUndefined()
    expect(await rejection(open(proxy404()).registry.readManifest('a', '1'))).toMatchObject({
      code: 'UPSTREAM_UNKNOWN',
    })
    expect(await rejection(open(refusal(500, 'UNKNOWN')).registry.readManifest('a', '1'))).toMatchObject({
      code: 'UPSTREAM_UNAVAILABLE',
    })
  })
})

describe('readBlob', () => {
  test('reads it whole within its bound, and verifies it', async () => {
    const { registry, calls } = open(new Response(bytes))
    expect(await registry.readBlob('a', blob, { maxBytes: 100 })).toEqual(new Uint8Array(bytes))
    expect(calls[0]).toMatchObject({
      url: new URL(`https://r.example/v2/a/blobs/${digest}`),
      maxBodyBytes: 100,
      scope: 'repository:a:pull',
    })
    expect(await rejection(open(new Response('other')).registry.readBlob('a', blob, { maxBytes: 100 }))).toMatchObject({
      code: 'DIGEST_MISMATCH',
    })
  })

  test("believes in absence on the registry's own word", async () => {
    expect(await open(refusal(404, 'BLOB_UNKNOWN')).registry.readBlob('a', blob, { maxBytes: 1 })).toBeUndefined()
    expect(await rejection(open(proxy404()).registry.readBlob('a', blob, { maxBytes: 1 }))).toMatchObject({
      status: 404,
    })
  })
})

describe('openBlob', () => {
  test('streams it, without a bound of its own', async () => {
    const { registry, calls } = open(new Response('other'))
    expect(await new Response(await registry.openBlob('a', blob)).text()).toBe('other')
    expect(calls[0]).not.toHaveProperty('maxBodyBytes')
    expect(calls[0]?.purpose).toBe('chart')
  })

  test('streams nothing of an empty blob', async () => {
    expect(await new Response(await open(new Response(null)).registry.openBlob('a', blob)).bytes()).toHaveLength(0)
  })

  test("believes in absence on the registry's own word", async () => {
    expect(await open(refusal(404, 'BLOB_UNKNOWN')).registry.openBlob('a', blob)).toBeUndefined()
    expect(await rejection(open(proxy404()).registry.openBlob('a', blob))).toMatchObject({ status: 404 })
    expect(await rejection(open(refusal(503, 'X')).registry.openBlob('a', blob))).toMatchObject({ retryable: true })
  })
})
