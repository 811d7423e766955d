/**
 * The registry is away: from the start, after a good crawl, across a restart.
 */
import { describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { digestOf } from '../fakes/fake-chart.ts'
import { type FakeRegistry, openFakeRegistry } from '../fakes/fake-registry.ts'
import { always, held, stall } from '../fakes/fault-script.ts'
import type { Server } from '../stand/server.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { waitFor } from '../stand/wait-for.ts'
import {
  expectSentence,
  expectServed,
  expectUnavailable,
  INTERVAL_MS,
  openServerOver,
  readIndex,
  waitForHealth,
  waitForIndex,
  waitForRefreshError,
} from './scene.ts'

function addCharts(registry: FakeRegistry) {
  const cached = registry.addChart({ repository: 'team/app', name: 'app', version: '1.0.0' })
  const uncached = registry.addChart({ repository: 'team/app', name: 'app', version: '2.0.0', paddingBytes: 400_000 })
  return { cached, uncached }
}
const bothFiles = ['app-2.0.0.tgz', 'app-1.0.0.tgz']

/** The 503 of a server that has nothing yet, and nothing else that could be taken for an answer. */
async function expectNothingYet(server: Server): Promise<string> {
  const index = await server.get('/index.yaml')
  const reason = await index.text()
  expect(index.status).toBe(503)
  expect(Number(index.headers.get('retry-after'))).toBeGreaterThan(0)
  expectSentence(reason)
  const readyz = await server.get('/readyz')
  expect(readyz.status).toBe(503)
  expect(await readyz.json()).toMatchObject({ ready: false, charts: 0, versions: 0, refresh: { ok: false } })
  const head = await server.get('/index.yaml', { method: 'HEAD' })
  expect([head.status, head.headers.get('retry-after')]).toEqual([503, index.headers.get('retry-after')])
  expect((await server.get('/charts/app-1.0.0.tgz')).status).toBe(503)
  const health = await server.get('/health')
  expect([health.status, await health.json()]).toEqual([200, { healthy: true }])
  return reason
}

describe.concurrent('before the first complete crawl', () => {
  test.each([
    ['the catalog', /_catalog/],
    ['a tag list', /tags\/list/],
    ['a manifest', /manifests\/2/],
    ['a config', /blobs/],
  ])('a registry that is silent in %s: 503 with a reason', async (_what, path) => {
    await using registry = await openFakeRegistry()
    addCharts(registry)
    registry.script({ path }, always(stall()))
    await using server = await openServerOver(registry)
    await waitFor('the stall', () => registry.calls.some((call) => path.test(call.path)))
    await expectNothingYet(server)
  })

  test('one manifest is still missing: 503, then the whole index at once', async () => {
    await using registry = await openFakeRegistry()
    addCharts(registry)
    const { promise: released, resolve: release } = Promise.withResolvers<void>()
    registry.script({ path: /manifests\/2/ }, held(released))
    await using server = await openServerOver(registry)
    await waitFor('the manifest to be asked for', () => registry.count('GET', /manifests\/2/) > 0)
    await expectNothingYet(server)
    release()
    await waitForIndex(server, bothFiles)
  })

  test('nothing listens: 503 with the reason, then the index as soon as it is there', async () => {
    await using registry = await openFakeRegistry()
    addCharts(registry)
    registry.stop()
    await using server = await openServerOver(registry)
    expect(await waitForRefreshError(server)).toMatch(/refused|reach|listens/)
    expect(await expectNothingYet(server)).toContain(registry.host)
    registry.start()
    await waitForIndex(server, bothFiles)
    await waitForHealth(server)
  })
})

describe.concurrent('after a good crawl', () => {
  const views: readonly (readonly [view: string, args: readonly string[], late: string])[] = [
    ['a catalog', [], 'team/late'],
    // Nothing asks the catalog then, so only the tag lists tell that the registry is away.
    ['a list of repositories', ['--storage-registry-repositories=team/app'], 'team/app'],
  ]
  test.each(views)(
    'the registry stops (%s): all that is known is served, and fresh soon after',
    async (_view, args, late) => {
      await using registry = await openFakeRegistry()
      const { cached, uncached } = addCharts(registry)
      await using server = await openServerOver(registry, { args })
      await waitForIndex(server, bothFiles)
      await expectServed(server, cached)
      const before = await server.get('/index.yaml')
      const bytesBefore = await before.text()

      registry.stop()
      // Until the attempts have come to an end, it may be the time they take that is told.
      await waitFor('the reason in /readyz', async () =>
        /refused|reach|listens/.test(await waitForRefreshError(server)),
      )
      const readiness = await waitFor('an age of more than two seconds', async () => {
        const now = await server.readyz()
        return now.snapshotAgeSeconds > 2 && now
      })
      expect(readiness).toMatchObject({ ready: true, charts: 1, versions: 2, refresh: { ok: false } })
      const during = await server.get('/index.yaml')
      expect([during.status, during.headers.get('etag')]).toEqual([200, before.headers.get('etag')])
      expect(Number(during.headers.get('x-snapshot-age'))).toBeGreaterThanOrEqual(2)
      expect(await during.text()).toBe(bytesBefore)
      await expectServed(server, cached)
      await expectUnavailable(server, uncached)

      // The same fault again and again is one line of the log.
      expect(server.logLines().filter(({ level }) => level === 'warn' || level === 'error').length).toBeLessThan(4)

      registry.addChart({ repository: late, name: 'late', version: '0.1.0' })
      registry.start()
      const startedAt = performance.now()
      await waitForIndex(server, [...bothFiles, 'late-0.1.0.tgz'])
      // An attempt that began before the registry was back may still be waiting in its back-off.
      expect(performance.now() - startedAt).toBeLessThan(INTERVAL_MS + 4000)
      await waitForHealth(server)
      await expectServed(server, uncached)
    },
  )

  test.each(['SIGTERM', 'SIGKILL'] as const)(
    'a restart by %s while it is down serves the last snapshot at once',
    async (signal) => {
      await using dir = await openTempDir()
      const args = [`--cache-dir=${join(dir.path, 'cache')}`]
      await using registry = await openFakeRegistry()
      const { cached, uncached } = addCharts(registry)
      let etag: string | null
      {
        await using server = await openServerOver(registry, { args })
        await waitForIndex(server, bothFiles)
        await expectServed(server, cached)
        etag = (await server.get('/index.yaml')).headers.get('etag')
        server.kill(signal)
      }
      registry.stop()
      await using server = await openServerOver(registry, { args })
      const index = await server.get('/index.yaml')
      expect([index.status, index.headers.get('etag')]).toEqual([200, etag])
      expect(await readIndex(server)).toEqual(bothFiles)
      expect((await server.readyz()).ready).toBe(true)
      await expectServed(server, cached)
      await expectUnavailable(server, uncached)
      await waitForRefreshError(server)
      expect(await readIndex(server)).toEqual(bothFiles)
      registry.start()
      await waitForHealth(server)
      await expectServed(server, uncached)
    },
  )

  test('a restart asks for no manifest or config again', async () => {
    await using dir = await openTempDir()
    const args = [`--cache-dir=${join(dir.path, 'cache')}`]
    await using registry = await openFakeRegistry()
    addCharts(registry)
    {
      await using server = await openServerOver(registry, { args })
      await waitForIndex(server, bothFiles)
    }
    const callsBefore = registry.calls.length
    await using server = await openServerOver(registry, { args })
    await waitForHealth(server)
    await waitFor('a listing', () => registry.calls.length > callsBefore + 1)
    expect(registry.callLines(callsBefore).filter((line) => /^GET .*(manifests|blobs)/.test(line))).toEqual([])
  })
})

describe.concurrent('SIGTERM', () => {
  test('lets a download that is under way come to its end', async () => {
    await using registry = await openFakeRegistry()
    const { uncached: chart } = addCharts(registry)
    await using server = await openServerOver(registry)
    await waitForIndex(server, bothFiles)
    const blob = new RegExp(`/blobs/${chart.chartDigest}$`)
    const { promise: released, resolve: release } = Promise.withResolvers<void>()
    registry.script({ path: blob }, held(released))
    const download = server.get(`/charts/${chart.fileName}`).then((answer) => answer.bytes())
    await waitFor('the blob to be asked for', () => registry.count('GET', blob) > 0)
    const stopped = server.stop()
    await waitFor('the listener to be closed', () =>
      server.get('/health').then(
        () => false,
        () => true,
      ),
    )
    release()
    expect(digestOf(await download)).toBe(chart.chartDigest)
    expect(await stopped).toBe(0)
  })

  test('does not wait for a download that never ends', async () => {
    await using registry = await openFakeRegistry()
    const { uncached: chart } = addCharts(registry)
    await using server = await openServerOver(registry)
    await waitForIndex(server, bothFiles)
    const script = registry.script({ path: new RegExp(`/blobs/${chart.chartDigest}$`) }, always(stall()))
    const download = server.get(`/charts/${chart.fileName}`).then(
      (answer) => answer.status,
      () => 'broken off',
    )
    await waitFor('the blob to be asked for', () => script.used() > 0)
    expect(await server.stop()).toBe(0)
    expect(await download).not.toBe(200)
  })

  test('in the middle of a crawl keeps what was learnt', async () => {
    await using dir = await openTempDir()
    const args = [`--cache-dir=${join(dir.path, 'cache')}`]
    await using registry = await openFakeRegistry()
    addCharts(registry)
    registry.script({ path: /manifests\/2/ }, always(stall()))
    {
      await using server = await openServerOver(registry, { args })
      await waitFor('the first config', () => registry.count('GET', /blobs/) > 0)
      expect(await server.stop()).toBe(0)
    }
    await using server = await openServerOver(registry, { args })
    await waitFor('the crawl after the restart', () => registry.count('GET', /manifests\/2/) > 1)
    await expectNothingYet(server)
  })
})
