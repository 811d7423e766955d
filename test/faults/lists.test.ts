/**
 * Listings in pages, links and redirects that lead somewhere else, and registries that cannot list at all.
 */
import { describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { type FakeRegistry, openFakeRegistry } from '../fakes/fake-registry.ts'
import { type Answer, always, reply, replyJson, replyOciError } from '../fakes/fault-script.ts'
import { encodeBasic, PASSWORD, USER } from '../stand/secrets.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import {
  expectSentence,
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

const oneRound = ['--refresh-interval=1h']

/** One chart `a`, `b`… per repository. */
function addNamed(registry: FakeRegistry, ...names: readonly string[]) {
  return names.map((name) => registry.addChart({ repository: name, name: name.replace(/^.*\//, ''), version: '1.0.0' }))
}

/** The healthy answer with another Link. */
function withLink(link: string): Answer {
  return async (healthy) => {
    const answer = await healthy()
    return { ...answer, headers: { ...answer.headers, link } }
  }
}

function redirectTo(location: string, status = 307): Answer {
  return reply({ status, headers: { location } })
}

describe.concurrent('pages', () => {
  test('of repositories and tags are all read', async () => {
    await using registry = await openFakeRegistry({ pageSize: 2 })
    const names = ['a', 'b', 'c', 'd', 'e']
    addNamed(registry, ...names)
    for (const minor of [1, 2, 3, 4]) registry.addChart({ repository: 'c', name: 'c', version: `1.${minor}.0` })
    await using server = await openServerOver(registry, { args: oneRound })
    await waitForIndex(server, [
      ...names.map((name) => `${name}-1.0.0.tgz`),
      ...[1, 2, 3, 4].map((minor) => `c-1.${minor}.0.tgz`),
    ])
  })

  test('with an absolute Link to the same registry are followed', async () => {
    await using registry = await openFakeRegistry({ pageSize: 2 })
    addNamed(registry, 'a', 'b', 'c')
    registry.script(
      { path: /_catalog(?!.*last)/ },
      always(withLink(`<${registry.origin}/v2/_catalog?last=b&n=2>; rel="next"`)),
    )
    await using server = await openServerOver(registry, { args: oneRound })
    await waitForIndex(server, ['a-1.0.0.tgz', 'b-1.0.0.tgz', 'c-1.0.0.tgz'])
  })

  test.each([
    ['the catalog', /_catalog/, '/v2/_catalog?last=a&n=100'],
    ['a tag list', /a\/tags\/list/, '/v2/a/tags/list?last=0&n=100'],
  ])('that go round in a circle, in %s, come to an end', async (_what, path, next) => {
    await using registry = await openFakeRegistry()
    addNamed(registry, 'a', 'b')
    await using server = await openServerOver(registry)
    await waitForIndex(server, ['a-1.0.0.tgz', 'b-1.0.0.tgz'])
    const callsBefore = registry.calls.length
    registry.script({ path }, always(withLink(`<${next}>; rel="next"`)))
    await waitForRounds(registry, 8)
    expect(await readIndex(server)).toEqual(['a-1.0.0.tgz', 'b-1.0.0.tgz'])
    expect(registry.calls.length - callsBefore).toBeLessThan(200)
  })

  test('with a Link to another registry: that one is not asked, and the index stays', async () => {
    await using foreign = await openFakeRegistry()
    await using registry = await openFakeRegistry()
    addNamed(foreign, 'foreign')
    addNamed(registry, 'a', 'b')
    await using server = await openServerOver(registry)
    await waitForIndex(server, ['a-1.0.0.tgz', 'b-1.0.0.tgz'])
    registry.script(
      { path: /_catalog(?!.*last)/ },
      always(withLink(`<${foreign.origin}/v2/_catalog?last=b>; rel="next"`)),
    )
    registry.script(
      { path: /a\/tags\/list(?!.*last)/ },
      always(withLink(`<//${foreign.host}/v2/a/tags/list?last=1>; rel="next"`)),
    )
    await waitForRounds(registry, 3)
    expect(await readIndex(server)).toEqual(['a-1.0.0.tgz', 'b-1.0.0.tgz'])
    expect(foreign.callLines()).toEqual([])
  })

  test('of which one fails: what is on it stays, and what is new on the others is seen', async () => {
    await using registry = await openFakeRegistry({ pageSize: 2 })
    addNamed(registry, 'b', 'c', 'd')
    await using server = await openServerOver(registry)
    await waitForIndex(server, ['b-1.0.0.tgz', 'c-1.0.0.tgz', 'd-1.0.0.tgz'])
    const script = registry.script({ path: /_catalog.*last/ }, always(replyOciError(403, 'DENIED')))
    addNamed(registry, 'a')
    await waitForIndex(server, ['a-1.0.0.tgz', 'b-1.0.0.tgz', 'c-1.0.0.tgz', 'd-1.0.0.tgz'])
    // The index is there a moment before the refresh that made it is over and told.
    await waitForProblem(server, '*')
    expect((await server.readyz()).refresh.ok).toBe(false)
    script.clear()
    await waitForHealth(server)
  })

  test('without end come to one: nothing is lost, and the reason is told', async () => {
    await using registry = await openFakeRegistry()
    addNamed(registry, 'a', 'b')
    await using server = await openServerOver(registry)
    await waitForIndex(server, ['a-1.0.0.tgz', 'b-1.0.0.tgz'])
    let pages = 0
    const endless: Answer = () => {
      pages += 1
      const headers = { link: `</v2/_catalog?last=n${pages}>; rel="next"` }
      return { status: 200, headers, body: JSON.stringify({ repositories: ['a'] }) }
    }
    registry.script({ path: /_catalog/ }, always(endless))
    const problem = await waitForProblem(server, '*')
    expect(problem.reason).toMatch(/pages/)
    expect(await readIndex(server)).toEqual(['a-1.0.0.tgz', 'b-1.0.0.tgz'])
  })

  test('that name things twice cost nothing twice', async () => {
    await using registry = await openFakeRegistry()
    addNamed(registry, 'a', 'b')
    registry.script({ path: /_catalog/ }, always(replyJson({ repositories: ['a', 'a', 'b', 'a'] })))
    registry.script({ path: /a\/tags\/list/ }, always(replyJson({ name: 'a', tags: ['1.0.0', '1.0.0'] })))
    await using server = await openServerOver(registry, { args: oneRound })
    await waitForIndex(server, ['a-1.0.0.tgz', 'b-1.0.0.tgz'])
    expect(registry.count('GET', /a\/tags\/list/)).toBe(1)
    expect(registry.count('GET', /a\/manifests\/1\.0\.0/)).toBe(1)
  })

  test.each([
    '<file:///etc/passwd>; rel="next"',
    '<http://[>; rel="next"',
    '<>; rel=next',
    'nonsense',
    '<\u0001>; rel=next',
  ])('with the Link %j do no harm', async (link) => {
    await using registry = await openFakeRegistry()
    addNamed(registry, 'a', 'b')
    registry.script({ path: /_catalog/ }, withLink(link))
    await using server = await openServerOver(registry)
    await waitForIndex(server, ['a-1.0.0.tgz', 'b-1.0.0.tgz'])
  })
})

describe.concurrent('redirects', () => {
  const requireAuth = { scheme: 'basic', user: USER, password: PASSWORD } as const

  test.each([301, 302, 303, 307, 308])(
    '%d of blobs to another origin are followed, without credentials',
    async (status) => {
      await using dir = await openTempDir()
      // Strict and open: one Authorization header that arrives here fails the test.
      await using storage = await openFakeRegistry()
      await using registry = await openFakeRegistry({ requireAuth })
      const [chart] = addNamed(registry, 'a')
      if (chart === undefined) throw new Error('no chart')
      addNamed(storage, 'a')
      registry.script(
        { path: /\/blobs\// },
        always((healthy) => redirectHealthy(healthy, storage.origin, status)),
      )
      const config = join(dir.path, 'config.json')
      await Bun.write(config, JSON.stringify({ auths: { [registry.host]: { auth: encodeBasic(USER, PASSWORD) } } }))
      await using server = await openServerOver(registry, {
        args: [`--storage-registry-config=${config}`, ...oneRound],
      })
      await waitForIndex(server, ['a-1.0.0.tgz'])
      await expectServed(server, chart)
      expect(storage.callLines().sort()).toEqual(
        [chart.chartDigest, chart.configDigest].map((digest) => `GET /v2/a/blobs/${digest}`).sort(),
      )
    },
  )

  /** What object stores do: the address is the one of the request, at another origin. */
  async function redirectHealthy(healthy: Parameters<Answer>[0], origin: string, status: number) {
    const answer = await healthy()
    const digest = answer.headers?.['docker-content-digest']
    return digest === undefined ? answer : { status, headers: { location: `${origin}/v2/a/blobs/${digest}` } }
  }

  test('of blobs to somebody who asks for a password get none', async () => {
    await using dir = await openTempDir()
    await using storage = await openFakeRegistry({ requireAuth: { ...requireAuth, password: 'An0therS3cret-9' } })
    await using registry = await openFakeRegistry({ requireAuth })
    const [chart] = addNamed(registry, 'a')
    if (chart === undefined) throw new Error('no chart')
    addNamed(storage, 'a')
    const config = join(dir.path, 'config.json')
    await Bun.write(config, JSON.stringify({ auths: { [registry.host]: { auth: encodeBasic(USER, PASSWORD) } } }))
    await using server = await openServerOver(registry, { args: [`--storage-registry-config=${config}`, ...oneRound] })
    await waitForIndex(server, ['a-1.0.0.tgz'])
    registry.script(
      { path: /\/blobs\// },
      always((healthy) => redirectHealthy(healthy, storage.origin, 307)),
    )
    await expectUnavailable(server, chart)
    expect(storage.calls.map((call) => call.headers['authorization'])).toEqual([undefined])
  })

  test('in a circle come to an end, and the rest is there', async () => {
    await using registry = await openFakeRegistry()
    const [first, chart] = addNamed(registry, 'a', 'b')
    if (first === undefined || chart === undefined) throw new Error('no chart')
    await using server = await openServerOver(registry)
    await waitForIndex(server, ['a-1.0.0.tgz', 'b-1.0.0.tgz'])
    const path = new RegExp(`/b/blobs/${chart.chartDigest}$`)
    registry.script({ path }, always(redirectTo(`/v2/b/blobs/${chart.chartDigest}`)))
    await expectUnavailable(server, chart)
    expect(registry.count('GET', path)).toBeLessThan(30)
    await expectServed(server, first)
  })

  test.each(['file:///etc/passwd', 'ftp://127.0.0.1/x', 'data:text/plain,x', 'http://', '', 'https://user:pass@[::1'])(
    'to %j are not followed',
    async (location) => {
      await using registry = await openFakeRegistry()
      const [chart] = addNamed(registry, 'a')
      if (chart === undefined) throw new Error('no chart')
      await using server = await openServerOver(registry)
      await waitForIndex(server, ['a-1.0.0.tgz'])
      registry.script({ path: new RegExp(chart.chartDigest) }, always(redirectTo(location)))
      await expectUnavailable(server, chart)
    },
  )

  test('of lists and manifests to another origin carry no credentials', async () => {
    await using dir = await openTempDir()
    await using foreign = await openFakeRegistry()
    await using registry = await openFakeRegistry({ requireAuth })
    addNamed(registry, 'a', 'b')
    const config = join(dir.path, 'config.json')
    await Bun.write(config, JSON.stringify({ auths: { [registry.host]: { auth: encodeBasic(USER, PASSWORD) } } }))
    await using server = await openServerOver(registry, { args: [`--storage-registry-config=${config}`] })
    await waitForIndex(server, ['a-1.0.0.tgz', 'b-1.0.0.tgz'])
    registry.script({ path: /a\/tags\/list/ }, always(redirectTo(`${foreign.origin}/v2/a/tags/list`)))
    registry.script({ path: /_catalog/ }, redirectTo(`${foreign.origin}/v2/_catalog`))
    await waitForRounds(registry, 3)
    for (const call of foreign.calls) expect(call.headers['authorization']).toBeUndefined()
  })
})

describe.concurrent('a registry that cannot list', () => {
  const refusals: [what: string, answer: Answer][] = [
    ['404', replyOciError(404, 'NOT_FOUND')],
    ['404 in HTML', reply({ status: 404, body: '<h1>Not Found</h1>' })],
    ['405', reply({ status: 405 })],
    ['401', replyOciError(401, 'UNAUTHORIZED', { 'www-authenticate': 'Basic realm="x"' })],
    ['403', replyOciError(403, 'DENIED')],
  ]
  test.each(refusals)('(%s) without an explicit list: a reason, in /readyz and as 503', async (_what, answer) => {
    await using registry = await openFakeRegistry()
    addNamed(registry, 'a')
    registry.script({ path: /_catalog/ }, always(answer))
    await using server = await openServerOver(registry)
    expect(await waitForRefreshError(server)).toContain('--storage-registry-repositories')
    const readyz = await server.get('/readyz')
    expect(readyz.status).toBe(503)
    expect(await readyz.json()).toMatchObject({ ready: false })
    const index = await server.get('/index.yaml')
    const text = await index.text()
    expect(index.status).toBe(503)
    expect(Number(index.headers.get('retry-after'))).toBeGreaterThan(0)
    expectSentence(text)
    expect((await server.get('/health')).status).toBe(200)
  })

  test('with an explicit list: the catalog is not asked for', async () => {
    await using registry = await openFakeRegistry()
    addNamed(registry, 'team/a', 'team/b', 'other/c', 'd')
    await using server = await openServerOver(registry, { args: ['--storage-registry-repositories=team/a,d'] })
    await waitForIndex(server, ['a-1.0.0.tgz', 'd-1.0.0.tgz'])
    expect(registry.count('GET', /_catalog/)).toBe(0)
  })

  test('with a repository in the list that does not exist: the others are there', async () => {
    await using registry = await openFakeRegistry()
    addNamed(registry, 'a')
    await using server = await openServerOver(registry, { args: ['--storage-registry-repositories', 'a,missing'] })
    await waitForIndex(server, ['a-1.0.0.tgz'])
  })

  test('a list with team/* takes what the catalog has under it', async () => {
    await using registry = await openFakeRegistry({ pageSize: 2 })
    addNamed(registry, 'team/a', 'team/sub/b', 'teamwork/x', 'team-y', 'd', 'e')
    await using server = await openServerOver(registry, { args: ['--storage-registry-repositories=team/*,d'] })
    await waitForIndex(server, ['a-1.0.0.tgz', 'b-1.0.0.tgz', 'd-1.0.0.tgz'])
  })

  test('a path behind the host limits the view', async () => {
    await using registry = await openFakeRegistry()
    addNamed(registry, 'team/a', 'team/sub/b', 'teamwork/x', 'd')
    await using server = await openServerOver(registry, { args: [`--storage-registry-repo=${registry.host}/team`] })
    await waitForIndex(server, ['a-1.0.0.tgz', 'b-1.0.0.tgz'])
    expect(registry.count('GET', /\/v2\/(d|teamwork)/)).toBe(0)
  })
})
