/** Charts whose own names and versions would be dangerous or awkward as paths, addresses or YAML. */
import { expect, test } from 'bun:test'
import { parse } from 'yaml'
import { digestOf, type FakeChart, mediaTypes } from '../fakes/fake-chart.ts'
import { type FakeRegistry, openFakeRegistry } from '../fakes/fake-registry.ts'
import { expectServed, openServerOver, waitForIndex } from './scene.ts'

interface Entry {
  readonly name: string
  readonly version: string
  readonly urls: readonly [string]
  readonly digest: string
  readonly created?: string
}

const usable = [
  ...[
    '__proto__',
    'constructor',
    'toString',
    'null',
    '~',
    'yes',
    '1e3',
    '-a',
    'A',
    'é',
    '💥',
    'app-1.0.0.tgz',
    'x.prov',
  ],
  ...['a b', 'a%2fb', '%zz', 'a?b', 'a#b', 'a&b', 'a+b', 'a:b', 'a;b', `a'b`, 'a"b', 'x'.repeat(200)],
]
const unusable = ['', '.', '..', '../x', 'a/b', '/etc/passwd', 'a\\b', 'a\u0000b', 'a\nb', 'x'.repeat(300)]
const badVersions = ['1.0.0/../x', '1.0.0+../../x', '1.0.0\n', ' 1.0.0', '1.0.0+a_b', `1.0.0-${'x'.repeat(300)}`, '']

test('what is listed can be fetched by its address, and what cannot be a file is not listed', async () => {
  await using registry = await openFakeRegistry()
  for (const [at, name] of [...usable, ...unusable].entries()) {
    registry.addChart({ repository: `named/n${at}`, name, version: '1.0.0' })
  }
  for (const [at, version] of badVersions.entries()) {
    registry.addChart({ repository: `versioned/v${at}`, name: `v${at}`, version, tag: '1.0.0' })
  }
  await using server = await openServerOver(registry, { args: ['--refresh-interval=1h'] })
  await server.ready()
  const index = `${server.url}/index.yaml`
  const text = await (await fetch(index)).text()
  const { entries } = parse(text, { version: '1.1' }) as { entries: Record<string, Entry[]> }
  expect(Object.keys(entries).sort()).toEqual([...usable].sort())
  for (const { urls, digest, name } of Object.values(entries).flat()) {
    const answer = await fetch(new URL(urls[0], index))
    expect([name, answer.status]).toEqual([name, 200])
    expect(digestOf(await answer.bytes())).toBe(`sha256:${digest}`)
  }
})

/** Adds a chart whose manifest has more layers than Helm's. */
function addLayered(registry: FakeRegistry, chart: FakeChart, layers: readonly unknown[]) {
  const added = registry.addChart({ repository: chart.name, ...chart })
  const stored = registry.manifest(chart.name, added.tag)
  const manifest = JSON.parse(Buffer.from(stored?.bytes ?? []).toString()) as { layers: unknown[] }
  const bytes = JSON.stringify({ ...manifest, layers: [...layers, ...manifest.layers] })
  registry.addManifest({ repository: chart.name, tag: added.tag, bytes })
  return added
}

test('what a manifest has beside the chart costs it nothing', async () => {
  await using registry = await openFakeRegistry()
  const signature = { mediaType: 'application/vnd.cncf.helm.chart.provenance.v1.prov', digest: digestOf('signature') }
  const signed = addLayered(registry, { name: 'signed', version: '1.0.0' }, [{ ...signature, size: 1024 * 1024 + 1 }])
  const unknown = { mediaType: mediaTypes.chartLayer, digest: `blake3:${'0'.repeat(64)}`, size: 7 }
  const layered = addLayered(registry, { name: 'layered', version: '1.0.0' }, [unknown])
  await using server = await openServerOver(registry, { args: ['--refresh-interval=1h'] })
  await waitForIndex(server, [signed.fileName, layered.fileName])
  for (const chart of [signed, layered]) {
    await expectServed(server, chart)
    expect((await server.get(`/charts/${chart.fileName}.prov`)).status).toBe(404)
  }
  expect(registry.count('GET', new RegExp(signature.digest))).toBe(0)
})

test('a day that no calendar has is no time of a chart, and a field without end no line without end', async () => {
  await using registry = await openFakeRegistry()
  const days = { february: '2026-02-30T12:00:00Z', march: '2026-03-01T12:00:00Z' }
  for (const [name, created] of Object.entries(days)) {
    const annotations = { 'org.opencontainers.image.created': created }
    registry.addChart({ repository: name, name, version: '1.0.0', annotations })
  }
  const metadata = { ['x'.repeat(900_000)]: 1 }
  const long = registry.addChart({ repository: 'long', name: 'long', version: '1.0.0', metadata })
  await using server = await openServerOver(registry, { args: ['--refresh-interval=1h'] })
  await waitForIndex(server, ['february-1.0.0.tgz', 'march-1.0.0.tgz', long.fileName])
  const text = await (await server.get('/index.yaml')).text()
  const { entries } = parse(text, { version: '1.1', schema: 'failsafe' }) as { entries: Record<string, Entry[]> }
  const createdOf = (name: string) => entries[name]?.[0]?.created
  expect([createdOf('february'), createdOf('march')]).toEqual([undefined, days.march])
  const lines = server.log().split('\n')
  expect(lines.filter((line) => line.includes('metadata left out'))).toHaveLength(1)
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(10_000)
})
