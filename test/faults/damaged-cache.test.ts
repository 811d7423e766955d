/** What a disk, another program or a crash may do to --cache-dir. Nothing of it stops the server or gets to a client. */
import { Database } from 'bun:sqlite'
import { describe, expect, test } from 'bun:test'
import { mkdir, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { digestOf } from '../fakes/fake-chart.ts'
import { type FakeRegistry, openFakeRegistry } from '../fakes/fake-registry.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { expectServed, expectUnavailable, openServerOver, waitForHealth, waitForIndex } from './scene.ts'

function addCharts(registry: FakeRegistry) {
  const cached = registry.addChart({ repository: 'team/app', name: 'app', version: '1.0.0' })
  const uncached = registry.addChart({ repository: 'team/app', name: 'app', version: '2.0.0', paddingBytes: 400_000 })
  return { cached, uncached }
}
const bothFiles = ['app-2.0.0.tgz', 'app-1.0.0.tgz']

describe.concurrent('a cache directory that was damaged', () => {
  /** Crawls and serves once, then lets `damage` at the cache directory. */
  async function damageCache(registry: FakeRegistry, cacheDir: string, damage: () => Promise<void>): Promise<void> {
    const { cached } = addCharts(registry)
    {
      await using server = await openServerOver(registry, { args: [`--cache-dir=${cacheDir}`] })
      await waitForIndex(server, bothFiles)
      await expectServed(server, cached)
    }
    await damage()
  }

  /** The catalog's database: the one file of the cache that is no blob. */
  async function findCatalog(cacheDir: string): Promise<string> {
    const names = (await readdir(cacheDir)).filter((name) => /\.(db|sqlite3?)$/.test(name))
    expect(names).toHaveLength(1)
    return join(cacheDir, names[0] ?? '')
  }

  /** Its write-ahead log would mend what a test breaks. */
  async function replaceCatalog(cacheDir: string, bytes: string | Uint8Array): Promise<void> {
    const catalog = await findCatalog(cacheDir)
    for (const suffix of ['-wal', '-shm']) {
      const file = Bun.file(catalog + suffix)
      if (await file.exists()) await file.delete()
    }
    await Bun.write(catalog, bytes)
  }

  const damages: [what: string, damage: (cacheDir: string) => Promise<void>][] = [
    ['random bytes', (cacheDir) => replaceCatalog(cacheDir, crypto.getRandomValues(new Uint8Array(40_000)))],
    ['a text file', (cacheDir) => replaceCatalog(cacheDir, 'this is a shopping list\n')],
    [
      'a database cut in half',
      async (cacheDir) => {
        const bytes = await Bun.file(await findCatalog(cacheDir)).bytes()
        await replaceCatalog(cacheDir, bytes.slice(0, bytes.length >> 1))
      },
    ],
    [
      'a database with a page overwritten',
      async (cacheDir) => {
        const bytes = await Bun.file(await findCatalog(cacheDir)).bytes()
        await replaceCatalog(cacheDir, bytes.fill(0xaa, 4096))
      },
    ],
    [
      'the database of another program',
      async (cacheDir) => {
        await replaceCatalog(cacheDir, '')
        using other = new Database(await findCatalog(cacheDir), { create: true })
        other.run('CREATE TABLE recipes (title TEXT)')
        other.run("INSERT INTO recipes VALUES ('soup')")
      },
    ],
    [
      'a catalog of a later version',
      async (cacheDir) => {
        using catalog = new Database(await findCatalog(cacheDir))
        catalog.run('PRAGMA user_version = 999')
      },
    ],
  ]

  test.each(damages)('%s in place of the catalog is set aside with a warning', async (_what, damage) => {
    await using dir = await openTempDir()
    await using registry = await openFakeRegistry()
    await damageCache(registry, dir.path, () => damage(dir.path))
    await Bun.write(join(dir.path, 'notes.txt'), 'mine')
    const filesBefore = (await readdir(dir.path)).length
    await using server = await openServerOver(registry, { args: [`--cache-dir=${dir.path}`] })
    await waitForIndex(server, bothFiles)
    await waitForHealth(server)
    expect(server.logLines().filter(({ level }) => level === 'warn')).not.toEqual([])
    expect((await readdir(dir.path)).length).toBeGreaterThan(filesBefore)
    expect(await Bun.file(join(dir.path, 'notes.txt')).text()).toBe('mine')
  })

  test('a catalog that lost what a tag means: the chart is listed again, without a push', async () => {
    await using dir = await openTempDir()
    await using registry = await openFakeRegistry()
    const args = [`--cache-dir=${dir.path}`, '--revalidate-interval=1h']
    const { cached, uncached } = addCharts(registry)
    {
      await using server = await openServerOver(registry, { args })
      await waitForIndex(server, bothFiles)
    }
    {
      using catalog = new Database(await findCatalog(dir.path))
      const { changes } = catalog.run('DELETE FROM record WHERE digest = ?', [uncached.manifestDigest])
      expect(changes).toBe(1)
    }
    const callsBefore = registry.calls.length
    await using server = await openServerOver(registry, { args })
    await waitForIndex(server, bothFiles)
    for (const chart of [cached, uncached]) await expectServed(server, chart)
    // The record that is still there is not made again.
    const configs = registry.callLines(callsBefore).filter((line) => line.endsWith(cached.configDigest))
    expect(configs).toEqual([])
  })

  test('a directory in place of the catalog is set aside too, or told in one line', async () => {
    await using dir = await openTempDir()
    await using registry = await openFakeRegistry()
    await damageCache(registry, dir.path, async () => {
      const catalog = await findCatalog(dir.path)
      await replaceCatalog(dir.path, '')
      await Bun.file(catalog).delete()
      await mkdir(catalog)
    })
    await using server = await openServerOver(registry, { args: [`--cache-dir=${dir.path}`] })
    await waitForIndex(server, bothFiles)
  })

  /** The file of a blob, wherever the cache keeps it. */
  async function findBlob(cacheDir: string, digest: string): Promise<string> {
    const hex = digest.replace('sha256:', '')
    const names = await readdir(cacheDir, { recursive: true })
    const name = names.find((path) => path.endsWith(hex))
    if (name === undefined) throw new Error(`The cache has no ${digest}: ${names.join(' ')}`)
    return join(cacheDir, name)
  }

  const blobDamages: [what: string, damage: (bytes: Uint8Array) => Uint8Array][] = [
    ['one bit', (bytes) => bytes.with(bytes.length >> 1, (bytes[bytes.length >> 1] ?? 0) ^ 1)],
    ['a cut', (bytes) => bytes.slice(0, bytes.length >> 1)],
    ['nothing left', () => new Uint8Array()],
    ['bytes too many', (bytes) => Buffer.concat([bytes, Buffer.from('more')])],
  ]
  test.each(blobDamages)('a cached chart with damage (%s) is never served', async (_what, damage) => {
    await using dir = await openTempDir()
    await using registry = await openFakeRegistry()
    const { cached, uncached } = addCharts(registry)
    const charts = [cached, uncached]
    {
      await using server = await openServerOver(registry, { args: [`--cache-dir=${dir.path}`] })
      await waitForIndex(server, bothFiles)
      for (const chart of charts) await expectServed(server, chart)
    }
    for (const chart of charts) {
      const path = await findBlob(dir.path, chart.chartDigest)
      await Bun.write(path, damage(await Bun.file(path).bytes()))
    }
    registry.stop()
    await using server = await openServerOver(registry, { args: [`--cache-dir=${dir.path}`] })
    for (const chart of charts) await expectUnavailable(server, chart)
    registry.start()
    for (const chart of charts) {
      await expectServed(server, chart)
      const path = await findBlob(dir.path, chart.chartDigest)
      expect(digestOf(await Bun.file(path).bytes())).toBe(chart.chartDigest)
    }
  })

  test('a large cached chart damaged while the server runs is not served', async () => {
    await using dir = await openTempDir()
    await using registry = await openFakeRegistry()
    const { uncached: chart } = addCharts(registry)
    await using server = await openServerOver(registry, { args: [`--cache-dir=${dir.path}`] })
    await waitForIndex(server, bothFiles)
    await expectServed(server, chart)
    const path = await findBlob(dir.path, chart.chartDigest)
    await Bun.write(path, (await Bun.file(path).bytes()).fill(0, 1000, 2000))
    const answer = await server.get(`/charts/${chart.fileName}`)
    const bytes = await answer.bytes()
    if (answer.status === 200) expect(digestOf(bytes)).toBe(chart.chartDigest)
  })

  test('a cached chart that was deleted is fetched again', async () => {
    await using dir = await openTempDir()
    await using registry = await openFakeRegistry()
    const { uncached: chart } = addCharts(registry)
    await using server = await openServerOver(registry, { args: [`--cache-dir=${dir.path}`] })
    await waitForIndex(server, bothFiles)
    await expectServed(server, chart)
    await Bun.file(await findBlob(dir.path, chart.chartDigest)).delete()
    await expectServed(server, chart)
  })

  test('directories and foreign files among the blobs do no harm', async () => {
    await using dir = await openTempDir()
    await using registry = await openFakeRegistry()
    await damageCache(registry, dir.path, async () => {
      const folder = join(dir.path, 'blobs', 'sha256', 'ab')
      await mkdir(join(folder, 'a-directory'), { recursive: true })
      await Bun.write(join(folder, 'not-a-digest'), 'x')
      await Bun.write(join(dir.path, 'blobs', 'README'), 'x')
    })
    await using server = await openServerOver(registry, { args: [`--cache-dir=${dir.path}`] })
    await waitForIndex(server, bothFiles)
    expect((await stat(join(dir.path, 'blobs', 'README'))).isFile()).toBe(true)
  })
})

describe.concurrent('a cache directory', () => {
  test('may be shared by two servers', async () => {
    await using dir = await openTempDir()
    const args = [`--cache-dir=${dir.path}`]
    await using registry = await openFakeRegistry()
    const { cached, uncached } = addCharts(registry)
    await using first = await openServerOver(registry, { args })
    await using second = await openServerOver(registry, { args })
    for (const server of [first, second]) await waitForIndex(server, bothFiles)
    const gets = [first, second].flatMap((server) => [expectServed(server, cached), expectServed(server, uncached)])
    await Promise.all(gets)
    const added = registry.addChart({ repository: 'team/app', name: 'app', version: '3.0.0' })
    for (const server of [first, second]) {
      await waitForIndex(server, [added.fileName, ...bothFiles])
      expect(server.logLines().filter(({ level }) => level === 'error' || level === 'warn')).toEqual([])
    }
  })

  test('may be empty when several servers start in it at the same time', async () => {
    await using dir = await openTempDir()
    await using registry = await openFakeRegistry()
    const { cached, uncached } = addCharts(registry)
    const options = { args: [`--cache-dir=${join(dir.path, 'cache')}`] }
    await using servers = new AsyncDisposableStack()
    await Promise.all(
      Array.from({ length: 4 }, async () => {
        const server = servers.use(await openServerOver(registry, options))
        await waitForIndex(server, bothFiles)
        for (const chart of [cached, uncached]) await expectServed(server, chart)
        expect(server.logLines().filter(({ level }) => level === 'error' || level === 'warn')).toEqual([])
      }),
    )
  })

  test('stays within its size, and everything is served all the same', async () => {
    await using dir = await openTempDir()
    await using registry = await openFakeRegistry()
    const charts = Array.from({ length: 8 }, (_, minor) =>
      registry.addChart({ repository: 'app', name: 'app', version: `1.${minor}.0`, paddingBytes: 100_000 + minor }),
    )
    await using server = await openServerOver(registry, { args: [`--cache-dir=${dir.path}`, '--cache-size=350KB'] })
    await waitForIndex(
      server,
      charts.map(({ fileName }) => fileName),
    )
    for (const chart of [...charts, ...charts.toReversed()]) await expectServed(server, chart)
    const names = await readdir(join(dir.path, 'blobs'), { recursive: true })
    const sizes = await Promise.all(names.map(async (name) => stat(join(dir.path, 'blobs', name))))
    const total = sizes.reduce((sum, info) => sum + (info.isFile() ? info.size : 0), 0)
    expect(total).toBeGreaterThan(0)
    expect(total).toBeLessThanOrEqual(350_000)
  })
})
