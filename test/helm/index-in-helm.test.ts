/** The index in front of its judge: real Helm of three generations reads it strictly, and has to see what was written. */
import { describe, expect, test } from 'bun:test'
import { renderIndex } from '../../src/helm/index-document.ts'
import { HELM_VERSIONS, openHelm } from '../stand/helm.ts'
import { awkwardTexts } from './awkward-text.ts'
import { chartRecord, readRecord } from './chart-content.ts'

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

async function addAndSearch(version: (typeof HELM_VERSIONS)[number], body: Blob): Promise<readonly Found[]> {
  await using server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: ({ url }) => (url.endsWith('/index.yaml') ? new Response(body) : new Response('no', { status: 404 })),
  })
  await using helm = await openHelm(version)
  await helm.succeed('repo', 'add', 'r', server.url.origin)
  const { stdout } = await helm.succeed('search', 'repo', '--devel', '--max-col-width=0', '-o', 'json')
  return JSON.parse(stdout)
}

describe.concurrent.each([...HELM_VERSIONS])('Helm %s', (helm) => {
  test('reads an index of awkward strings, with each name, version, description and application version', async () => {
    const records = charts.map((chart) => chartRecord(chart, '2026-03-01T12:00:00Z'))
    const wanted = charts.map(({ name, version, description, appVersion }) => ({
      name: `r/${name}`,
      version,
      app_version: asShown(appVersion),
      description: asShown(description),
    }))
    const found = await addAndSearch(helm, renderIndex(records).body)
    expect(byName(found)).toEqual(byName(wanted))
  })

  test.each([
    ['a long key of a map in a list in a list', [[{ ['k'.repeat(2000)]: 1 }]]],
    ['keys that differ only in half a surrogate pair', [{ '\ud800': 1, '\ud801': 2 }]],
  ])('reads an index in which one chart has %s', async (_what, importValues) => {
    const odd = readRecord({
      name: 'odd',
      version: '1.0.0',
      dependencies: [{ name: 'd', 'import-values': importValues }],
    })
    const good = chartRecord({ name: 'good', version: '1.0.0' })
    const found = await addAndSearch(helm, renderIndex(odd.kind === 'chart' ? [odd, good] : [good]).body)
    expect(found.map(({ name }) => name)).toContain('r/good')
  })
})
