/** A full disk and a cache directory that cannot be written: all is served all the same, and the log says so once. */
import { describe, expect, test } from 'bun:test'
import { readdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { type FakeRegistry, openFakeRegistry } from '../fakes/fake-registry.ts'
import type { Server } from '../stand/server.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { waitFor } from '../stand/wait-for.ts'
import { fillUp, openMountedServer, whyNoMounts } from './mounted-server.ts'
import { expectServed, openServerOver, waitForRounds } from './scene.ts'

const reason = whyNoMounts()
const nameOf = (name: string): string => (reason === undefined ? name : `skipped: ${reason} — ${name}`)
const testMounted = test.skipIf(reason !== undefined)

const VERSIONS = 24
/** So long that the index is larger than what is kept in memory alone: it would be files. */
const longText = 'One more line of a long description. '.repeat(6000).trimEnd()

function addVersions(registry: FakeRegistry, count: number, major = 1) {
  return Array.from({ length: count }, (_, minor) =>
    registry.addChart({
      repository: 'team/app',
      name: 'app',
      version: `${major}.${minor}.0`,
      metadata: { description: `${major}.${minor} ${longText}` },
      // Too large to be kept in memory because it is small.
      paddingBytes: 300_000,
    }),
  )
}

const argsOver = (registry: FakeRegistry) => [
  `--storage-registry-repo=${registry.host}`,
  '--storage-registry-scheme=HTTP',
  '--refresh-interval=300ms',
]

const decoders = {
  identity: (bytes: Uint8Array<ArrayBuffer>) => bytes,
  gzip: (bytes: Uint8Array<ArrayBuffer>) => Bun.gunzipSync(bytes),
  zstd: (bytes: Uint8Array<ArrayBuffer>) => Bun.zstdDecompressSync(bytes),
}

/** Fails unless the index has these versions in each of its forms, each of them twice: once is not kept in memory. */
async function expectAllForms(server: Server, files: readonly string[]): Promise<void> {
  for (const accept of ['application/json', 'text/yaml']) {
    const texts = new Set<string>()
    for (const [coding, decode] of Object.entries(decoders)) {
      for (let time = 0; time < 2; time++) {
        const headers = { accept, 'accept-encoding': coding }
        const answer = await fetch(`${server.url}/index.yaml`, { headers, decompress: false })
        expect([answer.status, answer.headers.get('content-encoding') ?? 'identity']).toEqual([200, coding])
        const bytes = await answer.bytes()
        expect(bytes.length).toBe(Number(answer.headers.get('content-length')))
        texts.add(new TextDecoder().decode(decode(bytes)))
      }
    }
    expect(texts.size).toBe(1)
    const [text = ''] = texts
    const document = (accept === 'text/yaml' ? Bun.YAML.parse(text) : JSON.parse(text)) as {
      entries: { app: { name: string; version: string; description: string }[] }
    }
    const listed = document.entries.app.map(({ name, version }) => `${name}-${version}.tgz`)
    expect(listed.sort()).toEqual([...files].sort())
    expect(document.entries.app.filter(({ description }) => !description.endsWith(longText))).toHaveLength(0)
  }
}

/** Waits until the index has exactly these files, in any order. As JSON, because it is long. */
async function waitForFiles(server: Server, files: readonly string[]): Promise<void> {
  const wanted = [...files].sort().join(' ')
  await waitFor(`the index of ${files.length} versions`, async () => {
    const answer = await server.get('/index.yaml', { headers: { accept: 'application/json' } })
    if (answer.status !== 200) return false
    const { entries } = (await answer.json()) as { entries: Record<string, { name: string; version: string }[]> }
    const listed = Object.values(entries).flatMap((each) => each.map(({ name, version }) => `${name}-${version}.tgz`))
    return listed.sort().join(' ') === wanted
  })
}

/** What the log complains of, in order. */
const complaints = (server: Server): string[] =>
  server
    .logLines()
    .filter(({ level }) => level !== 'info')
    .map(({ level, msg }) => `${level}: ${msg}`)

const CATALOG_IN_MEMORY = 'warn: catalog file cannot be used; the catalog is kept in memory'
const CATALOG_READ_ONLY = 'warn: catalog file cannot be used; the catalog is read, and what is new kept in memory'
const CATALOG_UNWRITABLE = 'warn: catalog file cannot be written; a restart begins further back'
const INDEX_IN_MEMORY = 'warn: index files cannot be used; the index is kept in memory'
const INDEX_LARGE = 'warn: index is larger than some consumers take; --index-versions makes it smaller'
const BLOBS_IN_MEMORY = 'warn: cache directory cannot be used; charts are served from memory'

/** Pushes show up one after the other, everything is served, and no refresh or request says again what was said. */
async function expectServiceGoesOn(
  server: Server,
  registry: FakeRegistry,
  { charts, saying }: { readonly charts: ReturnType<typeof addVersions>; readonly saying: readonly string[] },
): Promise<void> {
  const files = charts.map(({ fileName }) => fileName)
  await waitForFiles(server, files)
  await expectAllForms(server, files)
  for (const chart of charts.slice(0, 3)) await expectServed(server, chart)
  for (let major = 2; major < 5; major++) {
    const [added] = addVersions(registry, 1, major)
    if (added === undefined) throw new Error('Nothing was added')
    files.push(added.fileName)
    await waitForFiles(server, files)
    await expectServed(server, added)
    await waitForRounds(registry)
  }
  await expectAllForms(server, files)
  for (const chart of charts.slice(0, 3)) await expectServed(server, chart)
  expect(complaints(server).sort()).toEqual([...saying, INDEX_LARGE].sort())
  expect(await server.readyz()).toMatchObject({ ready: true, versions: files.length, refresh: { ok: true } })
}

describe.concurrent('a cache directory', () => {
  testMounted(nameOf('on a disk that is full from the start'), async () => {
    await using dir = await openTempDir()
    await using registry = await openFakeRegistry()
    const charts = addVersions(registry, VERSIONS)
    await using server = await openMountedServer('full', { cacheDir: dir.path, args: argsOver(registry) })
    const saying = [CATALOG_IN_MEMORY, INDEX_IN_MEMORY, BLOBS_IN_MEMORY]
    await expectServiceGoesOn(server, registry, { charts, saying })
    const left = await readdir(server.mountedDir, { recursive: true })
    expect(left.filter((name) => name.endsWith('.part'))).toEqual([])
  })

  testMounted(nameOf('on a disk that fills up, and has room again later'), async () => {
    await using dir = await openTempDir()
    await using registry = await openFakeRegistry()
    const [first] = addVersions(registry, 1)
    await using server = await openMountedServer('small', { cacheDir: dir.path, args: argsOver(registry) })
    await waitForFiles(server, [first?.fileName ?? ''])
    const filler = join(server.mountedDir, 'filler')
    await fillUp(filler)
    // The catalog's log still has the room of what was written before: this is more than fits there.
    const charts = addVersions(registry, VERSIONS)
    const saying = [CATALOG_UNWRITABLE, INDEX_IN_MEMORY, BLOBS_IN_MEMORY]
    await expectServiceGoesOn(server, registry, { charts, saying })

    await unlink(filler)
    const [added, other] = addVersions(registry, 2, 7)
    await waitFor('the new versions', async () => (await server.readyz()).versions === VERSIONS + 5)
    for (const chart of [added, other]) if (chart !== undefined) await expectServed(server, chart)
    const news = () =>
      server
        .logLines()
        .filter(({ msg }) => msg.endsWith(' again'))
        .map(({ msg }) => msg)
    await waitFor('the end of the fault', () => news().length >= 3)
    await waitForRounds(registry)
    expect(news().sort()).toEqual([
      'cache directory can be written again',
      'catalog file can be written again',
      'index files can be used again',
    ])
    expect(complaints(server).sort()).toEqual([...saying, INDEX_LARGE].sort())
  })

  testMounted(nameOf('that is empty and read-only'), async () => {
    await using dir = await openTempDir()
    await using registry = await openFakeRegistry()
    const charts = addVersions(registry, VERSIONS)
    await using server = await openMountedServer('readOnly', { cacheDir: dir.path, args: argsOver(registry) })
    const saying = [CATALOG_IN_MEMORY, INDEX_IN_MEMORY, BLOBS_IN_MEMORY]
    await expectServiceGoesOn(server, registry, { charts, saying })
    expect(await readdir(dir.path)).toEqual([])
  })

  testMounted(nameOf('of an earlier run that is read-only now: it begins with what is there'), async () => {
    await using dir = await openTempDir()
    await using registry = await openFakeRegistry()
    const charts = addVersions(registry, VERSIONS)
    const files = charts.map(({ fileName }) => fileName)
    const [cached] = charts
    let etag: string | null
    {
      await using server = await openServerOver(registry, { args: [`--cache-dir=${dir.path}`] })
      await waitForFiles(server, files)
      if (cached !== undefined) await expectServed(server, cached)
      etag = (await server.get('/index.yaml')).headers.get('etag')
      expect(await server.stop()).toBe(0)
    }
    const before = (await readdir(dir.path, { recursive: true })).sort()
    registry.stop()
    {
      await using server = await openMountedServer('readOnly', { cacheDir: dir.path, args: argsOver(registry) })
      expect((await server.get('/index.yaml')).headers.get('etag')).toBe(etag)
      await expectAllForms(server, files)
      if (cached !== undefined) await expectServed(server, cached)
    }
    registry.start()
    const callsBefore = registry.calls.length
    await using server = await openMountedServer('readOnly', { cacheDir: dir.path, args: argsOver(registry) })
    const saying = [CATALOG_READ_ONLY, CATALOG_UNWRITABLE, INDEX_IN_MEMORY, BLOBS_IN_MEMORY]
    await expectServiceGoesOn(server, registry, { charts, saying })
    const configs = registry.callLines(callsBefore).filter((line) => line.endsWith(`${cached?.configDigest}`))
    expect(configs).toEqual([])
    expect((await readdir(dir.path, { recursive: true })).sort()).toEqual(before)
  })
})
