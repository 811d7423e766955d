/** What a manifest means: its chart and provenance layers wherever they stand, its time, or why it is no chart. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { findChartLayers, makeChartRecord, tryParseCreated } from '../../src/helm/chart-record.ts'
import { limits } from '../../src/limits.ts'
import { digestBytes, digestHex } from '../../src/oci/digest.ts'
import type { Descriptor } from '../../src/oci/manifest.ts'
import { mediaTypes } from '../../src/oci/media-types.ts'
import { chartManifest, chartRecord, describeContent, madeChart, readRecord } from './chart-content.ts'
import { readYaml, toPairs } from './yaml-reader.ts'

const chart = describeContent(mediaTypes.helmChart, 'chart')
const legacy = describeContent(mediaTypes.helmChartLegacy, 'legacy')
const provenance = describeContent(mediaTypes.helmProvenance, 'provenance')
const foreign = describeContent('application/vnd.cncf.artifacthub.repository-metadata.layer.v1.yaml', 'foreign')
const layer = ({ digest, size }: Descriptor) => ({ digest, size })

describe('findChartLayers', () => {
  test('finds chart and provenance in any order, among layers of other types', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([chart, provenance, foreign, foreign], { minLength: 4 }), (layers) => {
        expect(findChartLayers(chartManifest('', {}, layers))).toEqual({
          chart: layer(chart),
          provenance: layer(provenance),
        })
      }),
    )
  })

  test('takes the legacy type, and the current one before it', () => {
    expect(findChartLayers(chartManifest('', {}, [legacy]))).toEqual({ chart: layer(legacy), provenance: undefined })
    expect(findChartLayers(chartManifest('', {}, [legacy, chart]))).toEqual({
      chart: layer(chart),
      provenance: undefined,
    })
  })

  test('takes the first of several layers of one type', () => {
    const second = describeContent(mediaTypes.helmChart, 'second')
    expect(findChartLayers(chartManifest('', {}, [chart, second]))).toMatchObject({ chart: layer(chart) })
  })

  test('leaves out provenance that is larger than a signature can be', () => {
    const signed = (size: number) => findChartLayers(chartManifest('', {}, [chart, { ...provenance, size }]))
    const { maxProvenanceBytes } = limits
    expect(signed(maxProvenanceBytes)).toMatchObject({ provenance: { size: maxProvenanceBytes } })
    expect(signed(maxProvenanceBytes + 1)).toEqual({ chart: layer(chart), provenance: undefined })
  })

  test('says why a manifest is no chart', () => {
    const image = { ...chartManifest(), config: describeContent('application/vnd.oci.image.config.v1+json', '{}') }
    const reason = "its config is application/vnd.oci.image.config.v1+json, not a chart's"
    expect(findChartLayers(image)).toEqual({ kind: 'skipped', reason })
    expect(findChartLayers(chartManifest('', {}, [provenance]))).toEqual({
      kind: 'skipped',
      reason: 'it has no chart layer',
    })
    expect(findChartLayers(chartManifest('', {}, []))).toEqual({ kind: 'skipped', reason: 'it has no chart layer' })
  })

  test('shows a foreign media type cut, and without what breaks a line', () => {
    const odd = (mediaType: string) => findChartLayers({ ...chartManifest(), config: { ...chart, mediaType } })
    expect(odd('a\n\u001b[31mb c')).toEqual({ kind: 'skipped', reason: "its config is a31mbc, not a chart's" })
    expect(odd('x'.repeat(1000))).toEqual({ kind: 'skipped', reason: `its config is ${'x'.repeat(80)}, not a chart's` })
    expect(odd('')).toEqual({ kind: 'skipped', reason: "its config is of no type, not a chart's" })
  })
})

describe('makeChartRecord', () => {
  const demo = { digest: digestBytes(Buffer.from('demo')), manifest: chartManifest() }

  test('keeps name, version, time, layers and the entry', () => {
    const manifest = chartManifest('', { 'org.opencontainers.image.created': '2026-03-01T13:00:00.000+01:00' }, [
      provenance,
      chart,
    ])
    const { record, entry } = madeChart({ name: 'demo', version: '1.2.3+b', description: 'yes' }, { manifest })
    expect(record).toEqual({
      kind: 'chart',
      name: 'demo',
      version: '1.2.3+b',
      created: '2026-03-01T12:00:00Z',
      chart: layer(chart),
      provenance: layer(provenance),
      manifest: expect.stringMatching(/^sha256:/),
    })
    const wanted = {
      name: 'demo',
      version: '1.2.3+b',
      description: 'yes',
      created: '2026-03-01T12:00:00Z',
      digest: digestHex(chart.digest),
    }
    expect(readYaml(entry.yaml, '1.1')).toEqual(toPairs([wanted]))
    expect(JSON.parse(`${entry.json}}`)).toEqual(wanted)
  })

  test('knows the manifest it was made of', () => {
    const digest = digestBytes(Buffer.from('a manifest'))
    const config = Buffer.from('{"name":"demo","version":"1.2.3"}')
    const made = makeChartRecord({ digest, manifest: chartManifest() }, config, () => undefined)
    expect(made).toMatchObject({ record: { manifest: digest } })
  })

  test('gives a chart whose layer has a sha512 digest no digest: Helm 4 fails on it', () => {
    const manifest = chartManifest('', {}, [describeContent(mediaTypes.helmChart, 'chart', 'sha512')])
    const { record, entry } = madeChart({ name: 'demo', version: '1.2.3' }, { manifest })
    expect(record).toMatchObject({ kind: 'chart', chart: { digest: expect.stringMatching(/^sha512:/) } })
    expect(entry.yaml + entry.json).not.toContain('digest')
  })

  test('tells of what was left out, and does not when nothing was', () => {
    const dropped: string[] = []
    readRecord({ name: 'demo', version: '1.2.3', appVersion: 1 }, { dropped })
    expect(dropped).toEqual(['/appVersion'])
    expect(() => chartRecord({ name: 'demo', version: '1.2.3' })).not.toThrow()
  })

  test.each(['', 'name: demo', '{', '[', '{"name":"demo","version":"1.2.3"}x'])(
    'skips the config %j, which is no JSON',
    (config) => {
      expect(makeChartRecord(demo, Buffer.from(config), () => undefined)).toEqual({
        kind: 'skipped',
        reason: 'its config is no JSON',
      })
    },
  )

  test('skips a config that is no UTF-8', () => {
    const config = Buffer.from('{"name":"d\xe9mo","version":"1.2.3"}', 'latin1')
    expect(makeChartRecord(demo, config, () => undefined)).toEqual({
      kind: 'skipped',
      reason: 'its config is no JSON',
    })
  })

  test('skips a chart whose file could not be saved, provenance included', () => {
    const room = 255 - '-1.2.3.tgz.prov'.length
    expect(readRecord({ name: 'x'.repeat(room), version: '1.2.3' }).kind).toBe('chart')
    const long = readRecord({ name: 'x'.repeat(room + 1), version: '1.2.3' })
    expect(long).toEqual({ kind: 'skipped', reason: 'its name and version make a file name that is too long' })
  })
})

describe('tryParseCreated', () => {
  test.each([
    ['2026-03-01T12:00:00Z', '2026-03-01T12:00:00Z'],
    ['2026-03-01t12:00:00z', '2026-03-01T12:00:00Z'],
    ['2026-03-01T12:00:00+02:00', '2026-03-01T10:00:00Z'],
    ['2026-03-01T12:00:00-05:30', '2026-03-01T17:30:00Z'],
    ['2026-03-01T12:00:00.25Z', '2026-03-01T12:00:00.250Z'],
    ['2026-03-01T12:00:00.000000001Z', '2026-03-01T12:00:00Z'],
    ['2026-03-01T12:00:00.123456789+00:00', '2026-03-01T12:00:00.123Z'],
    ['0001-01-01T00:00:00Z', '0001-01-01T00:00:00Z'],
    ['9999-12-31T23:59:59Z', '9999-12-31T23:59:59Z'],
  ])('reads %s', (text, time) => {
    expect(tryParseCreated(text)).toBe(time)
  })

  test.each([
    ...[
      undefined,
      '',
      'yesterday',
      '2026-03-01',
      '2026-03-01T12:00:00',
      '2026-03-01 12:00:00Z',
      '2026-03-01T12:00Z',
      '1700000000',
    ],
    ...[
      '2026-13-01T12:00:00Z',
      '2026-03-32T12:00:00Z',
      '2026-02-30T12:00:00Z',
      '2026-02-29T12:00:00Z',
      '2026-04-31T12:00:00Z',
      '2026-03-01T24:00:00Z',
      '2026-03-01T25:00:00Z',
      '2026-03-01T12:60:00Z',
      '+02026-03-01T12:00:00Z',
    ],
    ...[
      '9999-12-31T23:59:59-01:00',
      '0000-01-01T00:00:00+01:00',
      '2026-03-01T12:00:00Z\n',
      ' 2026-03-01T12:00:00Z',
      '2026-03-01T12:00:00+0200',
    ],
  ])('reads nothing from %j', (text) => {
    expect(tryParseCreated(text)).toBeUndefined()
  })

  test('gives a time that Go can read, or none', () => {
    const two = fc.nat({ max: 99 }).map((n) => String(n).padStart(2, '0'))
    const time = fc.tuple(
      fc.nat({ max: 9999 }),
      two,
      two,
      two,
      two,
      two,
      fc.constantFrom('Z', '+00:00', '-12:00', '+23:59', '+24:00'),
    )
    fc.assert(
      fc.property(time, ([year, month, day, hour, minute, second, zone]) => {
        const text = `${String(year).padStart(4, '0')}-${month}-${day}T${hour}:${minute}:${second}${zone}`
        const read = tryParseCreated(text)
        expect(read ?? '2026-01-01T00:00:00Z').toMatch(/^\d{4}-(?:0\d|1[0-2])-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\dZ$/)
        const valid =
          Number(month) <= 12 && Number(month) > 0 && Number(day) > 0 && Number(day) < 29 && Number(hour) < 24
        const surely = valid && Number(minute) < 60 && Number(second) < 60 && zone === 'Z'
        if (surely) expect(read).toBe(text)
      }),
    )
  })
})
