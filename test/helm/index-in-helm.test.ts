/** The index in front of its judge: real Helm of three generations reads both forms strictly, and has to see what was written. */
import { describe, expect, test } from 'bun:test'
import type { MadeChart } from '../../src/helm/chart-record.ts'
import type { IndexFormat } from '../../src/helm/index-entry.ts'
import { limits } from '../../src/limits.ts'
import { HELM_VERSIONS, openHelm } from '../stand/helm.ts'
import { awkwardTexts } from './awkward-text.ts'
import { chartManifest, chartOf, madeChart } from './chart-content.ts'
import { INDEX_FORMATS, indexText } from './index-text.ts'

interface Found {
  readonly name: string
  readonly version: string
  readonly app_version: string
  readonly description: string
}

const versions = [
  '1.0.0',
  'v1.2',
  '3',
  '01.02.03',
  '0.1.0-rc.1',
  '1.0.0+build.5',
  '2.0.0-0.x',
  '18446744073709551615.0.0',
]

/** Each awkward text in every place that takes one. */
const charts = awkwardTexts.map((text, i) => ({
  name: isName(text) ? text : `chart-${i}`,
  version: versions[i % versions.length] ?? '1.0.0',
  description: text,
  appVersion: awkwardTexts[(i * 7 + 1) % awkwardTexts.length] ?? '',
  apiVersion: 'v2',
  type: 'application',
  home: text,
  icon: text,
  sources: [text, 'x'],
  keywords: [text, text],
  maintainers: [{ name: text, email: text, url: text }],
  annotations: Object.fromEntries([
    [text, text],
    ['b', text],
  ]),
  condition: text,
  tags: text,
  dependencies: [
    { name: 'd', version: text, repository: text, 'import-values': [text, Object.fromEntries([[text, [text]]])] },
  ],
}))

/** What Helm lets pass as a name and does not take apart in its search; a name of which it shows nothing is none. */
function isName(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: no file is called so
  const refused = /^\.{0,2}$|[/\\\u0000-\u001f\u007f]|\$\$/
  return text.isWellFormed() && !refused.test(text) && asShown(text) !== '' && Buffer.byteLength(text) < 200
}

/** Helm shows white space as blanks and leaves out what cannot be printed. */
function asShown(text: string): string {
  const blanks = text.toWellFormed().replace(/[\s\u0085]/gu, (c) => (c === '\ufeff' ? c : ' '))
  return blanks.replace(/[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/gu, '')
}

function byName(found: readonly Found[]): Found[] {
  return [...found].sort((a, b) => (a.name < b.name ? -1 : 1))
}

const mediaTypes: Readonly<Record<IndexFormat, string>> = { yaml: 'text/yaml', json: 'application/json' }

/** What `version` of Helm finds in a repository whose index is `text`; the address is index.yaml in both forms. */
async function addAndSearch(
  version: (typeof HELM_VERSIONS)[number],
  format: IndexFormat,
  text: string,
): Promise<readonly Found[]> {
  const headers = { 'content-type': mediaTypes[format] }
  await using server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: ({ url }) =>
      url.endsWith('/index.yaml') ? new Response(text, { headers }) : new Response('no', { status: 404 }),
  })
  await using helm = await openHelm(version)
  await helm.succeed('repo', 'add', 'r', server.url.origin)
  const { stdout } = await helm.succeed('search', 'repo', '--devel', '--versions', '--max-col-width=0', '-o', 'json')
  return JSON.parse(stdout)
}

/** The same, in both forms. */
async function searchBoth(
  version: (typeof HELM_VERSIONS)[number],
  made: readonly MadeChart[],
): Promise<Record<string, readonly Found[]>> {
  const found = await Promise.all(
    INDEX_FORMATS.map(
      async (format) => [format, await addAndSearch(version, format, indexText(format, made))] as const,
    ),
  )
  return Object.fromEntries(found)
}

/** With `values` in the one place where anything may stand, and `annotations`. */
function oddChart({ values, annotations }: { values?: readonly unknown[]; annotations?: unknown }): MadeChart {
  const dependencies = [{ name: 'd', 'import-values': values ?? [] }]
  return madeChart({ name: 'odd', version: '1.0.0', annotations, dependencies })
}

/** As long as a key may be. */
const longestKeys = ['k'.repeat(limits.maxKeyBytes), `"${'"'.repeat(448)}`, 'é'.repeat(449), '\u2028'.repeat(149)]
const mapOf = (keys: readonly string[]) => Object.fromEntries(keys.map((key) => [key, 'x']))

describe.concurrent.each([...HELM_VERSIONS])('Helm %s', (helm) => {
  test('reads an index of awkward strings in both forms, with each name, version, description and application version', async () => {
    const made = charts.map((chart, i) => {
      const manifest = chartManifest(`${i}`, { 'org.opencontainers.image.created': '2026-03-01T12:00:00Z' })
      return madeChart(chart, { manifest })
    })
    const wanted = charts.map(({ name, version, description, appVersion }) => ({
      name: `r/${name}`,
      version,
      app_version: asShown(appVersion),
      description: asShown(description),
    }))
    const { yaml = [], json } = await searchBoth(helm, made)
    expect(byName(yaml)).toEqual(byName(wanted))
    // In the same order too: what is listed is sorted, and the newest version is the first.
    expect(json).toEqual(yaml)
  })

  test('sees many versions of a chart in both forms, in the same order', async () => {
    const made = Array.from({ length: 150 }, (_, i) =>
      chartOf({ name: 'many', version: `1.${i}.0`, description: 'on' }),
    )
    const { yaml, json } = await searchBoth(helm, [...made, chartOf({ name: 'one', version: '1.0.0' })])
    const wanted = [...made.map(({ record }) => record.version).toReversed(), '1.0.0']
    expect(yaml?.map(({ version }) => version)).toEqual(wanted)
    expect(json).toEqual(yaml ?? [])
  })

  test('reads an index of no charts in both forms', async () => {
    expect(await searchBoth(helm, [])).toEqual({ yaml: [], json: [] })
  })

  test.each([
    [
      'the longest keys',
      oddChart({ annotations: mapOf(longestKeys), values: [mapOf(longestKeys), [mapOf(longestKeys)]] }),
    ],
    ['keys that are too long', oddChart({ annotations: mapOf(longestKeys.map((key) => `${key}${key}`)) })],
    ['a long key of a map in a list in a list', oddChart({ values: [[{ ['k'.repeat(2000)]: 1 }]] })],
    ['keys that differ only in half a surrogate pair', oddChart({ values: [{ '\ud800': 1, '\ud801': 2 }] })],
  ])('reads both forms of an index in which one chart has %s', async (_what, odd) => {
    const { yaml = [], json } = await searchBoth(helm, [odd, chartOf({ name: 'good', version: '1.0.0' })])
    expect(yaml.map(({ name }) => name)).toEqual(['r/good', 'r/odd'])
    expect(json).toEqual(yaml)
  })
})
