/** What a disk or somebody who tidies up may do to the files of a large index. It is made anew, never lost or wrong. */
import { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { readdir, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { digestOf } from '../fakes/fake-chart.ts'
import { type FakeRegistry, openFakeRegistry } from '../fakes/fake-registry.ts'
import type { Server } from '../stand/server.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { openServerOver, waitForIndex } from './scene.ts'

/** Their descriptions make an index of more than 4 MiB, which is kept in files. */
function addLargeCharts(registry: FakeRegistry): string[] {
  const description = 'A long story. '.repeat(60_000)
  return Array.from({ length: 6 }, (_, minor) => {
    const metadata = { description: `${minor} ${description}` }
    return registry.addChart({ repository: 'app', name: 'app', version: `1.${minor}.0`, metadata }).fileName
  })
}

/** The directory of the one set of index files there is. */
async function findSet(cacheDir: string): Promise<string> {
  const names = await readdir(join(cacheDir, 'index'))
  expect(names).toHaveLength(1)
  return join(cacheDir, 'index', names[0] ?? '')
}

const FORMS = ['application/yaml', 'application/json'].flatMap((type) =>
  ['identity', 'gzip', 'zstd'].map((coding) => [type, coding] as const),
)

/** Whatever form is asked for, its bytes are those of its ETag, and the plain ones have all charts. */
async function expectWhole(server: Server, files: readonly string[]): Promise<void> {
  const seen: string[] = []
  for (const [type, coding] of FORMS) {
    const headers = { accept: type, 'accept-encoding': coding }
    const answer = await fetch(`${server.url}/index.yaml`, { headers, decompress: false })
    const bytes = await answer.bytes()
    const isWhole = answer.headers.get('etag') === `"${digestOf(bytes).replace('sha256:', '')}"`
    seen.push(`${type} ${coding}: ${isWhole ? 'whole' : `${answer.status} ${Buffer.from(bytes.subarray(0, 100))}`}`)
    if (coding !== 'identity' || answer.status !== 200) continue
    expect(
      Buffer.from(bytes)
        .toString()
        .match(/"?urls"?:/g),
    ).toHaveLength(files.length)
  }
  expect(seen).toEqual(FORMS.map(([type, coding]) => `${type} ${coding}: whole`))
}

const damages: readonly (readonly [what: string, damage: (set: string) => Promise<unknown>])[] = [
  ['its YAML is cut', (set) => truncate(join(set, 'index.yaml'), 1_000_000)],
  ['its YAML is empty', (set) => truncate(join(set, 'index.yaml'), 0)],
  ['its compressed form is gone', (set) => rm(join(set, 'index.yaml.gz'))],
  ['its JSON has bytes too many', (set) => writeFile(join(set, 'index.json'), ' ', { flag: 'a' })],
  ['the list of files is gone', (set) => rm(join(set, 'documents.json'))],
  ['the list of files is half', (set) => truncate(join(set, 'documents.json'), 40)],
  ['all of it is gone', (set) => rm(set, { recursive: true })],
]

test.concurrent.each(damages)('an index on disk is made anew at the next start when %s', async (_what, damage) => {
  await using dir = await openTempDir()
  await using registry = await openFakeRegistry()
  const files = addLargeCharts(registry)
  const args = [`--cache-dir=${dir.path}`]
  {
    await using server = await openServerOver(registry, { args })
    await server.ready()
  }
  await damage(await findSet(dir.path))
  await using server = await openServerOver(registry, { args })
  await server.ready()
  await expectWhole(server, files)
})

test.concurrent.each(damages)('an index on disk is served while the server runs although %s', async (_what, damage) => {
  await using dir = await openTempDir()
  await using registry = await openFakeRegistry()
  const files = addLargeCharts(registry)
  await using server = await openServerOver(registry, { args: [`--cache-dir=${dir.path}`] })
  // It is on disk before it is published, and nobody has asked for its content yet.
  await server.ready()
  await damage(await findSet(dir.path))
  await expectWhole(server, files)
})

test('a catalog whose texts of entries are damaged, and nothing else: the charts are read again', async () => {
  await using dir = await openTempDir()
  await using registry = await openFakeRegistry()
  const files = addLargeCharts(registry)
  const args = [`--cache-dir=${dir.path}`]
  {
    await using server = await openServerOver(registry, { args })
    await waitForIndex(server, files)
  }
  const name = (await readdir(dir.path)).find((each) => each.endsWith('.sqlite')) ?? ''
  const path = join(dir.path, name)
  const bytes = await Bun.file(path).bytes()
  for (let at = 4096; at < bytes.length; at += 4096) {
    if (Buffer.from(bytes.subarray(at, at + 4096)).includes('A long story')) bytes.fill(0xaa, at, at + 4096)
  }
  await Bun.write(path, bytes)
  await rm(join(dir.path, 'index'), { recursive: true })
  for (let start = 0; start < 2; start++) {
    const before = registry.calls.length
    await using server = await openServerOver(registry, { args })
    await waitForIndex(server, files)
    await expectWhole(server, files)
    await rm(join(dir.path, 'index'), { recursive: true })
    // What the first start mended is whole at the second.
    if (start === 1) expect(registry.callLines(before).filter((line) => line.includes('/blobs/'))).toEqual([])
  }
  using catalog = new Database(path)
  expect(catalog.query('PRAGMA integrity_check').get()).toEqual({ integrity_check: 'ok' })
})
