/** From the name of a file to its bytes, with as few questions as possible. */
import { describe, expect, test } from 'bun:test'
import { ChartRepoError } from '../../src/errors.ts'
import { findChartLayers, type LayerRecord } from '../../src/helm/chart-record.ts'
import { limits } from '../../src/limits.ts'
import { digestBytes } from '../../src/oci/digest.ts'
import { mediaTypes } from '../../src/oci/media-types.ts'
import { ChartFiles } from '../../src/repository/chart-files.ts'
import type { Snapshot } from '../../src/repository/snapshot.ts'
import { chartManifest, describeContent } from '../helm/chart-content.ts'
import { rejection } from '../upstream/fake-send.ts'

const signed = [
  describeContent(mediaTypes.helmChart, 'signed'),
  describeContent(mediaTypes.helmProvenance, 'provenance'),
]

function snapshotOf(...charts: readonly (readonly [name: string, isSigned: boolean])[]): Snapshot {
  const files = charts.map(([name, isSigned]) => {
    const layers = findChartLayers(isSigned ? chartManifest(name, {}, signed) : chartManifest(name))
    if ('kind' in layers) throw new TypeError(layers.reason)
    const manifest = digestBytes(Buffer.from(name))
    const record = { kind: 'chart', name, version: '1.0.0', created: undefined, manifest, ...layers } as const
    const fileName = `${name}-1.0.0.tgz`
    return [fileName, { fileName, repository: 'team/x', tag: '1.0.0', record }] as const
  })
  const document = () => {
    throw new TypeError('Files are found without the index')
  }
  const index = { key: '', charts: files.length, versions: files.length, plainBytes: 0, document }
  return { listedAt: 0, isPartial: false, index, files: new Map(files) }
}

/** Files over a snapshot now and another one after a refresh. */
function open(now: Snapshot | undefined, later: Snapshot | undefined = now, content?: Blob) {
  const asked: string[] = []
  const contents = {
    open: async (repository: string, { digest, size }: LayerRecord) => {
      asked.push(`open ${repository} ${digest.slice(0, 12)} ${size}`)
      return content
    },
  }
  const source = {
    settled: undefined,
    snapshot: now,
    fresh: async () => {
      asked.push('fresh')
      if (later === undefined) throw new ChartRepoError('SNAPSHOT_MISSING', 'not yet')
      return later
    },
  }
  return { asked, files: new ChartFiles(contents, source) }
}

describe('ChartFiles.find', () => {
  test('asks nobody for what is in the snapshot', async () => {
    const { files, asked } = open(snapshotOf(['demo', true]))
    expect(await files.find('demo-1.0.0.tgz')).toMatchObject({
      kind: 'chart',
      repository: 'team/x',
      layer: { size: 'signed'.length },
    })
    expect(await files.find('demo-1.0.0.tgz.prov')).toMatchObject({
      kind: 'provenance',
      layer: { size: 'provenance'.length },
    })
    expect(asked).toEqual([])
  })

  test('asks for a refresh before it says that there is none', async () => {
    const { files, asked } = open(snapshotOf(), snapshotOf(['demo', false]))
    expect(await files.find('demo-1.0.0.tgz')).toMatchObject({ kind: 'chart' })
    expect(await rejection(files.find('other-1.0.0.tgz'))).toMatchObject({ code: 'CHART_UNKNOWN' })
    expect(asked).toEqual(['fresh', 'fresh'])
  })

  test('asks for none when a chart is there and has no provenance: a refresh would not change that', async () => {
    const { files, asked } = open(snapshotOf(['demo', false]))
    expect(await rejection(files.find('demo-1.0.0.tgz.prov'))).toMatchObject({ code: 'CHART_UNKNOWN' })
    expect(asked).toEqual([])
  })

  test('says that there is no snapshot yet', async () => {
    expect(await rejection(open(undefined, undefined).files.find('demo-1.0.0.tgz'))).toMatchObject({
      code: 'SNAPSHOT_MISSING',
    })
    expect(await open(undefined, snapshotOf(['demo', false])).files.find('demo-1.0.0.tgz')).toMatchObject({
      kind: 'chart',
    })
  })

  test('does not say that there is none while only a part is served: the crawl may still find it', async () => {
    const part = { ...snapshotOf(['demo', false]), isPartial: true }
    const missing = rejection(open(part).files.find('other-1.0.0.tgz'))
    expect(await missing).toMatchObject({ code: 'SNAPSHOT_MISSING', retryAfterMs: limits.refreshPauseMs })
    // What is there is known, and so is what it lacks.
    expect(await open(part).files.find('demo-1.0.0.tgz')).toMatchObject({ kind: 'chart' })
    expect(await rejection(open(part).files.find('demo-1.0.0.tgz.prov'))).toMatchObject({ code: 'CHART_UNKNOWN' })
    expect(await rejection(open(part, snapshotOf()).files.find('other-1.0.0.tgz'))).toMatchObject({
      code: 'CHART_UNKNOWN',
    })
  })

  test.each([
    '',
    '.',
    '..',
    '/',
    '../demo-1.0.0.tgz',
    'demo-1.0.0',
    'demo-1.0.0.tgz.prov.prov',
    '.prov',
    'demo-1.0.0.TGZ',
    'demo-1.0.0.tgz\0',
    '__proto__',
    'constructor',
    'size',
  ])('knows no file called %j', async (name) => {
    expect(await rejection(open(snapshotOf(['demo', true])).files.find(name))).toMatchObject({ code: 'CHART_UNKNOWN' })
  })
})

describe('ChartFiles.read', () => {
  test('takes the bytes from where they are, by repository and layer', async () => {
    const snapshot = snapshotOf(['demo', false])
    const { files, asked } = open(snapshot, snapshot, new Blob(['x']))
    expect(await (await files.read(await files.find('demo-1.0.0.tgz'))).text()).toBe('x')
    const digest = digestBytes(Buffer.from('demo')).slice(0, 12)
    expect(asked).toEqual([`open team/x ${digest} 4`])
  })

  test('says that the registry has lost them', async () => {
    const { files } = open(snapshotOf(['demo', false]))
    const lost = files.read(await files.find('demo-1.0.0.tgz'))
    expect(await rejection(lost)).toMatchObject({ code: 'CHART_UNKNOWN', message: expect.stringContaining('team/x') })
  })
})
