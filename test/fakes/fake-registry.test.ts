/** The fake has to be right before anything is judged by it: its answers, its strictness, each of its faults. */
import { describe, expect, test } from 'bun:test'
import { sendRaw } from '../faults/raw-request.ts'
import { PASSWORD, USER } from '../stand/secrets.ts'
import { digestOf, mediaTypes } from './fake-chart.ts'
import { type FakeRegistry, openFakeRegistry } from './fake-registry.ts'
import {
  after,
  always,
  cutBody,
  held,
  reply,
  replyJson,
  replyOciError,
  reset,
  stall,
  wrongBytes,
} from './fault-script.ts'

const accept = { accept: Object.values(mediaTypes).join(', ') }
const app = { repository: 'team/app', name: 'app', version: '1.0.0+build.1' }

/** Takes what was collected, so that a test of the strictness itself does not fail at disposal. */
function takeViolations(registry: FakeRegistry): string[] {
  return registry.violations.splice(0)
}

/** How a fetch ends that gets no whole answer. */
async function failureOf(request: Promise<Response>): Promise<unknown> {
  try {
    await (await request).bytes()
    return 'a whole answer'
  } catch (error) {
    return (error as { code?: unknown }).code
  }
}

describe('a healthy fake registry', () => {
  test('serves a chart from the catalog to the archive', async () => {
    await using registry = await openFakeRegistry()
    const chart = registry.addChart(app)
    const get = (path: string) => fetch(`${registry.origin}${path}`, { headers: accept })

    expect((await get('/v2/')).status).toBe(200)
    expect(await (await get('/v2/_catalog')).json()).toEqual({ repositories: ['team/app'] })
    expect(await (await get('/v2/team/app/tags/list')).json()).toEqual({ name: 'team/app', tags: ['1.0.0_build.1'] })
    const manifest = await get('/v2/team/app/manifests/1.0.0_build.1')
    expect(manifest.headers.get('docker-content-digest')).toBe(chart.manifestDigest)
    expect(manifest.headers.get('content-type')).toBe(mediaTypes.manifest)
    expect(digestOf(await manifest.bytes())).toBe(chart.manifestDigest)
    const blob = await get(`/v2/team/app/blobs/${chart.chartDigest}`)
    const files = await new Bun.Archive(await blob.bytes()).files()
    expect([...files.keys()]).toEqual(['app/Chart.yaml', 'app/values.yaml'])
    expect(await files.get('app/Chart.yaml')?.json()).toEqual({
      apiVersion: 'v2',
      name: 'app',
      version: '1.0.0+build.1',
    })
    expect(registry.count('GET', /\/blobs\//)).toBe(1)
  })

  test('answers HEAD with the headers of GET and no body', async () => {
    await using registry = await openFakeRegistry()
    const chart = registry.addChart(app)
    const url = `${registry.origin}/v2/team/app/manifests/${chart.tag}`
    const head = await fetch(url, { method: 'HEAD', headers: accept })
    expect(head.headers.get('docker-content-digest')).toBe(chart.manifestDigest)
    expect(Number(head.headers.get('content-length'))).toBeGreaterThan(300)
    expect(await head.text()).toBe('')
    // The connection is still in step afterwards.
    expect((await fetch(url, { headers: accept })).status).toBe(200)
  })

  test('pages its lists when told to', async () => {
    await using registry = await openFakeRegistry({ pageSize: 2 })
    for (const name of ['a', 'b', 'c']) registry.addChart({ repository: name, name, version: '1.0.0' })
    const first = await fetch(`${registry.origin}/v2/_catalog?n=100`)
    expect(await first.json()).toEqual({ repositories: ['a', 'b'] })
    expect(first.headers.get('link')).toBe('</v2/_catalog?last=b&n=2>; rel="next"')
    const second = await fetch(`${registry.origin}/v2/_catalog?last=b&n=2`)
    expect(await second.json()).toEqual({ repositories: ['c'] })
    expect(second.headers.get('link')).toBeNull()
  })

  test('goes away and comes back on its port', async () => {
    await using registry = await openFakeRegistry()
    const probe = () => fetch(`${registry.origin}/v2/`)
    expect((await probe()).status).toBe(200)
    registry.stop()
    expect(await failureOf(probe())).toBe('ECONNREFUSED')
    registry.start()
    expect((await probe()).status).toBe(200)
  })

  test('answers large bodies whole', async () => {
    await using registry = await openFakeRegistry()
    const chart = registry.addChart({ ...app, paddingBytes: 8 << 20 })
    const blob = await fetch(`${registry.origin}/v2/team/app/blobs/${chart.chartDigest}`)
    expect(digestOf(await blob.bytes())).toBe(chart.chartDigest)
  })
})

describe('strictness', () => {
  const faults: [what: string, path: string, init: RequestInit, violation: RegExp][] = [
    ['a method that writes', '/v2/team/app/manifests/x', { method: 'DELETE', headers: accept }, /method that changes/],
    ['a manifest without Accept', '/v2/team/app/manifests/x', {}, /Accept does not name/],
    ['credentials nobody asked for', '/v2/', { headers: { authorization: 'Basic eDp5' } }, /nobody asked for/],
    ['an unknown path', '/v2/team/app/tags/listing', {}, /no registry has/],
    ['a name that is none', '/v2/Team/app/tags/list', {}, /no registry has/],
    ['an unknown parameter', '/v2/_catalog?page=2', {}, /parameter page/],
    ['a page that is too large', '/v2/_catalog?n=10000', {}, /a page of 10000/],
    ['a cookie', '/v2/', { headers: { cookie: 'a=b' } }, /a cookie/],
  ]
  test.each(faults)('%s is a violation', async (_what, path, init, violation) => {
    await using registry = await openFakeRegistry()
    await fetch(`${registry.origin}${path}`, init)
    expect(takeViolations(registry).join('\n')).toMatch(violation)
  })

  test('a violation fails at disposal', async () => {
    const registry = await openFakeRegistry()
    await fetch(`${registry.origin}/other`)
    await expect(registry[Symbol.asyncDispose]()).rejects.toThrow('GET /other: a path that no registry has')
  })

  test('a fault that never happened fails at disposal', async () => {
    const registry = await openFakeRegistry()
    registry.script({ path: /catalog/ }, reset(), reset())
    registry.script({ path: /tags/ }, always(reset()))
    await failureOf(fetch(`${registry.origin}/v2/_catalog`))
    await expect(registry[Symbol.asyncDispose]()).rejects.toThrow(
      /1 scripted answers.*catalog.*never[\s\S]*tags.*never asked for/,
    )
  })

  test('bytes that are no request are a violation', async () => {
    await using registry = await openFakeRegistry()
    expect((await sendRaw(registry.host, 'nonsense\r\n\r\n')).status).toBe(400)
    expect(takeViolations(registry)).toEqual(['bytes that are no request: "nonsense\\r\\n\\r\\n"'])
  })
})

describe('scripted faults', () => {
  test('come in their order, then the healthy answer', async () => {
    await using registry = await openFakeRegistry()
    registry.addChart(app)
    registry.script(
      { method: 'GET', path: /_catalog/ },
      replyOciError(429, 'TOOMANYREQUESTS', { 'retry-after': '1' }),
      reset(),
      replyJson({ repositories: null }),
    )
    const get = () => fetch(`${registry.origin}/v2/_catalog`)
    const first = await get()
    expect([first.status, first.headers.get('retry-after')]).toEqual([429, '1'])
    // On a connection of its own, because fetch repeats a request by itself when a used one breaks.
    expect(await failureOf(fetch(`${registry.origin}/v2/_catalog`, { keepalive: false }))).toBe('ECONNRESET')
    expect(await (await get()).json()).toEqual({ repositories: null })
    expect(await (await get()).json()).toEqual({ repositories: ['team/app'] })
  })

  test('last until they are cleared', async () => {
    await using registry = await openFakeRegistry()
    const script = registry.script({ path: /^\/v2\/$/ }, always(reply({ status: 500 })))
    const status = async () => (await fetch(`${registry.origin}/v2/`)).status
    expect([await status(), await status()]).toEqual([500, 500])
    script.clear()
    expect(await status()).toBe(200)
    expect(script.used()).toBe(2)
  })

  test('cutBody keeps its promise of more bytes than it sends', async () => {
    await using registry = await openFakeRegistry()
    const { chartDigest } = registry.addChart(app)
    const get = () => fetch(`${registry.origin}/v2/team/app/blobs/${chartDigest}`)
    registry.script(
      { path: /blobs/ },
      cutBody(10),
      cutBody(10, { framing: 'chunked' }),
      cutBody(10, { framing: 'close' }),
    )
    expect(await failureOf(get())).toBe('ECONNRESET')
    expect(await failureOf(get())).toBe('ECONNRESET')
    // Nothing tells a reader of this one but the digest.
    expect((await (await get()).bytes()).length).toBe(10)
  })

  test('wrongBytes keeps the length', async () => {
    await using registry = await openFakeRegistry()
    const { chartDigest, archive } = registry.addChart(app)
    registry.script({ path: /blobs/ }, wrongBytes())
    const bytes = await (await fetch(`${registry.origin}/v2/team/app/blobs/${chartDigest}`)).bytes()
    expect(bytes.length).toBe(archive.length)
    expect(digestOf(bytes)).not.toBe(chartDigest)
  })

  test('stall says nothing, from the start or from the middle', async () => {
    await using registry = await openFakeRegistry()
    const { chartDigest } = registry.addChart(app)
    registry.script({ path: /blobs/ }, stall(), stall({ afterBytes: 10 }))
    const get = () => fetch(`${registry.origin}/v2/team/app/blobs/${chartDigest}`, { signal: AbortSignal.timeout(100) })
    // 23 is the code of a TimeoutError.
    expect(await failureOf(get())).toBe(23)
    const late = await get()
    expect(late.status).toBe(200)
    expect(await failureOf(Promise.resolve(late))).toBe(23)
  })

  test('held and after tie an answer to an event', async () => {
    await using registry = await openFakeRegistry()
    registry.addChart(app)
    const { promise: released, resolve: release } = Promise.withResolvers<void>()
    const push = after(() => registry.addChart({ repository: 'late', name: 'late', version: '1.0.0' }))
    registry.script({ path: /_catalog/ }, held(released), push)
    const answer = fetch(`${registry.origin}/v2/_catalog`)
    release()
    expect(await (await answer).json()).toEqual({ repositories: ['team/app'] })
    expect(await (await fetch(`${registry.origin}/v2/_catalog`)).json()).toEqual({ repositories: ['late', 'team/app'] })
  })
})

describe('authentication', () => {
  const basic = `Basic ${Buffer.from(`${USER}:${PASSWORD}`).toString('base64')}`

  test('basic lets in who has the password', async () => {
    await using registry = await openFakeRegistry({ requireAuth: { scheme: 'basic', user: USER, password: PASSWORD } })
    const refused = await fetch(`${registry.origin}/v2/`)
    expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([401, 'Basic realm="fake registry"'])
    expect((await fetch(`${registry.origin}/v2/`, { headers: { authorization: basic } })).status).toBe(200)
    await fetch(`${registry.origin}/v2/`, { headers: { authorization: 'Basic eDp5' } })
    expect(takeViolations(registry)).toHaveLength(1)
  })

  test('bearer wants a token for the scope, and can expire it', async () => {
    await using registry = await openFakeRegistry({ requireAuth: { scheme: 'bearer', user: USER, password: PASSWORD } })
    registry.addChart(app)
    const list = (authorization?: string) =>
      fetch(
        `${registry.origin}/v2/team/app/tags/list`,
        authorization === undefined ? {} : { headers: { authorization } },
      )
    const challenge = (await list()).headers.get('www-authenticate')
    expect(challenge).toBe(
      `Bearer realm="${registry.origin}/token",service="fake registry",scope="repository:team/app:pull"`,
    )
    const issue = async (scope: string) => {
      const query = new URLSearchParams({ service: 'fake registry', scope })
      const answer = await fetch(`${registry.origin}/token?${query}`, { headers: { authorization: basic } })
      return ((await answer.json()) as { token: string }).token
    }
    const wanted = await issue('repository:team/app:pull')
    const other = await issue('repository:team/other:pull')
    expect((await list(`Bearer ${wanted}`)).status).toBe(200)
    expect((await list(`Bearer ${other}`)).headers.get('www-authenticate')).toContain('error="insufficient_scope"')
    registry.expireTokens()
    expect((await list(`Bearer ${wanted}`)).headers.get('www-authenticate')).toContain('error="invalid_token"')
    await list('Bearer invented')
    expect(takeViolations(registry)).toHaveLength(1)
  })
})
