/** The index as a whole: YAML and JSON say the same, to readers of JSON and of both kinds of YAML. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { parse as parseYaml } from 'yaml'
import type { MadeChart } from '../../src/helm/chart-record.ts'
import { type ChartParts, findNewest, renderChart } from '../../src/helm/index-document.ts'
import { digestHex } from '../../src/oci/digest.ts'
import { mediaTypes } from '../../src/oci/media-types.ts'
import { toDigest } from '../oci/to-digest.ts'
import { awkwardJson, awkwardMap, awkwardText } from './awkward-text.ts'
import { chartManifest, chartOf, describeContent, madeChart } from './chart-content.ts'
import { chartParts, INDEX_FORMATS, indexText, planIndex, renderIndex } from './index-text.ts'
import { readYaml, toPairs, YAML_VERSIONS } from './yaml-reader.ts'

const created = 'org.opencontainers.image.created'

/** Names that Helm and file systems take. */
const chartName = awkwardText()
  .map((text) =>
    text
      .toWellFormed()
      .replace(/[/\\]|\p{Cc}/gu, '')
      .slice(0, 60),
  )
  .filter((name) => !['', '.', '..'].includes(name) && Buffer.byteLength(name) < 220)

const version = fc.constantFrom('1.0.0', 'v1.2', '1', '01.02.03', '0.1.0-rc.1', '1.0.0+build.5', '0.0.0-0', '10.20.30')
const texts = fc.array(awkwardText(), { maxLength: 3 })

/** Every field there is, with awkward strings wherever a string may be free. */
const metadata = fc.record(
  {
    name: chartName,
    home: awkwardText(),
    sources: texts,
    version,
    description: awkwardText(),
    keywords: texts,
    maintainers: fc.array(fc.record({ name: awkwardText(), email: awkwardText(), url: awkwardText() }), {
      maxLength: 2,
    }),
    icon: awkwardText(),
    apiVersion: fc.constantFrom('v1', 'v2'),
    condition: awkwardText(),
    tags: awkwardText(),
    appVersion: awkwardText(),
    deprecated: fc.boolean(),
    annotations: awkwardMap(awkwardText()),
    kubeVersion: awkwardText(),
    dependencies: fc.array(
      fc.record({
        name: awkwardText(),
        version: awkwardText(),
        tags: texts,
        enabled: fc.boolean(),
        'import-values': fc.array(awkwardJson(), { maxLength: 3 }),
        alias: awkwardText(),
      }),
      { maxLength: 2 },
    ),
    type: fc.constantFrom('application', 'library'),
  },
  { requiredKeys: ['name', 'version'] },
)

/** `value` as Helm writes it: empty strings, lists and maps are left out; annotations may be empty. */
function withoutEmpty(value: unknown, path: string): unknown {
  if (value === '' || value === null) return undefined
  if (path === '/annotations') return Object.keys(value as object).length === 0 ? undefined : value
  if (Array.isArray(value)) {
    const free = path.endsWith('/import-values')
    const kept = value.map((item) => (free && item !== '' && item !== null ? item : withoutEmpty(item, `${path}/0`)))
    const items = kept.filter((item) => item !== undefined)
    return items.length === 0 ? undefined : items
  }
  if (typeof value !== 'object') return value
  const entries = Object.entries(value).map(([key, item]) => [key, withoutEmpty(item, `${path}/${key}`)] as const)
  const kept = entries.filter(([, item]) => item !== undefined)
  return kept.length === 0 ? undefined : Object.fromEntries(kept)
}

/** What three kinds of readers make of an index, under the names of the reader and the form. */
function readBack(yaml: string, json: string): Record<string, unknown> {
  const seen = YAML_VERSIONS.flatMap((version) => [
    [`YAML ${version}`, readYaml(yaml, version)],
    [`JSON as YAML ${version}`, readYaml(json, version)],
  ])
  return Object.fromEntries([...seen, ['JSON', toPairs(JSON.parse(json))]])
}

describe('the index', () => {
  test('is read back equal in both forms by every reader, each string as a string, whatever the metadata', () => {
    fc.assert(
      fc.property(fc.uniqueArray(metadata, { maxLength: 3, selector: ({ name }) => name }), (charts) => {
        const entries: Record<string, unknown> = Object.create(null)
        const made = charts.map((chart) => {
          const manifest = chartManifest(JSON.stringify(chart), { [created]: '2026-03-01T12:00:00Z' })
          const dropped: string[] = []
          const { record, entry } = madeChart(chart, { manifest, dropped })
          expect(dropped).toEqual([])
          const file = encodeURIComponent(`${record.name}-${record.version}.tgz`).replaceAll('%2B', '+')
          entries[chart.name] = [
            {
              ...(withoutEmpty(chart, '') as object),
              created: '2026-03-01T12:00:00Z',
              digest: digestHex(record.chart.digest),
              urls: [`charts/${file}`],
            },
          ]
          return { record, entry }
        })
        const wanted = toPairs({
          apiVersion: 'v1',
          entries,
          ...(charts.length > 0 && { generated: '2026-03-01T12:00:00Z' }),
          serverInfo: { contextPath: '' },
        })
        for (const [reader, seen] of Object.entries(readBack(indexText('yaml', made), indexText('json', made)))) {
          expect({ reader, seen }).toEqual({ reader, seen: wanted })
        }
      }),
      { numRuns: 200 },
    )
  })

  test('is the same in both forms where keys are too long: each is left out of both', () => {
    const anyKeys = fc.record({
      annotations: awkwardMap(awkwardText(), { key: awkwardText() }),
      values: fc.array(awkwardJson({ key: awkwardText() }), { maxLength: 3 }),
    })
    fc.assert(
      fc.property(anyKeys, ({ annotations, values }) => {
        const dependencies = [{ name: 'd', 'import-values': values }]
        const made = [madeChart({ name: 'a', version: '1.0.0', annotations, dependencies })]
        const { JSON: wanted, ...others } = readBack(indexText('yaml', made), indexText('json', made))
        for (const [reader, seen] of Object.entries(others)) expect({ reader, seen }).toEqual({ reader, seen: wanted })
      }),
      { numRuns: 200 },
    )
  })

  test.each(INDEX_FORMATS)('as %s gives one piece for each version, beginning on a line of its own', (format) => {
    const versions = ['1.0.0', '2.0.0', '3.0.0']
    const made = ['a', 'b'].flatMap((name) => versions.map((version) => chartOf({ name, version })))
    const pieces = [...renderIndex(format, planIndex(made), chartParts(format, made))]
    const urls = pieces.map((piece): string[] => piece.match(/charts\/[^"\n]+/g) ?? []).filter((all) => all.length > 0)
    expect(urls).toEqual(
      ['a', 'b'].flatMap((name) => versions.toReversed().map((each) => [`charts/${name}-${each}.tgz`])),
    )
    for (const each of made) expect(pieces.filter((piece) => piece.includes(each.entry[format]))).toHaveLength(1)
    const text = pieces.join('')
    for (const each of made) expect(text).toContain(`\n${each.entry[format]}`)
  })

  test.each(INDEX_FORMATS)('as %s keeps the order it is given, of charts and of versions', (format) => {
    const versions = ['1.0.0', '10.0.0', '2.0.0-rc.1', 'v2.1']
    const made = ['a', 'B', 'c'].flatMap((name) => versions.map((version) => chartOf({ name, version })))
    const given = planIndex(made)
      .toReversed()
      .map(({ name, versions: all }) => ({ name, versions: all.toReversed() }))
    const text = [...renderIndex(format, given, chartParts(format, made))].join('')
    const seen = [...text.matchAll(/"?name"?: ?"?(\w+)"?,?\s*"?version"?: ?"?([\w.-]+)/g)].map(([, ...each]) => each)
    expect(seen).toEqual(given.flatMap(({ name, versions: all }) => all.map(({ record }) => [name, record.version])))
    expect(seen).toHaveLength(12)
  })

  test.each(INDEX_FORMATS)('as %s reads the entries of many versions some at a time, each once', (format) => {
    const made = Array.from({ length: 130 }, (_, i) => chartOf({ name: 'many', version: `1.0.${i}` }))
    made.push(chartOf({ name: 'one', version: '1.0.0' }))
    const { readEntries, urlOf } = chartParts(format, made)
    const asked: string[][] = []
    const parts: ChartParts<MadeChart> = {
      urlOf,
      readEntries: (records) => {
        asked.push(records.map(({ name, version: each }) => `${name} ${each}`))
        return readEntries(records)
      },
    }
    const text = [...renderIndex(format, planIndex(made), parts)].join('')
    const wanted = planIndex(made).flatMap(({ versions }) => versions.map((each) => each.record))
    expect(asked.flat()).toEqual(wanted.map(({ name, version: each }) => `${name} ${each}`))
    expect(asked.length).toBeLessThan(10)
    expect(Math.max(...asked.map((some) => some.length))).toBeLessThanOrEqual(100)
    const index = format === 'json' ? JSON.parse(text) : parseYaml(text)
    expect(index.entries.many.map((each: { version: string }) => each.version)).toEqual(
      Array.from({ length: 130 }, (_, i) => `1.0.${129 - i}`),
    )
    expect(index.entries.one).toHaveLength(1)
  })

  test.each(INDEX_FORMATS)('as %s reads entries when their turn comes, not all of them before', (format) => {
    const made = Array.from({ length: 130 }, (_, i) => chartOf({ name: 'many', version: `1.0.${i}` }))
    const { readEntries, urlOf } = chartParts(format, made)
    let read = 0
    const counted: ChartParts<MadeChart> = {
      urlOf,
      readEntries: (records) => {
        read += records.length
        return readEntries(records)
      },
    }
    let written = 0
    for (const chart of planIndex(made)) {
      for (const piece of renderChart(format, chart, counted)) {
        written += piece.includes('charts/many-') ? 1 : 0
        expect(read - written).toBeLessThanOrEqual(100)
      }
    }
    expect([read, written]).toEqual([130, 130])
  })

  test.each(INDEX_FORMATS)('as %s has each chart as it is alone, whatever stands beside it', (format) => {
    const made = ['a', 'b', 'c'].map((name) => chartOf({ name, version: '1.0.0' }, '2026-03-01T12:00:00Z'))
    const text = indexText(format, made)
    for (const chart of planIndex(made)) {
      expect(text).toContain([...renderChart(format, chart, chartParts(format, made))].join(''))
    }
    expect(indexText(format, made.toReversed())).toBe(text)
  })

  test.each(INDEX_FORMATS)('as %s ends with the error when an entry is not there or cannot be read', (format) => {
    const made = [chartOf({ name: 'a', version: '1.0.0' }), chartOf({ name: 'b', version: '1.0.0' })]
    const { urlOf } = chartParts(format, made)
    const lost = chartParts(format, made.slice(0, 1)).readEntries
    expect(() => [...renderIndex(format, planIndex(made), { readEntries: lost, urlOf })]).toThrow(
      `There is no entry of ${made[1]?.record.manifest}`,
    )
    const error = new Error('no such table')
    const broken = () => {
      throw error
    }
    expect(() => [...renderIndex(format, planIndex(made), { readEntries: broken, urlOf })]).toThrow(error)
  })

  test('gives one entry to two versions that are made of the same manifest', () => {
    const chart = chartOf({ name: 'a', version: '1.0.0' })
    const twice = [{ name: 'a', versions: [chart, chart] }]
    for (const format of INDEX_FORMATS) {
      const text = [...renderIndex(format, twice, chartParts(format, [chart]))].join('')
      expect(text.match(/charts\/a-1\.0\.0\.tgz/g)).toHaveLength(2)
    }
  })

  test('says the newest creation as the time it was generated, and none when there is none', () => {
    const of = (name: string, stamp?: string) => chartOf({ name, version: '1.0.0' }, stamp)
    const dated = [
      of('a', '2026-01-02T00:00:00+01:00'),
      of('b', '2026-01-01T23:30:00Z'),
      of('c', '2025-12-31T23:00:00Z'),
      of('d'),
    ]
    const fractions = [of('a', '2026-01-01T00:00:00.25Z'), of('b', '2026-01-01T00:00:00Z')]
    expect(indexText('yaml', dated)).toContain('\ngenerated: "2026-01-01T23:30:00Z"\n')
    expect(indexText('json', dated)).toContain('\n"generated":"2026-01-01T23:30:00Z",')
    expect(indexText('yaml', fractions)).toContain('\ngenerated: "2026-01-01T00:00:00.250Z"\n')
    expect(indexText('json', fractions)).toContain('"generated":"2026-01-01T00:00:00.250Z"')
    for (const format of INDEX_FORMATS) expect(indexText(format, [of('d')])).not.toContain('generated')
  })

  test('of nothing is an empty index', () => {
    expect(indexText('yaml', [])).toBe('apiVersion: v1\nentries: {}\nserverInfo:\n  contextPath: ""\n')
    expect(JSON.parse(indexText('json', []))).toEqual({
      apiVersion: 'v1',
      entries: {},
      serverInfo: { contextPath: '' },
    })
  })

  test('quotes a digest of digits alone', () => {
    for (const hex of ['0'.repeat(64), `1e${'5'.repeat(62)}`, '1234567890'.repeat(7).slice(0, 64)]) {
      const layer = { ...describeContent(mediaTypes.helmChart, 'x'), digest: toDigest(`sha256:${hex}`) }
      const made = [madeChart({ name: 'a', version: '1.0.0' }, { manifest: chartManifest('x', {}, [layer]) })]
      for (const seen of Object.values(readBack(indexText('yaml', made), indexText('json', made)))) {
        expect(JSON.stringify(seen)).toContain(`{"key":"digest","value":"${hex}"}`)
      }
    }
  })

  test('writes no key twice where two keys differ only in what cannot be written', () => {
    const halves = { '\ud800': 'a', '\ud801': 'b', '\ufffd': 'c' }
    const deep = { dependencies: [{ name: 'x', 'import-values': [halves, [halves]] }] }
    for (const rest of [{ annotations: halves }, deep]) {
      const made = [madeChart({ name: 'a', version: '1.0.0', ...rest }), chartOf({ name: 'b', version: '1.0.0' })]
      for (const format of INDEX_FORMATS) {
        for (const yaml of YAML_VERSIONS) expect(() => readYaml(indexText(format, made), yaml)).not.toThrow()
      }
    }
  })
})

test('findNewest compares times, not texts', () => {
  const times = ['2025-12-31T23:59:59Z', '2026-01-01T00:00:00.250Z', '2026-01-01T00:00:00Z', undefined]
  for (const stamps of [times, times.toReversed(), [...times.slice(1), ...times]]) {
    expect(findNewest(stamps)).toBe('2026-01-01T00:00:00.250Z')
  }
  expect([findNewest([undefined]), findNewest([])]).toEqual([undefined, undefined])
})
