/**
 * Answers that arrive broken: cut, silent, with other bytes than promised, too large, or no JSON. Nothing of them is
 * listed or served; everything beside them is.
 */
import { describe, expect, test } from 'bun:test'
import { mediaTypes, packChart } from '../fakes/fake-chart.ts'
import { type FakeRegistry, openFakeRegistry } from '../fakes/fake-registry.ts'
import { type Answer, always, cutBody, reply, reset, stall, wrongBytes } from '../fakes/fault-script.ts'
import { waitFor } from '../stand/wait-for.ts'
import {
  expectServed,
  expectUnavailable,
  openServerOver,
  readIndex,
  waitForIndex,
  waitForProblem,
  waitForRefreshError,
  waitForRounds,
} from './scene.ts'

const oneRound = ['--refresh-interval=1h']
const MiB = 1024 * 1024

/** `good` in one repository, `poor` with two versions in another. */
function addCharts(registry: FakeRegistry, poorPaddingBytes = 0) {
  const good = registry.addChart({ repository: 'good', name: 'good', version: '1.0.0' })
  const poor = registry.addChart({ repository: 'poor', name: 'poor', version: '1.0.0', paddingBytes: poorPaddingBytes })
  const other = registry.addChart({ repository: 'poor', name: 'poor', version: '2.0.0' })
  return { good, poor, other }
}
const allFiles = ['good-1.0.0.tgz', 'poor-2.0.0.tgz', 'poor-1.0.0.tgz']
const withoutPoor1 = ['good-1.0.0.tgz', 'poor-2.0.0.tgz']

describe.concurrent('a body that is cut', () => {
  const targets: [what: string, path: RegExp][] = [
    ['the catalog', /_catalog/],
    ['a tag list', /poor\/tags\/list/],
    ['a manifest', /poor\/manifests\/1\.0\.0$/],
    ['a config', /poor\/blobs\/sha256/],
  ]
  test.each(targets)('once, in %s, is asked for again', async (_what, path) => {
    await using registry = await openFakeRegistry()
    addCharts(registry)
    registry.script({ path }, cutBody(5), cutBody(5, { framing: 'chunked' }))
    await using server = await openServerOver(registry, { args: oneRound })
    await waitForIndex(server, allFiles)
    expect((await server.readyz()).refresh).toEqual({ ok: true, error: null, problems: [] })
  })

  test('always, in one manifest: the other tags are there', async () => {
    await using registry = await openFakeRegistry()
    addCharts(registry)
    const script = registry.script({ path: /poor\/manifests\/1\.0\.0$/ }, always(cutBody(20)))
    await using server = await openServerOver(registry)
    await waitForIndex(server, withoutPoor1)
    expect(await waitForProblem(server, 'poor')).toMatchObject({ tag: '1.0.0' })
    script.clear()
    await waitForIndex(server, allFiles)
  })

  test.each(['length', 'chunked', 'close'] as const)(
    'in a package (framing: %s) never reaches a client',
    async (framing) => {
      await using registry = await openFakeRegistry()
      const { poor } = addCharts(registry, 600_000)
      const blob = new RegExp(`/blobs/${poor.chartDigest}$`)
      await using server = await openServerOver(registry, { args: oneRound })
      await waitForIndex(server, allFiles)
      const script = registry.script({ path: blob }, always(cutBody(300_000, { framing })))
      await expectUnavailable(server, poor)
      script.clear()
      await expectServed(server, poor)
    },
  )

  test('a connection that breaks before the answer is asked again', async () => {
    await using registry = await openFakeRegistry()
    addCharts(registry)
    for (const path of [/_catalog/, /poor\/manifests/]) registry.script({ path }, reset(), cutBody(0))
    await using server = await openServerOver(registry, { args: oneRound })
    await waitForIndex(server, allFiles)
  })
})

describe.concurrent('a stall', () => {
  test('of a listing: the index is served on, within the time a reader may be kept', async () => {
    await using registry = await openFakeRegistry()
    const { poor } = addCharts(registry)
    await using server = await openServerOver(registry, { args: ['--refresh-wait=200ms'] })
    await waitForIndex(server, allFiles)
    registry.script({ path: /_catalog/ }, always(stall()))
    await waitForRounds(registry, 1)
    const startedAt = performance.now()
    expect(await readIndex(server)).toEqual(allFiles)
    expect(performance.now() - startedAt).toBeLessThan(2000)
    await expectServed(server, poor)
  })

  test('of one tag list: the other repositories are refreshed, or at least served', async () => {
    await using registry = await openFakeRegistry()
    addCharts(registry)
    await using server = await openServerOver(registry, { args: ['--refresh-wait=100ms'] })
    await waitForIndex(server, allFiles)
    const script = registry.script({ path: /poor\/tags\/list/ }, always(stall()))
    await waitFor('the stall', () => script.used() > 0)
    expect(await readIndex(server)).toEqual(allFiles)
    expect((await server.readyz()).ready).toBe(true)
    expect(script.used()).toBeLessThanOrEqual(1)
  })

  test('does not keep the server from ending', async () => {
    await using registry = await openFakeRegistry()
    addCharts(registry)
    const script = registry.script({ path: /_catalog/ }, always(stall()))
    await using server = await openServerOver(registry)
    await waitFor('the stall', () => script.used() > 0)
    const startedAt = performance.now()
    expect(await server.stop()).toBe(0)
    expect(performance.now() - startedAt).toBeLessThan(11_000)
    script.clear()
  })
})

describe.concurrent('bytes that are not those of their digest', () => {
  test('in a package are never served, and not kept', async () => {
    await using registry = await openFakeRegistry()
    const { poor } = addCharts(registry)
    await using server = await openServerOver(registry, { args: oneRound })
    await waitForIndex(server, allFiles)
    const script = registry.script({ path: new RegExp(`/blobs/${poor.chartDigest}$`) }, always(wrongBytes()))
    await expectUnavailable(server, poor)
    await expectUnavailable(server, poor)
    script.clear()
    await expectServed(server, poor)
  })

  test('in a package that is longer than its size are never served', async () => {
    await using registry = await openFakeRegistry()
    const { poor } = addCharts(registry)
    await using server = await openServerOver(registry, { args: oneRound })
    await waitForIndex(server, allFiles)
    const longer: Answer = async (healthy) => {
      const answer = await healthy()
      return { ...answer, body: Buffer.concat([Buffer.from(answer.body ?? ''), Buffer.alloc(100)]) }
    }
    const script = registry.script({ path: new RegExp(`/blobs/${poor.chartDigest}$`) }, always(longer))
    await expectUnavailable(server, poor)
    script.clear()
    await expectServed(server, poor)
  })

  test.each([
    ['config', 'configDigest', 'blobs'],
    ['manifest', 'tag', 'manifests'],
  ] as const)('in a %s: the tag is not listed until they are right', async (_what, key, route) => {
    await using registry = await openFakeRegistry()
    const { poor } = addCharts(registry)
    const script = registry.script({ path: new RegExp(`/poor/${route}/${poor[key]}$`) }, always(wrongBytes()))
    await using server = await openServerOver(registry, { args: ['--revalidate-interval=1s'] })
    await waitForIndex(server, withoutPoor1)
    script.clear()
    await waitForIndex(server, allFiles)
  })

  test('a config of another chart under this digest is not listed', async () => {
    await using registry = await openFakeRegistry()
    const { poor } = addCharts(registry)
    const lie = packChart({ name: 'evil', version: '6.6.6' }).config
    registry.script({ path: new RegExp(`/blobs/${poor.configDigest}$`) }, always(reply({ status: 200, body: lie })))
    await using server = await openServerOver(registry)
    await waitForIndex(server, withoutPoor1)
    await waitForProblem(server, 'poor')
  })
})

describe.concurrent('a body that is too large', () => {
  const hugeManifest = () => {
    const { manifest } = packChart({ name: 'huge', version: '1.0.0' })
    const document = JSON.parse(Buffer.from(manifest).toString()) as Record<string, unknown>
    return Buffer.from(JSON.stringify({ ...document, annotations: { padding: 'x'.repeat(4 * MiB) } }))
  }

  test.each(['length', 'chunked', 'close'] as const)('a manifest (framing: %s): the rest is there', async (framing) => {
    await using registry = await openFakeRegistry()
    addCharts(registry)
    registry.addManifest({ repository: 'huge', tag: '1.0.0', bytes: hugeManifest() })
    registry.script(
      { path: /\/huge\/manifests\// },
      always(async (healthy) => ({ ...(await healthy()), framing })),
    )
    await using server = await openServerOver(registry)
    await waitForIndex(server, allFiles)
    await waitForRounds(registry)
    expect(await readIndex(server)).toEqual(allFiles)
  })

  test('a config that says its size, and one that lies: the rest is there', async () => {
    await using registry = await openFakeRegistry()
    const { good } = addCharts(registry)
    const config = Buffer.from(
      JSON.stringify({ apiVersion: 'v2', name: 'huge', version: '1.0.0', description: 'x'.repeat(MiB) }),
    )
    const digest = registry.addBlob('huge', config)
    for (const size of [config.length, 200]) {
      const manifest = {
        schemaVersion: 2,
        config: { mediaType: mediaTypes.chartConfig, digest, size },
        layers: [{ mediaType: mediaTypes.chartLayer, digest: good.chartDigest, size: good.archive.length }],
      }
      registry.addManifest({ repository: 'huge', tag: `1.0.${size}`, bytes: JSON.stringify(manifest) })
    }
    await using server = await openServerOver(registry)
    await waitForIndex(server, allFiles)
    await waitForRounds(registry)
    expect(await readIndex(server)).toEqual(allFiles)
  })

  test('a catalog page without end: 503 with a reason, no endless reading', async () => {
    await using registry = await openFakeRegistry()
    const page = Buffer.from(JSON.stringify({ repositories: ['x'.repeat(17 * MiB)] }))
    registry.script({ path: /_catalog/ }, always(reply({ status: 200, body: page, framing: 'chunked' })))
    await using server = await openServerOver(registry)
    await waitForRefreshError(server)
    expect((await server.get('/index.yaml')).status).toBe(503)
  })
})
