/** A catalog file that is none, or on a disk that refuses: rebuilt, read or done without, never in the way of serving. */
import { describe, expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { mkdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { CatalogFile } from '../../src/storage/catalog-file.ts'
import { runCommand } from '../stand/child.ts'
import { which } from '../stand/programs.ts'
import {
  alter,
  chart,
  digest,
  entry,
  first,
  IN_MEMORY,
  later,
  NOT_READ,
  NOT_WRITTEN,
  NOTHING_STORED,
  openCatalogStage,
  openFilledStage,
  REBUILT,
  skipped,
  stopAfterEachRow,
  WRITTEN_AGAIN,
} from './catalog-content.ts'

describe('a catalog file that is none', () => {
  const page = 4096
  test.each([
    ['text', (path: string) => writeFile(path, 'this is no database')],
    ['nothing', (path: string) => truncate(path, 0)],
    ['random bytes', (path: string) => writeFile(path, crypto.getRandomValues(new Uint8Array(3 * page)))],
    ['cut in the middle of a page', (path: string) => truncate(path, page + 100)],
    [
      'a database with a page of zeros',
      async (path: string) => {
        const bytes = await readFile(path)
        await writeFile(path, bytes.fill(0, page, 3 * page))
      },
    ],
    ['of another version', async (path: string) => alter(path, 'PRAGMA user_version = 99')],
    ['of another program', async (path: string) => alter(path, 'PRAGMA application_id = 1')],
    ['without its records', async (path: string) => alter(path, 'DROP TABLE record')],
    ['without its tags', async (path: string) => alter(path, 'DROP TABLE tag')],
  ])('is set aside and rebuilt: %s', async (_what, damage) => {
    await using stage = await openFilledStage()
    await damage(stage.path)
    const damaged = await readFile(stage.path)
    const { catalog, stored } = stage.open()
    expect(stored).toEqual(NOTHING_STORED)
    expect(stage.log.messages()).toEqual([REBUILT])
    expect(Buffer.compare(await readFile(`${stage.path}.set-aside`), damaged)).toBe(0)
    catalog.saveRecord(digest('new'), skipped('new'))
    await catalog.saveListing(first(5))
    catalog.close()
    expect(stage.reopen()).toMatchObject({ listedAt: 5, records: new Map([[digest('new'), skipped('new')]]) })
    expect(stage.log.messages()).toEqual([REBUILT])
  })

  test('has the left-overs of another file beside it: they do no harm', async () => {
    await using stage = await openFilledStage()
    await writeFile(stage.path, 'this is no database')
    for (const suffix of ['-wal', '-shm'])
      await writeFile(`${stage.path}${suffix}`, crypto.getRandomValues(new Uint8Array(40_000)))
    const { catalog } = stage.open()
    await catalog.saveListing(first(5))
    catalog.close()
    expect(stage.reopen().listedAt).toBe(5)
  })
})

const names = Array.from({ length: 400 }, (_, i) => `chart-${i}`)
const manifests = names.map(digest)

/** Its pages of entries are overwritten, the others are whole: what a start reads tells nothing. */
async function openDamagedEntries() {
  const stage = await openCatalogStage()
  const { catalog } = stage.open()
  const marked = (name: string) => ({ yaml: `- name: ${name} ${'MARK'.repeat(200)}\n`, json: `{"name":"${name}"` })
  for (const name of names) catalog.saveRecord(digest(name), chart(name), marked(name))
  await catalog.saveListing(first(5, { app: Object.fromEntries(names.map((name) => [name, digest(name)])) }))
  catalog.close()
  const bytes = await readFile(stage.path)
  for (let at = 0; at < bytes.length; at += 4096) {
    const isOfEntries = bytes.subarray(at, at + 4096).includes('MARKMARK')
    if (isOfEntries) bytes.fill(0xaa, at, at + 4096)
  }
  await writeFile(stage.path, bytes)
  return stage
}

describe('entries that are damaged', () => {
  test('are lost, which is no error, and whole again when they were saved again', async () => {
    await using stage = await openDamagedEntries()
    const { catalog, stored } = stage.open()
    expect(stored.records.size).toBe(names.length)
    expect(catalog.readEntries(manifests, 'json').size).toBeLessThan(names.length)
    for (const name of names) catalog.saveRecord(digest(name), chart(name), entry(name))
    await catalog.saveListing(later(6))
    expect(catalog.readEntries(manifests, 'json')).toEqual(
      new Map(names.map((name) => [digest(name), entry(name).json])),
    )
    catalog.close()
  })
})

describe('a catalog file that goes bad while it is used', () => {
  /** What comes after the damage is found, as whoever fetches everything anew saves it. */
  async function checkIsUsable(stage: Awaited<ReturnType<typeof openFilledStage>>, catalog: CatalogFile) {
    catalog.saveRecord(digest('demo'), chart('demo'), entry('demo'))
    await catalog.saveListing(first(9, { a: { v1: digest('demo') } }))
    expect(catalog.readEntries([digest('demo')], 'yaml').get(digest('demo'))).toBe(entry('demo').yaml)
    catalog.close()
    const { listedAt, repositories, records } = stage.reopen()
    expect([listedAt, repositories.size, records.get(digest('demo'))]).toEqual([9, 1, chart('demo')])
    expect(existsSync(`${stage.path}.set-aside`)).toBe(true)
  }

  test('is set aside when it is read, and another one is begun', async () => {
    await using stage = await openFilledStage()
    const { catalog } = stage.open()
    alter(stage.path, 'DROP TABLE entry')
    expect(catalog.readEntries([digest('demo')], 'yaml').size).toBe(0)
    expect(catalog.readEntries([digest('demo')], 'yaml').size).toBe(0)
    expect(stage.log.messages('warn')).toEqual([NOT_READ])
    await checkIsUsable(stage, catalog)
    expect(stage.log.messages()).toEqual([NOT_READ, WRITTEN_AGAIN])
  })

  test('is set aside when it is written; a start never takes what is written next for all there is', async () => {
    await using stage = await openFilledStage()
    const { catalog } = stage.open()
    alter(stage.path, 'DROP TABLE tag')
    catalog.saveRecord(digest('new'), chart('new'), entry('new'))
    for (const at of [6, 7]) {
      await catalog.saveListing(later(at, { 'team/demo': { [`v${at}`]: digest('new') } }))
      expect(stage.reopen().listedAt).toBeUndefined()
    }
    await checkIsUsable(stage, catalog)
  })

  test('is set aside in the middle of a listing, and the listing stands in nobody’s way', async () => {
    await using stage = await openDamagedEntries()
    const { catalog } = stage.open()
    using _slices = stopAfterEachRow()
    const saving = catalog.saveListing(later(6, { app: { a: digest('chart-1'), b: digest('chart-1'), c: null } }))
    await new Promise((resolve) => setImmediate(resolve))
    expect(catalog.readEntries(manifests, 'json').size).toBeLessThan(names.length)
    await saving
    expect(stage.reopen().listedAt).toBeUndefined()
    catalog.forget({ records: manifests, entries: manifests })
    await checkIsUsable(stage, catalog)
  })
})

describe('a catalog file that cannot be written', () => {
  test('because a file is in the place of its directory: the catalog is kept in memory', async () => {
    await using stage = await openCatalogStage()
    await writeFile(dirname(stage.path), 'in the way')
    const { catalog, stored } = stage.open()
    expect(stored).toEqual(NOTHING_STORED)
    catalog.saveRecord(digest('a'), chart('a'), entry('a'))
    await catalog.saveListing(first(5, { a: { v1: digest('a') } }))
    expect(catalog.readEntries([digest('a')], 'yaml').get(digest('a'))).toBe(entry('a').yaml)
    catalog.close()
    expect(stage.log.messages('warn')).toEqual([IN_MEMORY])
  })

  test('because a directory is in its own place: the catalog is kept in memory', async () => {
    await using stage = await openCatalogStage()
    await mkdir(join(stage.path, 'in the way'), { recursive: true })
    const { catalog } = stage.open()
    await catalog.saveListing(first(5))
    catalog.close()
    expect(stage.log.messages('warn').at(-1)).toBe(IN_MEMORY)
    expect(existsSync(join(stage.path, 'in the way'))).toBe(true)
  })

  /** Makes every write fail until it is undone, as a full disk does. */
  function refuseWrites(path: string): () => void {
    const tables = ['record', 'entry', 'tag', 'listing']
    for (const table of tables) {
      alter(path, `CREATE TRIGGER refuse_${table} BEFORE INSERT ON ${table} BEGIN SELECT RAISE(ABORT, 'refused'); END`)
    }
    return () => {
      for (const table of tables) alter(path, `DROP TRIGGER refuse_${table}`)
    }
  }

  test('for a while: it is said once, nothing throws or is lost, and it is written again afterwards', async () => {
    await using stage = await openFilledStage()
    const { catalog } = stage.open()
    const allow = refuseWrites(stage.path)
    const names = Array.from({ length: 300 }, (_, i) => `new-${i}`)
    for (const [i, name] of names.entries()) {
      catalog.saveRecord(digest(name), chart(name), entry(name))
      if (i % 100 === 0) await catalog.saveListing(later(5 + i, { 'team/demo': { [name]: digest(name) } }))
    }
    expect(stage.log.messages()).toEqual([NOT_WRITTEN])
    expect(catalog.readEntries(names.map(digest), 'json').size).toBe(names.length)
    expect(stage.reopen()).toMatchObject({ listedAt: 1_700_000_000_000, records: { size: 2 } })
    allow()
    await catalog.saveListing(later(999, { 'team/demo': { '1.0.0': undefined } }))
    expect(catalog.readEntries(names.map(digest), 'json').size).toBe(names.length)
    catalog.close()
    expect(stage.log.messages()).toEqual([NOT_WRITTEN, WRITTEN_AGAIN])
    const { listedAt, repositories, records } = stage.reopen()
    expect([listedAt, records.size]).toEqual([999, names.length + 2])
    expect([...(repositories.get('team/demo')?.keys() ?? [])].sort()).toEqual(['new-0', 'new-100', 'new-200', 'x.sig'])
  })

  test('for the time of a first listing: what was there before stays, and the listing after that is whole', async () => {
    await using stage = await openFilledStage()
    const { catalog } = stage.open()
    const allow = refuseWrites(stage.path)
    await catalog.saveListing(first(5, { a: { v1: digest('demo') }, b: { v1: digest('demo') } }))
    expect(stage.reopen().listedAt).toBe(1_700_000_000_000)
    allow()
    await catalog.saveListing(later(6, { b: { v1: undefined, v2: digest('demo') }, c: { v1: digest('image') } }))
    catalog.close()
    const { listedAt, repositories } = stage.reopen()
    expect([listedAt, [...repositories].map(([name, tags]) => [name, ...tags.keys()])]).toEqual([
      6,
      [
        ['a', 'v1'],
        ['b', 'v2'],
        ['c', 'v1'],
      ],
    ])
  })
})

const hasPrlimit = which('prlimit') !== undefined
const skip = hasPrlimit ? '' : ' (skipped: prlimit is not installed)'

test.skipIf(!hasPrlimit)(
  `a disk that is full: all goes on, it is said once, and it is written again when there is room${skip}`,
  async () => {
    await using stage = await openFilledStage()
    const script = join(import.meta.dir, 'limited-catalog.ts')
    // 512 KiB at most, and the signal that comes with going over it ignored, so that the write itself fails.
    const command = `trap '' XFSZ; ulimit -S -f 512; exec "$0" "$@"`
    const ran = await runCommand(['bash', '-c', command, process.execPath, script, stage.path])
    expect({ code: ran.code, stderr: ran.stderr }).toEqual({ code: 0, stderr: '' })
    const { atFirst, whileFull, whenRoom, log } = JSON.parse(ran.stdout)
    expect([atFirst, whileFull, whenRoom]).toEqual([1, 2_001, 2_001])
    expect(log).toEqual([
      ['warn', NOT_WRITTEN],
      ['info', WRITTEN_AGAIN],
    ])
    const { listedAt, repositories, records } = stage.reopen()
    const sizes = ['new', 'many', 'team/demo'].map((name) => repositories.get(name)?.size)
    expect([listedAt, ...sizes, records.size]).toEqual([7, 2_000, 40_000, 2, 2_002])
  },
)
