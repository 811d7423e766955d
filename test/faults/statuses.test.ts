/**
 * Registries that refuse or fail with an honest HTTP status, one request or one repository at a time. After each fault
 * the index has everything that was readable, and never loses what it had.
 */
import { describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { type FakeRegistry, openFakeRegistry } from '../fakes/fake-registry.ts'
import { type Answer, after, always, reply, replyJson, replyOciError } from '../fakes/fault-script.ts'
import { encodeBasic, PASSWORD, USER } from '../stand/secrets.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { waitFor } from '../stand/wait-for.ts'
import {
  expectServed,
  expectUnavailable,
  openServerOver,
  readIndex,
  waitForHealth,
  waitForIndex,
  waitForProblem,
  waitForRefreshError,
  waitForRounds,
} from './scene.ts'

/** `good` and `poor` with two versions each: the faults are about `poor`. */
function addTwoRepositories(registry: FakeRegistry) {
  const [good1, good2, poor1, poor2] = (['good', 'poor'] as const).flatMap((name) =>
    ['1.0.0', '2.0.0'].map((version) => registry.addChart({ repository: `team/${name}`, name, version })),
  )
  if (good1 === undefined || good2 === undefined || poor1 === undefined || poor2 === undefined)
    throw new Error('no charts')
  return { good1, good2, poor1, poor2 }
}
const goodFiles = ['good-2.0.0.tgz', 'good-1.0.0.tgz']
const allFiles = [...goodFiles, 'poor-2.0.0.tgz', 'poor-1.0.0.tgz']
const poorTags = /^\/v2\/team\/poor\/tags\/list/

async function writeCredentials(directory: string, host: string): Promise<string> {
  const path = join(directory, 'config.json')
  await Bun.write(path, JSON.stringify({ auths: { [host]: { auth: encodeBasic(USER, PASSWORD) } } }))
  return path
}

describe.concurrent('401', () => {
  const requireAuth = { scheme: 'bearer', user: USER, password: PASSWORD } as const

  test('in mid-crawl renews the token once, for all requests under way', async () => {
    await using dir = await openTempDir()
    await using registry = await openFakeRegistry({ requireAuth })
    const versions = Array.from({ length: 12 }, (_, minor) => `1.${minor}.0`)
    for (const version of versions) registry.addChart({ repository: 'app', name: 'app', version })
    registry.script(
      { method: 'GET', path: /\/manifests\/1\.6\.0$/ },
      after(() => registry.expireTokens()),
    )
    const config = await writeCredentials(dir.path, registry.host)
    await using server = await openServerOver(registry, {
      args: [`--storage-registry-config=${config}`, '--refresh-interval=1h'],
    })
    await waitForIndex(
      server,
      versions.map((version) => `app-${version}.tgz`),
    )
    expect((await server.readyz()).refresh).toEqual({ ok: true, error: null, problems: [] })

    const expiry = registry.calls.findIndex(({ path }) => path.endsWith('/manifests/1.6.0'))
    const renewals = registry.calls.slice(expiry).filter(({ path }) => path.startsWith('/token'))
    expect(renewals.map(({ method }) => method)).toEqual(['GET'])
    expect(new URLSearchParams(renewals[0]?.path.split('?')[1]).getAll('scope')).toEqual(['repository:app:pull'])
  })

  test('again and again on one repository is given up, and the others are there', async () => {
    await using dir = await openTempDir()
    await using registry = await openFakeRegistry({ requireAuth })
    addTwoRepositories(registry)
    registry.script(
      { path: poorTags },
      always(
        replyOciError(401, 'UNAUTHORIZED', {
          'www-authenticate': `Bearer realm="${registry.origin}/token",service="fake registry",scope="repository:team/poor:pull"`,
        }),
      ),
    )
    const config = await writeCredentials(dir.path, registry.host)
    await using server = await openServerOver(registry, { args: [`--storage-registry-config=${config}`] })
    await waitForIndex(server, goodFiles)
    await waitForProblem(server, 'team/poor')
    // A token refused twice is refused: each listing takes one renewal at most.
    const asked = registry.count('GET', poorTags)
    const tokens = registry.count('GET', /^\/token.*poor/)
    expect(tokens).toBeLessThanOrEqual(asked)
  })

  const tokenFaults: [what: string, answer: Answer][] = [
    ['500', replyOciError(500, 'UNKNOWN')],
    ['HTML', reply({ status: 200, body: '<html>Sign in</html>' })],
    ['no token', replyJson({ access_token: '', token: null })],
    ['a token that is no header value', replyJson({ token: 'two\r\nX-Evil: lines' })],
    ['a token without end', reply({ status: 200, body: `{"token":"${'x'.repeat(100_000)}"}` })],
    ['a redirect', reply({ status: 307, headers: { location: 'http://127.0.0.1:9/token' } })],
  ]
  test.each(tokenFaults)('of which the token server answers %s: a reason, then the index', async (_what, answer) => {
    await using dir = await openTempDir()
    await using registry = await openFakeRegistry({ requireAuth })
    addTwoRepositories(registry)
    const script = registry.script({ path: /^\/token/ }, always(answer))
    const config = await writeCredentials(dir.path, registry.host)
    await using server = await openServerOver(registry, { args: [`--storage-registry-config=${config}`] })
    expect(await waitForRefreshError(server)).toMatch(/token|authenti/i)
    expect((await server.get('/index.yaml')).status).toBe(503)
    script.clear()
    await waitForIndex(server, allFiles)
  })

  test('from a registry that wants Basic, of which nothing is known, is a reason in /readyz and 503', async () => {
    await using registry = await openFakeRegistry({ requireAuth: { ...requireAuth, scheme: 'basic' } })
    addTwoRepositories(registry)
    await using server = await openServerOver(registry)
    expect(await waitForRefreshError(server)).toMatch(/401|denied|credential|authenti/i)
    const index = await server.get('/index.yaml')
    expect(index.status).toBe(503)
    expect(Number(index.headers.get('retry-after'))).toBeGreaterThan(0)
  })
})

describe.concurrent('403 and 404 on one repository', () => {
  test('403 from the start: the others are there', async () => {
    await using registry = await openFakeRegistry()
    addTwoRepositories(registry)
    const script = registry.script({ path: poorTags }, always(replyOciError(403, 'DENIED')))
    await using server = await openServerOver(registry)
    await waitForIndex(server, goodFiles)
    expect((await waitForProblem(server, 'team/poor')).reason).toMatch(/403|denied|refus/i)
    script.clear()
    await waitForIndex(server, allFiles)
    await waitForHealth(server)
  })

  test('403 later: what was known stays', async () => {
    await using registry = await openFakeRegistry()
    const { poor1 } = addTwoRepositories(registry)
    await using server = await openServerOver(registry)
    await waitForIndex(server, allFiles)
    registry.script({ path: poorTags }, always(replyOciError(403, 'DENIED')))
    await waitForProblem(server, 'team/poor')
    await waitForRounds(registry)
    expect(await readIndex(server)).toEqual(allFiles)
    await expectServed(server, poor1)
  })

  test('of more repositories than a person would read: /readyz names a hundred', async () => {
    await using registry = await openFakeRegistry()
    addTwoRepositories(registry)
    for (let at = 0; at < 120; at++) {
      registry.addChart({ repository: `denied/n${at}`, name: 'denied', version: `1.0.${at}` })
    }
    registry.script({ path: /\/denied\// }, always(replyOciError(403, 'DENIED')))
    await using server = await openServerOver(registry, { args: ['--refresh-interval=1h'] })
    await waitForIndex(server, allFiles)
    const { refresh } = await server.readyz()
    expect([refresh.ok, refresh.problems.length]).toEqual([false, 100])
  })

  test('404 with an OCI error document: it is gone', async () => {
    await using registry = await openFakeRegistry()
    const { poor1 } = addTwoRepositories(registry)
    await using server = await openServerOver(registry)
    await waitForIndex(server, allFiles)
    await expectServed(server, poor1)
    registry.script({ path: poorTags }, always(replyOciError(404, 'NAME_UNKNOWN')))
    await waitForIndex(server, goodFiles)
    expect((await server.get(`/charts/${poor1.fileName}`)).status).toBe(404)
  })

  test('404 from something that is no registry: what was known stays', async () => {
    await using registry = await openFakeRegistry()
    addTwoRepositories(registry)
    await using server = await openServerOver(registry)
    await waitForIndex(server, allFiles)
    const notFound = reply({ status: 404, headers: { 'content-type': 'text/html' }, body: '<h1>404 Not Found</h1>' })
    const script = registry.script({ path: poorTags }, always(notFound))
    await waitForRounds(registry, 3)
    expect(await readIndex(server)).toEqual(allFiles)
    await waitForProblem(server, 'team/poor')
    script.clear()
    await waitForHealth(server)
  })

  test.each(['{"errors":[]}', '{"errors":[{"status":404,"message":"x"}]}', '{"errors":[{"code":"DENIED"}]}'])(
    '404 with %s, which says of nothing that it is not there: what was known stays',
    async (body) => {
      await using registry = await openFakeRegistry()
      const { poor1 } = addTwoRepositories(registry)
      await using server = await openServerOver(registry)
      await waitForIndex(server, allFiles)
      const notFound = reply({ status: 404, headers: { 'content-type': 'application/json' }, body })
      const script = registry.script({ path: poorTags }, always(notFound))
      await waitForProblem(server, 'team/poor')
      await waitForRounds(registry)
      expect(await readIndex(server)).toEqual(allFiles)
      await expectServed(server, poor1)
      script.clear()
      await waitForHealth(server)
    },
  )

  test('404 for one manifest that the tag list still names: the other tags are there', async () => {
    await using registry = await openFakeRegistry()
    addTwoRepositories(registry)
    registry.script({ path: /poor\/manifests\/1\.0\.0$/ }, always(replyOciError(404, 'MANIFEST_UNKNOWN')))
    await using server = await openServerOver(registry)
    await waitForIndex(server, [...goodFiles, 'poor-2.0.0.tgz'])
  })

  test('a repository and a tag that are deleted leave the index and are served no more', async () => {
    await using registry = await openFakeRegistry()
    const { good1, poor2 } = addTwoRepositories(registry)
    await using server = await openServerOver(registry)
    await waitForIndex(server, allFiles)
    await expectServed(server, poor2)
    registry.removeRepository('team/poor')
    registry.removeTag('team/good', '1.0.0')
    await waitForIndex(server, ['good-2.0.0.tgz'])
    for (const chart of [poor2, good1]) expect((await server.get(`/charts/${chart.fileName}`)).status).toBe(404)
  })
})

describe.concurrent('429', () => {
  test.each([
    ['seconds', () => '1'],
    // HTTP dates have whole seconds: this one is one to two seconds ahead.
    ['a date', () => new Date(Date.now() + 2000).toUTCString()],
  ])('with Retry-After in %s is waited for', async (_form, retryAfter) => {
    await using registry = await openFakeRegistry()
    addTwoRepositories(registry)
    registry.script({ path: /poor\/manifests\/1\.0\.0$/ }, (healthy) =>
      replyOciError(429, 'TOOMANYREQUESTS', { 'retry-after': retryAfter() })(healthy),
    )
    await using server = await openServerOver(registry, { args: ['--refresh-interval=1h'] })
    await waitForIndex(server, allFiles)
    const [refused, repeated] = registry.calls.filter(({ path }) => path.endsWith('/poor/manifests/1.0.0'))
    expect((repeated?.at ?? 0) - (refused?.at ?? 0)).toBeGreaterThanOrEqual(950)
  })

  test('with a Retry-After of an hour keeps nobody waiting', async () => {
    await using registry = await openFakeRegistry()
    addTwoRepositories(registry)
    const script = registry.script(
      { path: poorTags },
      always(replyOciError(429, 'TOOMANYREQUESTS', { 'retry-after': '3600' })),
    )
    await using server = await openServerOver(registry)
    await waitForIndex(server, goodFiles)
    await waitForProblem(server, 'team/poor')
    script.clear()
    await waitForIndex(server, allFiles)
  })

  test('with a Retry-After of an hour, for a package: the client is told the same, after one request', async () => {
    await using registry = await openFakeRegistry()
    const { poor1 } = addTwoRepositories(registry)
    await using server = await openServerOver(registry, { args: ['--refresh-interval=1h'] })
    await waitForIndex(server, allFiles)
    const script = registry.script(
      { path: new RegExp(`/blobs/${poor1.chartDigest}$`) },
      always(replyOciError(429, 'TOOMANYREQUESTS', { 'retry-after': '3600' })),
    )
    const answer = await server.get(`/charts/${poor1.fileName}`)
    expect([answer.status, answer.headers.get('retry-after'), script.used()]).toEqual([502, '3600', 1])
    script.clear()
    await expectServed(server, poor1)
  })
})

describe.concurrent('5xx', () => {
  const broken = reply({ status: 502, headers: { 'content-type': 'text/html' }, body: '<h1>502 Bad Gateway</h1>' })

  test('now and then is ridden out', async () => {
    await using registry = await openFakeRegistry()
    addTwoRepositories(registry)
    for (const path of [/_catalog/, poorTags, /good\/manifests\/2\.0\.0$/, /poor\/blobs\//]) {
      registry.script({ path }, replyOciError(500, 'UNKNOWN'), broken)
    }
    await using server = await openServerOver(registry, { args: ['--refresh-interval=1h'] })
    await waitForIndex(server, allFiles)
    expect((await server.readyz()).refresh).toEqual({ ok: true, error: null, problems: [] })
  })

  test('always, on one repository from the start: the others are there', async () => {
    await using registry = await openFakeRegistry()
    addTwoRepositories(registry)
    const script = registry.script({ path: poorTags }, always(replyOciError(500, 'UNKNOWN')))
    await using server = await openServerOver(registry)
    await waitForIndex(server, goodFiles)
    expect((await waitForProblem(server, 'team/poor')).reason).toContain('500')
    script.clear()
    await waitForIndex(server, allFiles)
    await waitForHealth(server)
  })

  test('always, on one manifest: the other tags are there', async () => {
    await using registry = await openFakeRegistry()
    addTwoRepositories(registry)
    const script = registry.script({ path: /poor\/manifests\/1\.0\.0$/ }, always(replyOciError(500, 'UNKNOWN')))
    await using server = await openServerOver(registry)
    await waitForIndex(server, [...goodFiles, 'poor-2.0.0.tgz'])
    expect(await waitForProblem(server, 'team/poor')).toMatchObject({ tag: '1.0.0' })
    script.clear()
    await waitForIndex(server, allFiles)
  })

  test('always, on a repository that was known: it keeps its charts, and a new tag elsewhere is seen', async () => {
    await using registry = await openFakeRegistry()
    const { poor2 } = addTwoRepositories(registry)
    await using server = await openServerOver(registry)
    await waitForIndex(server, allFiles)
    registry.script({ path: poorTags }, always(broken))
    registry.addChart({ repository: 'team/good', name: 'good', version: '3.0.0' })
    await waitForIndex(server, ['good-3.0.0.tgz', ...allFiles])
    await waitForProblem(server, 'team/poor')
    await expectServed(server, poor2)
  })

  test('always, on the catalog: the whole index stays, and comes back fresh', async () => {
    await using registry = await openFakeRegistry()
    addTwoRepositories(registry)
    await using server = await openServerOver(registry)
    await waitForIndex(server, allFiles)
    const script = registry.script({ path: /_catalog/ }, always(broken))
    registry.addChart({ repository: 'team/new', name: 'new', version: '1.0.0' })
    // Until the attempts have come to an end, it may be the time they take that is told.
    await waitFor('the status in /readyz', async () => (await waitForRefreshError(server)).includes('502'))
    expect(await readIndex(server)).toEqual(allFiles)
    expect((await server.readyz()).ready).toBe(true)
    script.clear()
    await waitForIndex(server, [...allFiles, 'new-1.0.0.tgz'])
    await waitForHealth(server)
  })

  test('always, on a package: 502 with Retry-After, then the package', async () => {
    await using registry = await openFakeRegistry()
    const { poor1, good1 } = addTwoRepositories(registry)
    await using server = await openServerOver(registry, { args: ['--refresh-interval=1h'] })
    await waitForIndex(server, allFiles)
    const script = registry.script({ path: new RegExp(`/blobs/${poor1.chartDigest}$`) }, always(broken))
    await expectUnavailable(server, poor1)
    await expectServed(server, good1)
    script.clear()
    await expectServed(server, poor1)
  })

  test('a package that the registry lost is 404 or 502, never something else', async () => {
    await using registry = await openFakeRegistry()
    const { poor1 } = addTwoRepositories(registry)
    registry.script({ path: new RegExp(`/blobs/${poor1.chartDigest}$`) }, always(replyOciError(404, 'BLOB_UNKNOWN')))
    await using server = await openServerOver(registry, { args: ['--refresh-interval=1h'] })
    await waitForIndex(server, allFiles)
    const answer = await waitFor('an answer', () => server.get(`/charts/${poor1.fileName}`))
    expect([404, 502]).toContain(answer.status)
  })
})
