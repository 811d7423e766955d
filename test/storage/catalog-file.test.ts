/** The catalog on disk: read back as it was, rebuilt when it is none, and never in the way of serving. */
import { Database } from 'bun:sqlite'
import { describe, expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { mkdir, readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import type { ManifestRecord } from '../../src/helm/chart-record.ts'
import { type Digest, digestBytes } from '../../src/oci/digest.ts'
import { CatalogFile, type StoredTags } from '../../src/storage/catalog-file.ts'
import { awkwardText } from '../helm/awkward-text.ts'
import { chartRecord } from '../helm/chart-content.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { captureLog } from '../telemetry/captured-log.ts'

const digest = (text: string): Digest => digestBytes(Buffer.from(text))
const skipped = (reason: string): ManifestRecord => ({ kind: 'skipped', reason })
const tags = (...entries: readonly (readonly [string, Digest | null])[]): StoredTags => new Map(entries)

const REBUILT = 'catalog file is damaged or not of this version; it is set aside and rebuilt'
const IN_MEMORY = 'catalog file cannot be used; the catalog is kept in memory'

async function openStage() {
  const temp = await openTempDir()
  const path = join(temp.path, 'cache', 'catalog.sqlite')
  const log = captureLog()
  const open = () => CatalogFile.open(path, log)
  /** What the next start finds. */
  const reopen = () => {
    const { catalog, stored } = open()
    catalog.close()
    return stored
  }
  return { path, log, open, reopen, [Symbol.asyncDispose]: temp[Symbol.asyncDispose] }
}

/** A catalog with one chart, one record that is none and one listing. */
async function openFilledStage() {
  const stage = await openStage()
  const { catalog } = stage.open()
  catalog.saveRecord(digest('chart'), chartRecord({ name: 'demo', version: '1.0.0' }, '2026-03-01T12:00:00Z'))
  catalog.saveRecord(digest('image'), skipped('it is an image'))
  catalog.saveListing(
    1_700_000_000_000,
    new Map([['team/demo', tags(['1.0.0', digest('chart')], ['sha256-x.sig', null])]]),
  )
  catalog.close()
  return stage
}

describe('CatalogFile', () => {
  test('begins empty', async () => {
    await using stage = await openStage()
    expect(stage.reopen()).toEqual({ listedAt: undefined, repositories: new Map(), records: new Map() })
    expect(stage.reopen()).toEqual({ listedAt: undefined, repositories: new Map(), records: new Map() })
    expect(stage.log.lines).toEqual([])
  })

  test('reads records, tags and the time of the listing back', async () => {
    await using stage = await openFilledStage()
    expect(stage.reopen()).toEqual({
      listedAt: 1_700_000_000_000,
      repositories: new Map([
        [
          'team/demo',
          new Map([
            ['1.0.0', digest('chart')],
            ['sha256-x.sig', null],
          ]),
        ],
      ]),
      records: new Map<Digest, ManifestRecord>([
        [digest('chart'), chartRecord({ name: 'demo', version: '1.0.0' }, '2026-03-01T12:00:00Z')],
        [digest('image'), skipped('it is an image')],
      ]),
    })
  })

  test('reads any record back as it was', async () => {
    const layer = fc.record({
      digest: fc.constantFrom(digest('a'), digestBytes(Buffer.from('b'), 'sha512')),
      size: fc.maxSafeNat(),
    })
    const text = awkwardText().map((each) => each.toWellFormed())
    const chart = fc.record({
      kind: fc.constant('chart' as const),
      name: text,
      version: fc.constantFrom('1.2.3', 'v1', '0.1', '1.0.0-rc.1+b'),
      created: fc.option(text, { nil: undefined }),
      chart: layer,
      provenance: fc.option(layer, { nil: undefined }),
      entry: text,
    })
    const record: fc.Arbitrary<ManifestRecord> = fc.oneof(chart, text.map(skipped))
    await using stage = await openStage()
    const records = fc.sample(record, 150).map((each, i) => [digest(String(i)), each] as const)
    const { catalog } = stage.open()
    for (const [key, value] of records) catalog.saveRecord(key, value)
    catalog.close()
    expect(stage.reopen().records).toEqual(new Map(records))
  })

  test('keeps of a listing only what the next one does not change', async () => {
    await using stage = await openStage()
    const { catalog } = stage.open()
    for (const each of ['1', '2', '3']) catalog.saveRecord(digest(each), skipped(each))
    catalog.saveListing(
      1,
      new Map([
        ['a', tags(['1', digest('1')], ['2', digest('2')])],
        ['b', tags(['1', digest('1')])],
        ['c', tags()],
      ]),
    )
    catalog.saveListing(
      2,
      new Map([
        ['a', tags(['2', digest('3')])],
        ['b', undefined],
      ]),
    )
    catalog.saveListing(3, new Map())
    catalog.close()
    const { listedAt, repositories } = stage.reopen()
    expect(listedAt).toBe(3)
    expect(repositories).toEqual(new Map([['a', new Map([['2', digest('3')]])]]))
  })

  test('takes the last of two records of a digest, and each once', async () => {
    await using stage = await openStage()
    const { catalog } = stage.open()
    catalog.saveRecord(digest('a'), skipped('first'))
    catalog.saveRecord(digest('a'), skipped('second'))
    catalog.close()
    expect(stage.reopen().records).toEqual(new Map([[digest('a'), skipped('second')]]))
  })

  test('loses with a crash what was not written yet, never what a listing needs', async () => {
    await using stage = await openStage()
    const { catalog } = stage.open()
    for (let i = 0; i < 250; i++) catalog.saveRecord(digest(String(i)), skipped(`number ${i}`))
    // A second look at the files is what a start after a crash has: the first one was never closed.
    const crashed = stage.reopen()
    expect(crashed.records.size).toBe(200)
    expect(crashed.listedAt).toBeUndefined()
    catalog.saveListing(7, new Map([['a', tags(['1', digest('249')])]]))
    const listed = stage.reopen()
    expect([listed.records.size, listed.listedAt, listed.repositories.get('a')?.get('1')]).toEqual([
      250,
      7,
      digest('249'),
    ])
    catalog.close()
  })

  test('writes in a directory that nobody else can read', async () => {
    await using stage = await openFilledStage()
    const { mode } = await stat(dirname(stage.path))
    expect(mode & 0o77).toBe(0)
  })
})

describe('a catalog file that is none', () => {
  const page = 4096
  test.each([
    ['text', (path: string) => writeFile(path, 'this is no database')],
    ['random bytes', (path: string) => writeFile(path, crypto.getRandomValues(new Uint8Array(3 * page)))],
    ['cut in the middle of a page', (path: string) => truncate(path, page + 100)],
    [
      'a database with a page of zeros',
      async (path: string) => {
        const bytes = await readFile(path)
        await writeFile(path, bytes.fill(0, page, 3 * page))
      },
    ],
    ['of another version', (path: string) => alter(path, 'PRAGMA user_version = 99')],
    ['of another program', (path: string) => alter(path, 'PRAGMA application_id = 1')],
    ['without one of its tables', (path: string) => alter(path, 'DROP TABLE record')],
  ])('is set aside and rebuilt: %s', async (_what, damage) => {
    await using stage = await openFilledStage()
    await damage(stage.path)
    const damaged = await readFile(stage.path)
    const { catalog, stored } = stage.open()
    expect(stored).toEqual({ listedAt: undefined, repositories: new Map(), records: new Map() })
    expect(stage.log.messages()).toEqual([REBUILT])
    expect(Buffer.compare(await readFile(`${stage.path}.set-aside`), damaged)).toBe(0)
    catalog.saveRecord(digest('new'), skipped('new'))
    catalog.saveListing(5, new Map())
    catalog.close()
    expect(stage.reopen()).toMatchObject({ listedAt: 5, records: new Map([[digest('new'), skipped('new')]]) })
    expect(stage.log.messages()).toEqual([REBUILT])
  })

  test('is an empty file: it is filled', async () => {
    await using stage = await openStage()
    await mkdir(dirname(stage.path))
    await writeFile(stage.path, '')
    const { catalog } = stage.open()
    catalog.saveListing(5, new Map())
    catalog.close()
    expect(stage.reopen().listedAt).toBe(5)
    expect(stage.log.lines).toEqual([])
  })

  test('has the left-overs of another file beside it: they do no harm', async () => {
    await using stage = await openFilledStage()
    await writeFile(stage.path, 'this is no database')
    for (const suffix of ['-wal', '-shm'])
      await writeFile(`${stage.path}${suffix}`, crypto.getRandomValues(new Uint8Array(40_000)))
    const { catalog } = stage.open()
    catalog.saveListing(5, new Map())
    catalog.close()
    expect(stage.reopen().listedAt).toBe(5)
  })

  test('has rows that make no sense: they are passed over', async () => {
    await using stage = await openFilledStage()
    alter(stage.path, `INSERT INTO record (digest, skip_reason) VALUES ('md5:x', 'x')`)
    alter(stage.path, `INSERT INTO record (digest, name) VALUES ('${digest('half')}', 'half a chart')`)
    alter(stage.path, `INSERT INTO tag VALUES ('team/demo', 'odd', 'no digest')`)
    const stored = stage.reopen()
    expect([...stored.records.keys()].sort()).toEqual([digest('chart'), digest('image')].sort())
    expect([...(stored.repositories.get('team/demo')?.keys() ?? [])]).toEqual(['1.0.0', 'sha256-x.sig'])
  })
})

/** Changes a catalog behind the back of the program. */
function alter(path: string, sql: string): void {
  using db = new Database(path, { readwrite: true })
  db.run(sql)
}

describe('a catalog file that cannot be written', () => {
  test('because a file is in the place of its directory: the catalog is kept in memory', async () => {
    await using stage = await openStage()
    await writeFile(dirname(stage.path), 'in the way')
    const { catalog, stored } = stage.open()
    expect(stored.listedAt).toBeUndefined()
    catalog.saveRecord(digest('a'), skipped('a'))
    catalog.saveListing(5, new Map([['a', tags(['1', digest('a')])]]))
    catalog.close()
    expect(stage.log.messages()).toEqual([IN_MEMORY])
  })

  test('because a directory is in its own place: the catalog is kept in memory', async () => {
    await using stage = await openStage()
    await mkdir(join(stage.path, 'in the way'), { recursive: true })
    const { catalog } = stage.open()
    catalog.saveListing(5, new Map())
    catalog.close()
    expect(stage.log.messages().at(-1)).toBe(IN_MEMORY)
    expect(existsSync(join(stage.path, 'in the way'))).toBe(true)
  })

  /** Makes every write fail until it is undone, as a full disk does. */
  function refuseWrites(path: string): () => void {
    for (const table of ['record', 'tag', 'listing']) {
      alter(path, `CREATE TRIGGER refuse_${table} BEFORE INSERT ON ${table} BEGIN SELECT RAISE(ABORT, 'refused'); END`)
    }
    return () => {
      for (const table of ['record', 'tag', 'listing']) alter(path, `DROP TRIGGER refuse_${table}`)
    }
  }

  test('for a while: it is said once, nothing throws, and it is written again afterwards', async () => {
    await using stage = await openFilledStage()
    const { catalog } = stage.open()
    const allow = refuseWrites(stage.path)
    for (let i = 0; i < 3; i++) {
      catalog.saveRecord(digest(`new ${i}`), skipped('new'))
      catalog.saveListing(5 + i, new Map())
    }
    expect(stage.log.messages()).toEqual(['catalog file cannot be written; a restart begins further back'])
    expect(stage.reopen().listedAt).toBe(1_700_000_000_000)
    allow()
    catalog.saveListing(9, new Map())
    catalog.close()
    expect(stage.log.messages().at(-1)).toBe('catalog file can be written again')
    expect(stage.reopen().listedAt).toBe(9)
  })

  test('for a while: the next listing that is written has all that the ones before it changed, and every record they need', async () => {
    await using stage = await openFilledStage()
    const { catalog } = stage.open()
    const allow = refuseWrites(stage.path)
    catalog.saveRecord(digest('new'), skipped('new'))
    catalog.saveListing(
      5,
      new Map([
        ['team/demo', undefined],
        ['other', tags(['2.0.0', digest('new')])],
      ]),
    )
    allow()
    catalog.saveListing(6, new Map([['third', tags(['3.0.0', digest('chart')])]]))
    catalog.close()
    const { listedAt, repositories, records } = stage.reopen()
    // A listing that is not whole must not be the one the next start begins with.
    if (listedAt !== 1_700_000_000_000) {
      expect([...repositories.keys()].sort()).toEqual(['other', 'third'])
      expect(records.get(digest('new'))).toEqual(skipped('new'))
    }
  })
})
