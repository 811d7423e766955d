/** The catalog on disk: read back as it was, from what each listing changed. */
import { describe, expect, test } from 'bun:test'
import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { ManifestRecord } from '../../src/helm/chart-record.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { waitFor } from '../stand/wait-for.ts'
import {
  chart,
  digest,
  entry,
  first,
  later,
  NOTHING_STORED,
  openCatalogStage,
  openFilledStage,
  skipped,
} from './catalog-content.ts'

describe('CatalogFile', () => {
  test('begins empty', async () => {
    await using stage = await openCatalogStage()
    expect(stage.reopen()).toEqual(NOTHING_STORED)
    expect(stage.reopen()).toEqual(NOTHING_STORED)
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
            ['1.0.0', digest('demo')],
            ['x.sig', null],
          ] as const),
        ],
      ]),
      records: new Map<Digest, ManifestRecord>([
        [digest('demo'), chart('demo')],
        [digest('image'), skipped('it is an image')],
      ]),
    })
    expect(stage.log.lines).toEqual([])
  })

  test('takes the last of two records of a digest, and each once', async () => {
    await using stage = await openCatalogStage()
    const { catalog } = stage.open()
    catalog.saveRecord(digest('a'), skipped('first'))
    catalog.saveRecord(digest('a'), skipped('second'))
    catalog.close()
    expect(stage.reopen().records).toEqual(new Map([[digest('a'), skipped('second')]]))
  })

  test('may be closed twice', async () => {
    await using stage = await openCatalogStage()
    const { catalog } = stage.open()
    catalog.close()
    catalog.close()
    expect(stage.log.lines).toEqual([])
  })

  test('writes in a directory that nobody else can read', async () => {
    await using stage = await openFilledStage()
    const { mode } = await stat(dirname(stage.path))
    expect(mode & 0o77).toBe(0)
  })
})

describe('a listing', () => {
  const [one, two, three] = [digest('1'), digest('2'), digest('3')]

  async function openListedStage() {
    const stage = await openCatalogStage()
    const { catalog } = stage.open()
    for (const each of ['1', '2', '3']) catalog.saveRecord(digest(each), skipped(each))
    await catalog.saveListing(first(1, { a: { v1: one, v2: two }, b: { v1: one }, c: { sig: null } }))
    return { ...stage, catalog }
  }

  test('changes what it says and nothing else', async () => {
    await using stage = await openListedStage()
    const { catalog } = stage
    await catalog.saveListing(later(2, { a: { v1: undefined, v2: three, v3: two }, b: { v1: undefined } }))
    const changed = { a: { v2: three, v3: two }, c: { sig: null } }
    expect(toObject(stage.reopen().repositories)).toEqual(changed)
    await catalog.saveListing(later(3))
    catalog.close()
    const { listedAt, repositories } = stage.reopen()
    expect([listedAt, toObject(repositories)]).toEqual([3, changed])
  })

  test('is the one the next start begins with as soon as it is saved', async () => {
    await using stage = await openListedStage()
    expect(stage.reopen()).toMatchObject({ listedAt: 1, repositories: { size: 3 }, records: { size: 3 } })
    stage.catalog.close()
  })

  test('that is the first takes the place of what the file had before', async () => {
    await using stage = await openListedStage()
    stage.catalog.close()
    const { catalog } = stage.open()
    await catalog.saveListing(first(9, { d: { v1: one } }))
    catalog.close()
    const { listedAt, repositories, records } = stage.reopen()
    expect([listedAt, toObject(repositories), records.size]).toEqual([9, { d: { v1: one } }, 3])
  })

  test('that is the first and empty takes it too', async () => {
    await using stage = await openListedStage()
    await stage.catalog.saveListing(first(9))
    stage.catalog.close()
    expect(stage.reopen()).toMatchObject({ listedAt: 9, repositories: new Map() })
  })
})

describe('a record', () => {
  test('is lost with a crash when it was not written yet, never when a listing needs it', async () => {
    await using stage = await openCatalogStage()
    const { catalog } = stage.open()
    for (let i = 0; i < 900; i++) catalog.saveRecord(digest(String(i)), skipped(`number ${i}`))
    // A second look at the files is what a start after a crash has: the first one was never closed.
    const crashed = await waitFor('a batch of records', () => {
      const stored = stage.reopen()
      return stored.records.size > 0 && stored
    })
    expect(crashed.listedAt).toBeUndefined()
    expect(crashed.records.size).toBeGreaterThan(450)
    expect(crashed.records.size).toBeLessThan(900)
    await catalog.saveListing(first(7, { a: { v1: digest('249') } }))
    const listed = stage.reopen()
    expect([listed.records.size, listed.listedAt, toObject(listed.repositories)]).toEqual([
      900,
      7,
      { a: { v1: digest('249') } },
    ])
    catalog.close()
  })

  test('that nobody needs any more is forgotten with its entry, and only those', async () => {
    await using stage = await openFilledStage()
    const { catalog } = stage.open()
    catalog.saveRecord(digest('old'), chart('old'), entry('old'))
    await catalog.saveListing(later(5))
    catalog.forget({ records: [digest('old'), digest('image')], entries: [digest('old')] })
    await catalog.saveListing(later(6))
    catalog.close()
    const again = stage.open()
    expect([...again.stored.records.keys()]).toEqual([digest('demo')])
    expect([...again.catalog.readEntries([digest('old'), digest('demo')], 'yaml')]).toEqual([
      [digest('demo'), entry('demo').yaml],
    ])
    again.catalog.close()
  })

  test('that is forgotten before it was written never is', async () => {
    await using stage = await openCatalogStage()
    const { catalog } = stage.open()
    catalog.saveRecord(digest('old'), chart('old'), entry('old'))
    catalog.forget({ records: [digest('old')], entries: [digest('old')] })
    expect(catalog.readEntries([digest('old')], 'yaml').size).toBe(0)
    catalog.close()
    const again = stage.open()
    expect([again.stored.records.size, again.catalog.readEntries([digest('old')], 'json').size]).toEqual([0, 0])
    again.catalog.close()
  })

  test('that comes back after it was forgotten is kept', async () => {
    await using stage = await openFilledStage()
    const { catalog } = stage.open()
    catalog.forget({ records: [digest('demo')], entries: [digest('demo')] })
    catalog.saveRecord(digest('demo'), chart('demo'), entry('demo'))
    catalog.close()
    const again = stage.open()
    expect(again.stored.records.get(digest('demo'))).toEqual(chart('demo'))
    expect(again.catalog.readEntries([digest('demo')], 'yaml').get(digest('demo'))).toBe(entry('demo').yaml)
    again.catalog.close()
  })
})

describe('entries', () => {
  const names = ['a', 'b', 'c']
  const manifests = names.map(digest)
  const texts = (format: 'yaml' | 'json') => new Map(names.map((name) => [digest(name), entry(name)[format]]))

  test('are read while they wait, when they are written and after a restart, in both forms', async () => {
    await using stage = await openCatalogStage()
    const { catalog } = stage.open()
    for (const name of names) catalog.saveRecord(digest(name), chart(name), entry(name))
    for (const format of ['yaml', 'json'] as const) {
      expect(catalog.readEntries(manifests, format)).toEqual(texts(format))
    }
    await catalog.saveListing(first(1))
    for (const format of ['yaml', 'json'] as const) {
      expect(catalog.readEntries(manifests, format)).toEqual(texts(format))
    }
    catalog.close()
    const again = stage.open()
    for (const format of ['yaml', 'json'] as const) {
      expect(again.catalog.readEntries(manifests, format)).toEqual(texts(format))
    }
    again.catalog.close()
  })

  test('that nobody has are left out', async () => {
    await using stage = await openFilledStage()
    const { catalog } = stage.open()
    const wanted = [digest('unknown'), digest('demo'), digest('image')]
    expect([...catalog.readEntries(wanted, 'json').keys()]).toEqual([digest('demo')])
    expect(catalog.readEntries([], 'json').size).toBe(0)
    catalog.close()
  })

  test('are kept under the manifest they were made of', async () => {
    await using stage = await openCatalogStage()
    const { catalog } = stage.open()
    const child = digest('child')
    catalog.saveRecord(digest('index'), chart('demo', { manifest: child }), entry('demo'))
    expect([...catalog.readEntries([digest('index'), child], 'yaml').keys()]).toEqual([child])
    catalog.close()
    const again = stage.open()
    expect([...again.catalog.readEntries([digest('index'), child], 'yaml').keys()]).toEqual([child])
    expect(again.stored.records.get(digest('index'))).toMatchObject({ manifest: child })
    again.catalog.close()
  })

  test('are as new as the last one that was saved', async () => {
    await using stage = await openFilledStage()
    const { catalog } = stage.open()
    catalog.saveRecord(digest('demo'), chart('demo'), entry('other'))
    expect(catalog.readEntries([digest('demo')], 'json').get(digest('demo'))).toBe(entry('other').json)
    catalog.close()
  })

  test('are read thousands at once', async () => {
    await using stage = await openCatalogStage()
    const { catalog } = stage.open()
    const many = Array.from({ length: 5_000 }, (_, i) => `chart-${i}`)
    for (const name of many) catalog.saveRecord(digest(name), chart(name), entry(name))
    const read = catalog.readEntries(many.map(digest), 'yaml')
    expect(many.filter((name) => read.get(digest(name)) !== entry(name).yaml)).toEqual([])
    catalog.close()
  })
})

function toObject(repositories: ReadonlyMap<string, ReadonlyMap<string, Digest | null>>) {
  return Object.fromEntries([...repositories].map(([name, tags]) => [name, Object.fromEntries(tags)]))
}
