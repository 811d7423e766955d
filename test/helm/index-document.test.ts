/** The index as a whole: read back by both kinds of YAML readers, the same bytes whatever the order of its input. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import type { ChartRecord } from '../../src/helm/chart-record.ts'
import { renderIndex, sortVersions } from '../../src/helm/index-document.ts'
import { digestHex } from '../../src/oci/digest.ts'
import { mediaTypes } from '../../src/oci/media-types.ts'
import { toDigest } from '../oci/to-digest.ts'
import { awkwardJson, awkwardMap, awkwardText } from './awkward-text.ts'
import { chartManifest, chartRecord, describeContent, readRecord } from './chart-content.ts'
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

function indexText(records: Iterable<ChartRecord>): Promise<string> {
  return renderIndex(records).body.text()
}

describe('renderIndex', () => {
  test.each([...YAML_VERSIONS])(
    'is read back equal by YAML %s, every string as a string, whatever the metadata',
    async (yaml) => {
      await fc.assert(
        fc.asyncProperty(fc.uniqueArray(metadata, { maxLength: 3, selector: ({ name }) => name }), async (charts) => {
          const entries: Record<string, unknown> = Object.create(null)
          const records = charts.map((chart) => {
            const manifest = chartManifest(JSON.stringify(chart), { [created]: '2026-03-01T12:00:00Z' })
            const dropped: string[] = []
            const record = readRecord(chart, { manifest, dropped })
            if (record.kind !== 'chart') throw new Error(record.reason)
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
            return record
          })
          expect(readYaml(await indexText(records), yaml)).toEqual(
            toPairs({
              apiVersion: 'v1',
              entries,
              ...(charts.length > 0 && { generated: '2026-03-01T12:00:00Z' }),
              serverInfo: { contextPath: '' },
            }),
          )
        }),
        { numRuns: 200 },
      )
    },
  )

  test('has the same bytes and entity tag under any permutation of its input', () => {
    const stamp = fc.constantFrom(undefined, '2026-03-01T12:00:00Z', '2026-03-01T12:00:00.500Z', '1969-01-01T00:00:00Z')
    const versions = fc.constantFrom('1.0.0', 'v1.0.0', '1', '1.0', '1.0.0+a', '1.0.0+b', '1.0.0-rc.1', '2.0.0')
    const chart = fc.record({ name: fc.constantFrom('a', 'B', 'é', '__proto__', 'yes'), version: versions, stamp })
    const charts = fc.uniqueArray(chart, { selector: (each) => `${each.name} ${each.version}` })
    const permuted = charts.chain((all) =>
      fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length })),
    )
    return fc.assert(
      fc.asyncProperty(permuted, async (orders) => {
        const [first, second] = orders.map((order) =>
          renderIndex(order.map(({ stamp, ...each }) => chartRecord(each, stamp))),
        )
        expect(await second?.body.text()).toBe((await first?.body.text()) ?? '')
        expect(second?.etag).toBe(first?.etag ?? '')
      }),
      { numRuns: 100 },
    )
  })

  test('lists charts by name and versions newest first, and counts both', async () => {
    const versions = ['1.0.0', '10.0.0', '2.0.0-rc.1', '2.0.0', 'v2.1', '1.0.0-alpha']
    const records = [
      ...versions.map((each) => chartRecord({ name: 'b', version: each })),
      chartRecord({ name: 'a', version: '0.1.0' }),
    ]
    const index = renderIndex(records)
    const lines = (await index.body.text()).match(/^ {2}\S+:$|^ {6}version: .*$/gm) ?? []
    expect(lines.map((line) => line.trim().replaceAll('"', ''))).toEqual([
      'a:',
      'version: 0.1.0',
      'b:',
      'version: 10.0.0',
      'version: v2.1',
      'version: 2.0.0',
      'version: 2.0.0-rc.1',
      'version: 1.0.0',
      'version: 1.0.0-alpha',
    ])
    expect(index).toMatchObject({ charts: 2, versions: 7 })
  })

  test('has the hash of its bytes, in quotes, as entity tag', async () => {
    const { body, etag } = renderIndex([chartRecord({ name: 'a', version: '1.0.0' })])
    expect(etag).toBe(`"${Bun.CryptoHasher.hash('sha256', await body.bytes(), 'hex')}"`)
  })

  test('says the newest creation as the time it was generated, and none when there is none', async () => {
    const of = (name: string, stamp?: string) => chartRecord({ name, version: '1.0.0' }, stamp)
    const dated = [
      of('a', '2026-01-02T00:00:00+01:00'),
      of('b', '2026-01-01T23:30:00Z'),
      of('c', '2025-12-31T23:00:00Z'),
      of('d'),
    ]
    expect(await indexText(dated)).toContain('\ngenerated: "2026-01-01T23:30:00Z"\n')
    expect(await indexText([of('a', '2026-01-01T00:00:00.25Z'), of('b', '2026-01-01T00:00:00Z')])).toContain(
      '\ngenerated: "2026-01-01T00:00:00.250Z"\n',
    )
    expect(await indexText([of('d')])).not.toContain('generated')
  })

  test('of nothing is an empty index that Helm takes', async () => {
    const index = renderIndex([])
    expect(await index.body.text()).toBe('apiVersion: v1\nentries: {}\nserverInfo:\n  contextPath: ""\n')
    expect(index).toMatchObject({ charts: 0, versions: 0 })
  })

  test('quotes a digest of digits alone', async () => {
    for (const hex of ['0'.repeat(64), `1e${'5'.repeat(62)}`, '1234567890'.repeat(7).slice(0, 64)]) {
      const layer = { ...describeContent(mediaTypes.helmChart, 'x'), digest: toDigest(`sha256:${hex}`) }
      const record = readRecord({ name: 'a', version: '1.0.0' }, { manifest: chartManifest('x', {}, [layer]) })
      if (record.kind !== 'chart') throw new Error(record.reason)
      for (const yaml of YAML_VERSIONS) {
        const index = readYaml(await indexText([record]), yaml)
        expect(JSON.stringify(index)).toContain(`{"key":"digest","value":"${hex}"}`)
      }
    }
  })

  test('writes no key twice where two keys differ only in what cannot be written', async () => {
    const halves = { '\ud800': 'a', '\ud801': 'b', '\ufffd': 'c' }
    const deep = { dependencies: [{ name: 'x', 'import-values': [halves, [halves]] }] }
    for (const rest of [{ annotations: halves }, deep]) {
      const record = readRecord({ name: 'a', version: '1.0.0', ...rest })
      if (record.kind !== 'chart') throw new Error(record.reason)
      const text = await indexText([record, chartRecord({ name: 'b', version: '1.0.0' })])
      for (const yaml of YAML_VERSIONS) expect(() => readYaml(text, yaml)).not.toThrow()
    }
  })
})

describe('sortVersions', () => {
  const sorted = (...all: readonly (readonly [string, string?])[]) =>
    sortVersions(all.map(([each, stamp]) => chartRecord({ name: 'a', version: each }, stamp))).map(
      (record) => record.version,
    )

  test('puts equal versions newest first, those without a creation last, then by their text', () => {
    const old = '2026-01-01T00:00:00Z'
    const late = '2026-01-02T00:00:00Z'
    expect(sorted(['1.0.0+c'], ['1.0.0+a', old], ['1.0.0+b', late], ['1.0.0+d'])).toEqual([
      '1.0.0+b',
      '1.0.0+a',
      '1.0.0+d',
      '1.0.0+c',
    ])
    expect(sorted(['1.0'], ['v1.0.0'], ['1'], ['1.0.0'])).toEqual(['v1.0.0', '1.0.0', '1.0', '1'])
  })

  test('does not take a record whose version is none', () => {
    const record = { ...chartRecord({ name: 'a', version: '1.0.0' }), version: 'latest' }
    expect(() => sortVersions([record])).toThrow('A record of a has the version latest')
  })
})
