/** How the catalog's file is made and opened: whole from its first moment, and read where it cannot be written. */
import { Database } from 'bun:sqlite'
import { describe, expect, mock, test } from 'bun:test'
import * as fs from 'node:fs'
import { chmod, mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { limits } from '../../src/limits.ts'
import { ForeignFileError, openDatabase, tryOpenUnwritable } from '../../src/storage/catalog-schema.ts'
import { openTempDir } from '../stand/temp-dir.ts'

const AWKWARD_NAMES = ['plain', 'with blanks', 'a%20b', 'what?', '#1', 'ä ☃', "it's", 'file:x?mode=memory']

async function openPlace(name = 'cache') {
  const temp = await openTempDir()
  const dir = join(temp.path, name)
  return { temp: temp.path, dir, path: join(dir, 'catalog.sqlite'), [Symbol.asyncDispose]: temp[Symbol.asyncDispose] }
}

const count = (db: Database) => db.query<{ n: number }, []>('SELECT count(*) AS n FROM tag').get()?.n

function fillDatabase(path: string): void {
  const db = openDatabase(path)
  db.run("INSERT INTO tag VALUES ('app', '1.0.0', NULL)")
  db.close(true)
}

describe('openDatabase', () => {
  test('makes a file with a write-ahead log, and nothing stays beside it', async () => {
    await using place = await openPlace()
    const db = openDatabase(place.path)
    expect(db.query('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'wal' })
    expect(count(db)).toBe(0)
    db.close(true)
    expect(await readdir(place.dir)).toEqual(['catalog.sqlite'])
  })

  test.each(AWKWARD_NAMES)('makes and opens it in a directory called %s', async (name) => {
    await using place = await openPlace(name)
    fillDatabase(place.path)
    using db = openDatabase(place.path)
    expect(count(db)).toBe(1)
    expect(await readdir(place.temp)).toEqual([name])
  })

  test('waits for who holds the lock', async () => {
    await using place = await openPlace()
    fillDatabase(place.path)
    using db = openDatabase(place.path)
    expect(Number(Object.values(db.query<Record<string, number>, []>('PRAGMA busy_timeout').get() ?? {})[0])).toBe(
      limits.catalogPatientMs,
    )
  })

  test.each(['nothing at all', 'another program'])('does not touch a file of %s', async (what) => {
    await using place = await openPlace()
    await mkdir(place.dir)
    if (what === 'nothing at all') await writeFile(place.path, '')
    else {
      using other = new Database(place.path, { create: true })
      other.run('CREATE TABLE recipes (title TEXT)')
    }
    expect(() => openDatabase(place.path)).toThrow(ForeignFileError)
    expect(await readdir(place.dir)).toEqual(['catalog.sqlite'])
  })

  test('leaves nothing behind when the name is taken by what cannot be opened', async () => {
    await using place = await openPlace()
    await mkdir(place.dir)
    await symlink('nowhere', place.path)
    expect(() => openDatabase(place.path)).toThrow()
    expect(await readdir(place.dir)).toEqual(['catalog.sqlite'])
  })

  test.each(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'])(
    'does without links where a file system has none: %s',
    async (code) => {
      await using place = await openPlace()
      await withoutLinks(code, () => fillDatabase(place.path))
      expect(await readdir(place.dir)).toEqual(['catalog.sqlite'])
      using db = openDatabase(place.path)
      expect(count(db)).toBe(1)
    },
  )

  test('does not replace a file that another server has made meanwhile, where there are no links', async () => {
    await using place = await openPlace()
    await withoutLinks('EPERM', () => openDatabase(place.path).close(true), { meanwhile: fillDatabase })
    using db = openDatabase(place.path)
    expect(count(db)).toBe(1)
    expect((await readdir(place.dir)).filter((name) => name.endsWith('.part'))).toEqual([])
  })

  test('fails when a file cannot get its name for another reason, and leaves nothing behind', async () => {
    await using place = await openPlace()
    await withoutLinks('EIO', () => expect(() => openDatabase(place.path)).toThrow('EIO'))
    expect(await readdir(place.dir)).toEqual([])
  })
})

/** Runs `work` as on a file system that knows no links. */
async function withoutLinks(
  code: string,
  work: () => void,
  { meanwhile }: { readonly meanwhile?: (path: string) => void } = {},
): Promise<void> {
  const real = { ...fs }
  let isBusy = false
  const linkSync = (from: fs.PathLike, to: fs.PathLike) => {
    if (isBusy) return real.linkSync(from, to)
    isBusy = true
    meanwhile?.(String(to))
    isBusy = false
    throw Object.assign(new Error(`${code}: no links here`), { code, syscall: 'link' })
  }
  await mock.module('node:fs', () => ({ ...real, linkSync }))
  try {
    work()
  } finally {
    await mock.module('node:fs', () => real)
  }
}

describe('tryOpenUnwritable', () => {
  test.each(AWKWARD_NAMES)('reads a file in a directory called %s, and writes nothing', async (name) => {
    await using place = await openPlace(name)
    fillDatabase(place.path)
    await chmod(place.path, 0o400)
    using db = tryOpenUnwritable(place.path)
    expect(db && count(db)).toBe(1)
    expect(() => db?.run('DELETE FROM tag')).toThrow('readonly')
    expect(await readdir(place.dir)).toEqual(['catalog.sqlite'])
  })

  test('reads none where nothing is', async () => {
    await using place = await openPlace()
    expect(tryOpenUnwritable(place.path)).toBeUndefined()
    expect(await readdir(place.temp)).toEqual([])
  })

  test('reads none that is not sure to be whole: its last writer left something beside it', async () => {
    await using place = await openPlace()
    fillDatabase(place.path)
    await writeFile(`${place.path}-wal`, 'x')
    expect(tryOpenUnwritable(place.path)).toBeUndefined()
  })

  test('reads one beside which there is an empty log', async () => {
    await using place = await openPlace()
    fillDatabase(place.path)
    await writeFile(`${place.path}-wal`, '')
    using db = tryOpenUnwritable(place.path)
    expect(db && count(db)).toBe(1)
  })

  test('reads none of another program', async () => {
    await using place = await openPlace()
    await mkdir(dirname(place.path))
    await writeFile(place.path, '')
    expect(() => tryOpenUnwritable(place.path)).toThrow(ForeignFileError)
  })
})
