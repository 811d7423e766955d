/** What a reference means: looked into once per digest, and remembered only when the registry stands for it. */
import { describe, expect, test } from 'bun:test'
import { limits } from '../../src/limits.ts'
import { digestBytes } from '../../src/oci/digest.ts'
import { mediaTypes } from '../../src/oci/media-types.ts'
import { defer } from '../lib/fake-clock.ts'
import { rejection } from '../upstream/fake-send.ts'
import { openCrawlStage } from './crawl-stage.ts'
import { failure } from './memory-registry.ts'

const demo = { name: 'demo', version: '1.0.0' }

describe('Examiner.examine', () => {
  test('reads manifest and config of a chart, and keeps the record', async () => {
    const { registry, examiner, records, store } = openCrawlStage()
    const digest = registry.addChart('a', '1.0.0', demo)
    const examined = await examiner.examine('a', '1.0.0')
    expect(examined).toMatchObject({ digest, record: { kind: 'chart', ...demo } })
    expect(registry.calls).toEqual(['get a:1.0.0', 'blob a'])
    expect([records.get(digest), store.saved]).toEqual([examined?.record, [digest]])
  })

  test('looks into a digest once, whatever repository and tag lead to it', async () => {
    const { registry, examiner, store } = openCrawlStage()
    registry.addChart('a', '1.0.0', demo)
    registry.addChart('b', 'latest', demo)
    await Promise.all([examiner.examine('a', '1.0.0'), examiner.examine('b', 'latest'), examiner.examine('a', '1.0.0')])
    await examiner.examine('b', 'latest')
    expect([registry.count('blob'), store.saved.length]).toEqual([1, 1])
  })

  test('is nothing when the registry has nothing', async () => {
    expect(await openCrawlStage().examiner.examine('a', '1.0.0')).toBeUndefined()
  })

  interface Parts {
    readonly config?: { readonly mediaType: string; readonly size?: number }
    readonly layers?: readonly { readonly mediaType: string; readonly size: number }[]
  }
  const noCharts: readonly (readonly [what: string, parts: Parts, reason: RegExp])[] = [
    ['an image', { config: { mediaType: 'application/vnd.oci.image.config.v1+json' } }, /its config is application/],
    ['a chart without a layer', { layers: [] }, /no chart layer/],
    [
      'a chart that is too large',
      { layers: [{ mediaType: mediaTypes.helmChart, size: limits.maxChartBytes + 1 }] },
      /its chart is larger/,
    ],
    [
      'a config that is too large',
      { config: { mediaType: mediaTypes.helmConfig, size: limits.maxConfigBytes + 1 } },
      /its config is larger/,
    ],
  ]
  test.each(noCharts)(
    'remembers without reading a blob that something is no chart: %s',
    async (_what, parts, reason) => {
      const { registry, examiner, store } = openCrawlStage()
      const descriptor = { mediaType: mediaTypes.helmConfig, digest: digestBytes(Buffer.from('x')), size: 1 }
      const layers = (parts.layers ?? [{ mediaType: mediaTypes.helmChart }]).map((layer) => ({
        ...descriptor,
        ...layer,
      }))
      registry.addManifest('a', '1', { config: { ...descriptor, ...parts.config }, layers })
      expect(await examiner.examine('a', '1')).toMatchObject({
        record: { kind: 'skipped', reason: expect.stringMatching(reason) },
      })
      expect([registry.count('blob'), store.saved.length]).toEqual([0, 1])
    },
  )

  test('takes charts and configs up to their bounds', async () => {
    const { registry, examiner } = openCrawlStage()
    const config = registry.addBlob(JSON.stringify(demo).padEnd(limits.maxConfigBytes), mediaTypes.helmConfig)
    const layer = { mediaType: mediaTypes.helmChart, digest: digestBytes(Buffer.from('x')), size: limits.maxChartBytes }
    registry.addManifest('a', '1', { config, layers: [layer] })
    expect(config.size).toBe(limits.maxConfigBytes)
    expect(await examiner.examine('a', '1')).toMatchObject({ record: { kind: 'chart' } })
  })

  test('says what of the metadata was left out, once', async () => {
    const { registry, examiner, log } = openCrawlStage()
    registry.addChart('a', '1', { ...demo, metadata: { appVersion: 7, engine: 'x' } })
    await examiner.examine('a', '1')
    await examiner.examine('a', '1')
    expect(log.lines).toEqual([
      {
        level: 'warn',
        message: 'metadata left out',
        fields: { repository: 'a', tag: '1', fields: '/appVersion /engine' },
      },
    ])
  })

  test('remembers nothing of what cannot be read now', async () => {
    const { registry, examiner, records, store } = openCrawlStage()
    registry.addChart('a', '1', demo)
    registry.fail('blob a', failure())
    expect(await rejection(examiner.examine('a', '1'))).toMatchObject({ code: 'UPSTREAM_UNAVAILABLE' })
    registry.removeBlobs()
    registry.fail('blob a', undefined)
    expect(await rejection(examiner.examine('a', '1'))).toMatchObject({ code: 'UPSTREAM_MALFORMED' })
    expect([records.size, store.saved]).toEqual([0, []])
    registry.addChart('a', '1', demo)
    expect(await examiner.examine('a', '1')).toMatchObject({ record: { kind: 'chart' } })
  })

  test('does not remember as no chart what the registry calls by another digest, or not by its own while it is no manifest', async () => {
    const { registry, examiner, records } = openCrawlStage()
    registry.addManifest('a', 'odd', 'these are no manifest bytes')
    registry.addManifest('a', 'image', {
      config: { mediaType: 'x', digest: digestBytes(Buffer.from('x')), size: 1 },
      layers: [],
    })
    registry.confirmed = false
    for (const tag of ['odd', 'image'])
      expect(await rejection(examiner.examine('a', tag))).toMatchObject({ code: 'UPSTREAM_MALFORMED' })
    expect(records.size).toBe(0)
    registry.confirmed = true
    for (const tag of ['odd', 'image'])
      expect(await examiner.examine('a', tag)).toMatchObject({ record: { kind: 'skipped' } })
  })

  test('is asked of another repository when the first that has the same chart fails', async () => {
    const { registry, examiner } = openCrawlStage()
    registry.addChart('a', '1', demo)
    registry.addChart('b', '1', demo)
    const gate = defer<never>()
    registry.fail('blob a', gate.promise)
    const first = rejection(examiner.examine('a', '1'))
    const second = examiner.examine('b', '1')
    gate.reject(failure('UPSTREAM_TIMEOUT'))
    expect(await first).toMatchObject({ code: 'UPSTREAM_TIMEOUT' })
    expect(await second).toMatchObject({ record: { kind: 'chart' } })
  })

  test('gives everybody who asks at the same time the same failure, and the next one a new try', async () => {
    const { registry, examiner } = openCrawlStage()
    registry.addChart('a', '1', demo)
    const gate = defer<never>()
    registry.fail('blob a', gate.promise)
    const asked = [1, 2].map(() => rejection(examiner.examine('a', '1')))
    gate.reject(failure('UPSTREAM_DENIED'))
    expect(await Promise.all(asked)).toMatchObject([{ code: 'UPSTREAM_DENIED' }, { code: 'UPSTREAM_DENIED' }])
    registry.fail('blob a', undefined)
    expect(await examiner.examine('a', '1')).toMatchObject({ record: { kind: 'chart' } })
  })
})

describe('Examiner.examine of an index', () => {
  const child = (digest: string, platform?: object) => ({
    mediaType: mediaTypes.ociManifest,
    digest,
    size: 1,
    ...(platform && { platform }),
  })
  const image = { config: { mediaType: 'x', digest: digestBytes(Buffer.from('x')), size: 1 }, layers: [] }

  test('is the first chart among its children', async () => {
    const { registry, examiner } = openCrawlStage()
    const other = registry.addManifest('a', undefined, image)
    const charts = [demo, { ...demo, version: '2.0.0' }].map((chart, i) => registry.addChart('a', `child${i}`, chart))
    const digest = registry.addManifest(
      'a',
      'index',
      { manifests: [child(other), ...charts.map((each) => child(each))] },
      mediaTypes.ociIndex,
    )
    expect(await examiner.examine('a', 'index')).toMatchObject({ digest, record: { kind: 'chart', version: '1.0.0' } })
    expect(registry.calls).toEqual(['get a:index', `get a:${other}`, `get a:${charts[0]}`, 'blob a'])
  })

  test('does not ask for children that are known, for a platform, or beyond the bound', async () => {
    const { registry, examiner, takeCalls } = openCrawlStage()
    const chart = registry.addChart('a', '1', demo)
    await examiner.examine('a', '1')
    takeCalls()
    registry.addManifest('a', 'known', { manifests: [child(chart)] }, mediaTypes.ociIndex)
    registry.addManifest('a', 'platforms', { manifests: [child(chart, { os: 'linux' })] }, mediaTypes.ociIndex)
    expect(await examiner.examine('a', 'known')).toMatchObject({ record: { kind: 'chart' } })
    expect(await examiner.examine('a', 'platforms')).toMatchObject({ record: { kind: 'skipped' } })
    const many = Array.from({ length: limits.maxIndexChildren + 5 }, (_, i) =>
      child(registry.addManifest('a', undefined, { ...image, i })),
    )
    registry.addManifest('a', 'many', { manifests: many }, mediaTypes.ociIndex)
    takeCalls()
    expect(await examiner.examine('a', 'many')).toMatchObject({ record: { kind: 'skipped' } })
    expect(takeCalls()).toHaveLength(1 + limits.maxIndexChildren)
  })

  test('keeps the entry of an index under the manifest of its chart, whichever of the two is found first', async () => {
    for (const isIndexFirst of [true, false]) {
      const { registry, examiner, store } = openCrawlStage()
      const chart = registry.addChart('a', '1.0.0', demo)
      const index = registry.addManifest('a', 'index', { manifests: [child(chart)] }, mediaTypes.ociIndex)
      for (const tag of isIndexFirst ? ['index', '1.0.0'] : ['1.0.0', 'index']) await examiner.examine('a', tag)
      expect([...store.entries.keys()]).toEqual([chart])
      const records = [chart, index].map((digest) => store.records.get(digest))
      expect(records).toMatchObject([{ manifest: chart }, { manifest: chart }])
    }
  })

  test('does not go into an index in an index', async () => {
    const { registry, examiner } = openCrawlStage()
    const chart = registry.addChart('a', 'x', demo)
    const inner = registry.addManifest('a', undefined, { manifests: [child(chart)] }, mediaTypes.ociIndex)
    registry.addManifest('a', 'outer', { manifests: [child(inner)] }, mediaTypes.ociIndex)
    expect(await examiner.examine('a', 'outer')).toMatchObject({ record: { kind: 'skipped' } })
  })
})
