/** What each thing costs the registry, counted on its side. */
import { describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { digestOf } from '../fakes/fake-chart.ts'
import { type FakeRegistry, openFakeRegistry } from '../fakes/fake-registry.ts'
import { always, held, reply, replyOciError } from '../fakes/fault-script.ts'
import type { Server } from '../stand/server.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { waitFor } from '../stand/wait-for.ts'
import { requestRaw } from './raw-request.ts'
import { openServerOver, readIndex, waitForIndex } from './scene.ts'

/** Only readers cause refreshes, and known tags are not looked at again. */
const onReadOnly = ['--refresh-interval=1h', '--revalidate-interval=8760h', '--refresh-wait=20s']

/** Waits until the next reader would cause a refresh. The age is told in whole seconds, so it has to be three. */
async function waitForStaleSnapshot(server: Server): Promise<void> {
  await waitFor('a snapshot that is no longer fresh', async () => (await server.readyz()).snapshotAgeSeconds >= 3)
}

/** What `act` returns when it took less than two seconds; on a busy machine it may need another try. */
function withinTwoSeconds<T>(act: () => Promise<T>): Promise<T> {
  return waitFor('an attempt of less than two seconds', async () => {
    const startedAt = performance.now()
    const result = await act()
    return performance.now() - startedAt < 1900 && { result }
  }).then(({ result }) => result)
}

/** The calls after the first `start` in lexical order, without queries: how many names a page has is not counted here. */
function countedLines(registry: FakeRegistry, start: number): string[] {
  return registry
    .callLines(start)
    .map((line) => line.replace(/\?.*/, ''))
    .sort()
}

/** One listing of the two repositories of these tests. */
const lists = ['GET /v2/_catalog', 'GET /v2/team/app/tags/list', 'GET /v2/team/web/tags/list']

function addVersions(registry: FakeRegistry, repository: string, count: number): string[] {
  const name = repository.replace(/^.*\//, '')
  return Array.from(
    { length: count },
    (_, minor) => registry.addChart({ repository, name, version: `1.${minor}.0` }).fileName,
  )
}

describe.concurrent('requests to the registry', () => {
  test('a second GET /index.yaml within 2 s makes none', async () => {
    await using registry = await openFakeRegistry()
    const files = addVersions(registry, 'team/app', 3)
    await using server = await openServerOver(registry, { args: onReadOnly })
    await waitForIndex(server, files)
    await waitForStaleSnapshot(server)
    const lines = await withinTwoSeconds(async () => {
      await readIndex(server)
      const calls = registry.calls.length
      await readIndex(server)
      const etag = (await server.get('/index.yaml')).headers.get('etag') ?? ''
      expect((await server.get('/index.yaml', { headers: { 'if-none-match': etag } })).status).toBe(304)
      expect((await server.get('/index.yaml', { method: 'HEAD' })).status).toBe(200)
      return registry.callLines(calls)
    })
    expect(lines).toEqual([])
  })

  test('a first crawl costs one listing, and two requests per version', async () => {
    await using registry = await openFakeRegistry()
    const files = [...addVersions(registry, 'team/app', 5), ...addVersions(registry, 'team/web', 5)]
    await using server = await openServerOver(registry, { args: onReadOnly })
    await server.ready()
    const lines = registry.callLines()
    expect(lines.filter((line) => line.includes('/manifests/'))).toHaveLength(10)
    expect(lines.filter((line) => line.includes('/blobs/'))).toHaveLength(10)
    expect(lines.filter((line) => line.includes('/tags/list'))).toHaveLength(2)
    expect(lines.filter((line) => line.includes('/_catalog'))).toHaveLength(1)
    // Beyond these at most the question whether it is a registry.
    expect(lines.length).toBeLessThanOrEqual(24)
    await waitForIndex(server, files)
  })

  test('nothing new costs the lists and nothing more, in each refresh', async () => {
    await using registry = await openFakeRegistry()
    const files = [...addVersions(registry, 'team/app', 4), ...addVersions(registry, 'team/web', 4)]
    await using server = await openServerOver(registry, { args: onReadOnly })
    await waitForIndex(server, files)
    const { headers } = await server.get('/index.yaml')
    for (let round = 0; round < 2; round++) {
      await waitForStaleSnapshot(server)
      const calls = registry.calls.length
      const index = await server.get('/index.yaml')
      expect(index.headers.get('etag')).toBe(headers.get('etag'))
      expect(countedLines(registry, calls)).toEqual(lists)
    }
  })

  test('a restart with what the last run left costs the lists and nothing more', async () => {
    await using dir = await openTempDir()
    await using registry = await openFakeRegistry()
    const files = [...addVersions(registry, 'team/app', 4), ...addVersions(registry, 'team/web', 4)]
    const args = [...onReadOnly, `--cache-dir=${join(dir.path, 'cache')}`]
    let etag: string | null
    {
      await using server = await openServerOver(registry, { args })
      await waitForIndex(server, files)
      etag = (await server.get('/index.yaml')).headers.get('etag')
    }
    const calls = registry.calls.length
    await using server = await openServerOver(registry, { args })
    // That it is a registry is asked at most once more.
    const seen = () => countedLines(registry, calls).filter((line) => line !== 'GET /v2/')
    await waitFor('the first refresh', () => seen().length >= lists.length)
    expect((await server.get('/index.yaml')).headers.get('etag')).toBe(etag)
    expect(seen()).toEqual(lists)
  })

  test('one new tag costs one round of listing and two more', async () => {
    await using registry = await openFakeRegistry()
    const files = [...addVersions(registry, 'team/app', 4), ...addVersions(registry, 'team/web', 4)]
    await using server = await openServerOver(registry, { args: onReadOnly })
    await waitForIndex(server, files)
    await waitForStaleSnapshot(server)
    const calls = registry.calls.length
    const added = registry.addChart({ repository: 'team/app', name: 'app', version: '2.0.0' })
    expect((await readIndex(server)).sort()).toEqual([...files, added.fileName].sort())
    expect(countedLines(registry, calls)).toEqual(
      [...lists, 'GET /v2/team/app/manifests/2.0.0', `GET /v2/team/app/blobs/${added.configDigest}`].sort(),
    )
  })

  test('each config is fetched once per digest, however many tags and repositories have it', async () => {
    await using registry = await openFakeRegistry()
    const chart = registry.addChart({ repository: 'a/app', name: 'app', version: '1.0.0' })
    const tags = ['latest', 'stable', 'v1', '1', '1.0', '1.0.0']
    for (const tag of tags) registry.moveTag('a/app', tag, chart.manifestDigest)
    registry.addChart({ repository: 'b/app', name: 'app', version: '1.0.0' })
    const config = new RegExp(`/blobs/${chart.configDigest}$`)
    // The first config is on its way until every tag that looks like a version was read: all of them want it by then.
    const versionTags = /\/manifests\/(v1|1|1\.0|1\.0\.0)$/
    const allRead = waitFor('all version tags to be read', () => registry.count('GET', versionTags) >= 5)
    registry.script({ path: config }, held(allRead))
    await using server = await openServerOver(registry, { args: onReadOnly })
    await waitForIndex(server, ['app-1.0.0.tgz'])
    expect(registry.count('GET', config)).toBe(1)
    for (const tag of tags) {
      const reads = registry.count('GET', new RegExp(`/v2/a/app/manifests/${RegExp.escape(tag)}$`))
      expect(reads, tag).toBeLessThanOrEqual(1)
    }
  })

  test('known tags are asked for again by HEAD only, and a moved one is noticed', async () => {
    await using registry = await openFakeRegistry()
    const files = addVersions(registry, 'team/app', 3)
    await using server = await openServerOver(registry, {
      args: ['--refresh-interval=500ms', '--revalidate-interval=1s'],
    })
    await waitForIndex(server, files)
    const calls = registry.calls.length
    await waitFor('each tag to be looked at again', () => registry.count('HEAD', /\/manifests\//) >= 3)
    expect(registry.callLines(calls).filter((line) => /^GET .*(manifests|blobs)/.test(line))).toEqual([])
    const moved = registry.addChart({
      repository: 'team/app',
      tag: '1.0.0',
      name: 'app',
      version: '1.0.0',
      metadata: { description: 'again' },
    })
    await waitFor('the moved tag', async () =>
      (await (await server.get('/index.yaml')).text()).includes(digestOf(moved.archive).replace('sha256:', '')),
    )
  })

  test('a moved tag is seen within the interval, at one HEAD of each tag in each', async () => {
    await using registry = await openFakeRegistry()
    const [first = '', ...others] = addVersions(registry, 'team/app', 5)
    const intervalMs = 3000
    await using server = await openServerOver(registry, {
      args: ['--refresh-interval=200ms', `--revalidate-interval=${intervalMs}ms`],
    })
    await waitForIndex(server, [first, ...others])
    const heads = () => registry.calls.filter(({ method, path }) => method === 'HEAD' && path.endsWith('/1.0.0'))
    await waitFor('the first look at the tag', () => heads().length > 0)
    const moved = registry.addChart({ repository: 'team/app', tag: '1.0.0', name: 'app', version: '9.0.0' })
    const movedAt = performance.now()
    await waitForIndex(server, [...others, moved.fileName])
    const seenAfterMs = performance.now() - movedAt
    // The rest is for the refresh that finds it, on a machine that has other things to do.
    expect(seenAfterMs).toBeLessThan(2 * intervalMs)
    const all = registry.calls.filter(({ method }) => method === 'HEAD')
    const seconds = ((all.at(-1)?.at ?? 0) - (all[0]?.at ?? 0)) / 1000
    // A tag may be looked at late, and then once more at its moment.
    expect(all.length).toBeLessThanOrEqual(5 * (Math.ceil((seconds * 1000) / intervalMs) + 1))
    expect(registry.count('GET', /\/manifests\/1\.0\.0$/)).toBe(2)
  })

  test('one tag that cannot be read does not make the others be asked for more often', async () => {
    await using registry = await openFakeRegistry()
    const files = addVersions(registry, 'team/app', 3)
    await using server = await openServerOver(registry, {
      args: ['--refresh-interval=100ms', '--revalidate-interval=2s'],
    })
    await waitForIndex(server, files)
    // Not to be repeated within a request, so that every round is a short one.
    const refused = replyOciError(429, 'TOOMANYREQUESTS', { 'retry-after': '3600' })
    registry.script({ path: /\/manifests\/9\.0\.0$/ }, always(refused))
    registry.addChart({ repository: 'team/app', name: 'app', version: '9.0.0' })
    const checks = () => registry.calls.filter(({ method, path }) => method === 'HEAD' && path.endsWith('/1.0.0'))
    const [first, , third] = await waitFor('three checks of a tag', () => checks().length >= 3 && checks())
    // Two intervals, less what the first was late; not two refreshes.
    expect((third?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThan(2000)
  })

  test.each([
    ['without a digest', reply({ status: 200 })],
    ['not at all (405)', reply({ status: 405 })],
    ['not at all (501)', reply({ status: 501 })],
    ['with 404', reply({ status: 404 })],
  ])('a moved tag is noticed where HEAD is answered %s', async (_how, answer) => {
    await using registry = await openFakeRegistry()
    const files = addVersions(registry, 'team/app', 3)
    registry.script({ method: 'HEAD', path: /\/manifests\// }, always(answer))
    await using server = await openServerOver(registry, { args: ['--revalidate-interval=500ms'] })
    await waitForIndex(server, files)
    const moved = registry.addChart({ repository: 'team/app', tag: '1.0.0', name: 'app', version: '3.0.0' })
    await waitForIndex(server, [...files.slice(1), moved.fileName])
  })

  test('200 concurrent index requests share one refresh', async () => {
    await using registry = await openFakeRegistry()
    const files = addVersions(registry, 'team/app', 3)
    await using server = await openServerOver(registry, { args: onReadOnly })
    await waitForIndex(server, files)
    await waitForStaleSnapshot(server)
    const calls = registry.calls.length
    const added = registry.addChart({ repository: 'team/app', name: 'app', version: '2.0.0' })
    const { promise: released, resolve: release } = Promise.withResolvers<void>()
    registry.script({ path: /_catalog/ }, held(released))
    const startedAt = performance.now()
    const answers = Promise.all(Array.from({ length: 200 }, () => readIndex(server)))
    await waitFor('the listing', () => registry.calls.length > calls)
    release()
    for (const index of await answers) expect(index).toContain(added.fileName)
    const seconds = (performance.now() - startedAt) / 1000
    const lines = registry.callLines(calls)
    expect(lines.filter((line) => /(manifests|blobs)/.test(line))).toHaveLength(2)
    // One every two seconds is what readers may cause; on a machine that is not busy all of this is one.
    expect(lines.filter((line) => line.includes('/_catalog')).length).toBeLessThanOrEqual(1 + Math.floor(seconds / 2))
  })

  test('1,000 index requests at once start one refresh', async () => {
    await using registry = await openFakeRegistry()
    const files = [...addVersions(registry, 'team/app', 3), ...addVersions(registry, 'team/web', 3)]
    await using server = await openServerOver(registry, { args: onReadOnly })
    await waitForIndex(server, files)
    const { host } = new URL(server.url)
    for (let minor = 0; ; minor++) {
      await waitForStaleSnapshot(server)
      const calls = registry.calls.length
      const added = registry.addChart({ repository: 'team/app', name: 'app', version: `2.${minor}.0` })
      const { promise: released, resolve: release } = Promise.withResolvers<void>()
      registry.script({ path: /_catalog/ }, held(released))
      const startedAt = performance.now()
      // Over connections of their own: fetch would let no more than 256 of them go at a time.
      const answers = Promise.all(Array.from({ length: 1000 }, () => requestRaw(host, '/index.yaml')))
      await waitFor('the listing', () => registry.calls.length > calls)
      // Connections are answered as they come, so what came before this one is waiting by now.
      await requestRaw(host, '/health')
      release()
      for (const { status, body } of await answers) {
        expect(status).toBe(200)
        expect(body).toContain(`charts/${added.fileName}`)
      }
      // A reader that came two seconds after the listing began is owed another one: then this says nothing.
      if (performance.now() - startedAt > 1900 && minor < 5) continue
      expect(countedLines(registry, calls)).toEqual(
        [...lists, `GET /v2/team/app/manifests/2.${minor}.0`, `GET /v2/team/app/blobs/${added.configDigest}`].sort(),
      )
      return
    }
  })

  test('429 with Retry-After makes a crawl wait, and it ends with everything', async () => {
    await using registry = await openFakeRegistry()
    const repositories = Array.from({ length: 6 }, (_, i) => `team/app-${i}`)
    const files = repositories.flatMap((repository) => addVersions(registry, repository, 20))
    const refused = replyOciError(429, 'TOOMANYREQUESTS', { 'retry-after': '2' })
    const script = registry.script({ path: /\/manifests\// }, ...Array.from({ length: 3 }, () => refused))
    await using server = await openServerOver(registry, { args: onReadOnly })
    await waitForIndex(server, files)
    expect(script.used()).toBe(3)
    expect((await server.readyz()).refresh).toEqual({ ok: true, error: null, problems: [] })
    expect(server.logLines().filter(({ level }) => level === 'warn')).toEqual([])
    // Each manifest and config once, but for those that were refused; and none of the others for as long as was asked.
    expect(registry.count('GET', /\/manifests\//)).toBe(files.length + 3)
    expect(registry.count('GET', /\/blobs\//)).toBe(files.length)
    const times = registry.calls.map(({ at }) => at)
    const rests = times.slice(1).map((at, i) => at - (times[i] ?? 0))
    const longest = Math.max(...rests)
    expect(longest).toBeGreaterThan(1500)
    // Had only those that were refused waited, all the others would have come before that rest.
    expect(rests.indexOf(longest)).toBeLessThan(files.length / 2)
  })

  test('100 concurrent GETs of one uncached chart make one blob request', async () => {
    await using registry = await openFakeRegistry()
    const chart = registry.addChart({ repository: 'app', name: 'app', version: '1.0.0', paddingBytes: 300_000 })
    await using server = await openServerOver(registry, { args: onReadOnly })
    await waitForIndex(server, [chart.fileName])
    const blob = new RegExp(`/blobs/${chart.chartDigest}$`)
    const { promise: released, resolve: release } = Promise.withResolvers<void>()
    registry.script({ path: blob }, held(released))
    const answers = Promise.all(
      Array.from({ length: 100 }, async () => digestOf(await (await server.get(`/charts/${chart.fileName}`)).bytes())),
    )
    await waitFor('the blob to be asked for', () => registry.count('GET', blob) > 0)
    release()
    expect(new Set(await answers)).toEqual(new Set([chart.chartDigest]))
    expect(registry.count('GET', blob)).toBe(1)
  })

  test('a client that leaves does not end the fill that others wait for', async () => {
    await using registry = await openFakeRegistry()
    const chart = registry.addChart({ repository: 'app', name: 'app', version: '1.0.0', paddingBytes: 300_000 })
    await using server = await openServerOver(registry, { args: onReadOnly })
    await waitForIndex(server, [chart.fileName])
    const blob = new RegExp(`/blobs/${chart.chartDigest}$`)
    const { promise: released, resolve: release } = Promise.withResolvers<void>()
    registry.script({ path: blob }, held(released))
    const leaving = new AbortController()
    const left = server.get(`/charts/${chart.fileName}`, { signal: leaving.signal }).then(
      () => 'answered',
      (error: Error) => error.name,
    )
    await waitFor('the blob to be asked for', () => registry.count('GET', blob) > 0)
    const staying = server.get(`/charts/${chart.fileName}`)
    leaving.abort()
    expect(await left).toBe('AbortError')
    release()
    expect(digestOf(await (await staying).bytes())).toBe(chart.chartDigest)
    expect(registry.count('GET', blob)).toBe(1)
  })

  test('a cached chart, HEAD, ranges and 304 make none', async () => {
    await using registry = await openFakeRegistry()
    const chart = registry.addChart({ repository: 'app', name: 'app', version: '1.0.0', paddingBytes: 300_000 })
    await using server = await openServerOver(registry, { args: onReadOnly })
    await waitForIndex(server, [chart.fileName])
    const path = `/charts/${chart.fileName}`
    await (await server.get(path)).bytes()
    const calls = registry.calls.length
    await (await server.get(path)).bytes()
    await server.get(path, { method: 'HEAD' })
    await (await server.get(path, { headers: { range: 'bytes=10-19' } })).bytes()
    await server.get(path, { headers: { 'if-none-match': '*' } })
    expect(registry.callLines(calls)).toEqual([])
  })

  test('nothing but repositories in view is asked for', async () => {
    await using registry = await openFakeRegistry()
    addVersions(registry, 'team/app', 1)
    addVersions(registry, 'other/app', 1)
    await using server = await openServerOver(registry, {
      args: [...onReadOnly, `--storage-registry-repo=${registry.host}/team`],
    })
    await waitForIndex(server, ['app-1.0.0.tgz'])
    expect(registry.callLines().filter((line) => line.includes('other'))).toEqual([])
  })

  test('every request names the product, never a cookie or a compressed answer', async () => {
    await using registry = await openFakeRegistry()
    addVersions(registry, 'team/app', 1)
    await using server = await openServerOver(registry, { args: onReadOnly })
    await waitForIndex(server, ['app-1.0.0.tgz'])
    for (const call of registry.calls) {
      expect(call.headers['user-agent']).toMatch(/^oci-chartrepo\/\d+\.\d+\.\d+/)
      expect(call.headers['accept-encoding'] ?? 'identity').toBe('identity')
    }
  })
})
