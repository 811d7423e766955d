/** One catalog file and several processes: each finds a whole one, none is in the way of another, and one may die. */

import { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { limits } from '../../src/limits.ts'
import { CatalogFile } from '../../src/storage/catalog-file.ts'
import { readCatalog } from '../../src/storage/catalog-rows.ts'
import { openChild, runCommand, runOrThrow } from '../stand/child.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { waitFor } from '../stand/wait-for.ts'
import { captureLog } from '../telemetry/captured-log.ts'
import { chart, digest, entry, first, later, openCatalogStage, openFilledStage, skipped } from './catalog-content.ts'

const command = (...args: readonly string[]) => [process.execPath, join(import.meta.dir, 'catalog-process.ts'), ...args]

test('CatalogFile.open by six processes at the same time, where there is none yet: nobody warns, and all is kept', async () => {
  const names = ['a', 'b', 'c', 'd', 'e', 'f']
  const rounds = 20
  await using temp = await openTempDir()
  const children = names.map((name) =>
    runOrThrow(command('meet', temp.path, name, String(names.length), String(rounds))),
  )
  expect((await Promise.all(children)).map(({ stdout }) => JSON.parse(stdout))).toEqual(names.map(() => []))
  for (let round = 0; round < rounds; round++) {
    const place = join(temp.path, String(round), 'cache')
    const log = captureLog()
    const { catalog, stored } = CatalogFile.open(join(place, 'catalog.sqlite'), log)
    expect([...stored.repositories.keys()].sort()).toEqual(names)
    expect(catalog.readEntries(names.map(digest), 'yaml').size).toBe(names.length)
    catalog.close()
    expect([await readdir(place), log.lines]).toEqual([['catalog.sqlite'], []])
  }
})

test('CatalogFile of two processes on one file: each listing of both is written', async () => {
  await using stage = await openFilledStage()
  const { catalog } = stage.open()
  await using child = openChild(command('change', stage.path, 'theirs', '200'))
  let rounds = 0
  let isOver = false
  void child.exited.then(() => {
    isOver = true
  })
  for (; !isOver; rounds++) {
    const key = digest(`ours ${rounds}`)
    catalog.saveRecord(key, chart('ours', { manifest: key }))
    await catalog.saveListing(later(rounds + 1, { ours: { [`v${rounds}`]: key, [`v${rounds - 1}`]: undefined } }))
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect([await child.exited, child.stderr(), child.stdout()]).toEqual([0, '', '[]\n'])
  catalog.close()
  const { repositories, records } = stage.reopen()
  expect(records.size).toBe(2 + rounds + 200)
  expect(repositories.get('ours')).toEqual(new Map([[`v${rounds - 1}`, digest(`ours ${rounds - 1}`)]]))
  expect(repositories.get('theirs')).toEqual(new Map([['v199', digest('theirs 199')]]))
  expect(stage.log.lines).toEqual([])
})

const places = { 'where there was none': openCatalogStage, 'where there was another one': openFilledStage }
const moments = { 'at its beginning': 0, 'when half of it is in the file': 2 * 1024 * 1024 }
const kills = Object.entries(places).flatMap(([place, openStage]) =>
  Object.entries(moments).map(([moment, bytes]) => [place, moment, openStage, bytes] as const),
)

test.each(kills)(
  'a process that is killed while it writes a first listing, %s, %s: what was there before stays',
  async (_place, _moment, openStage, bytes) => {
    await using stage = await openStage()
    const before = stage.reopen()
    const { code, stderr } = await runCommand(command('crash', stage.path, '60000', String(bytes)))
    expect({ code, stderr }).toEqual({ code: 128 + 9, stderr: '' })
    const { catalog, stored } = stage.open()
    expect(stored).toEqual(before)
    catalog.saveRecord(digest('demo'), chart('demo'))
    await catalog.saveListing(first(8, { a: { v1: digest('demo') } }))
    catalog.close()
    expect(stage.reopen()).toMatchObject({ listedAt: 8, repositories: { size: 1 } })
    expect(await readdir(dirname(stage.path))).toEqual(['catalog.sqlite'])
    expect(stage.log.lines).toEqual([])
  },
)

test('two first listings that are written at the same time: one waits, and nobody finds a part of either', async () => {
  await using stage = await openCatalogStage()
  const all = Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`app-${i}`, { v1: digest('demo') }]))
  const [one, two] = [stage.open().catalog, stage.open().catalog]
  one.saveRecord(digest('demo'), chart('demo'))
  let isSaved = false
  const saving = one.saveListing(first(5, all)).then(() => {
    isSaved = true
  })
  const found = new Set<number | undefined>()
  await two.saveListing(first(6, { b: { v1: digest('demo') } }))
  expect(isSaved).toBe(false)
  // As a start would find it if both were killed now.
  using db = new Database(stage.path, { readonly: true })
  while (!isSaved) {
    found.add(readCatalog(db).repositories.size)
    await new Promise((resolve) => setImmediate(resolve))
  }
  await saving
  found.add(stage.reopen().repositories.size)
  expect([...found]).toEqual([0, 20_000])
  two.close()
  expect(toTags(stage.reopen().repositories)).toEqual({ b: ['v1'] })
  one.close()
  expect(stage.log.lines).toEqual([])
})

test('while another process keeps it from writing, a listing waits for the next one, and nobody is told', async () => {
  await using stage = await openFilledStage()
  const { catalog } = stage.open()
  await using holder = openChild(command('hold', stage.path))
  await waitFor('the lock to be held', () => holder.stdout() === 'held\n')
  catalog.saveRecord(digest('new'), chart('new'), entry('new'))
  await catalog.saveListing(later(5, { a: { v1: digest('new') } }))
  expect(stage.reopen()).toMatchObject({ listedAt: 1_700_000_000_000, repositories: { size: 1 } })
  expect(catalog.readEntries([digest('new')], 'yaml').size).toBe(1)
  await holder.stop()
  await catalog.saveListing(later(6, { b: { v1: digest('demo') } }))
  const { listedAt, repositories } = stage.reopen()
  expect([listedAt, toTags(repositories)]).toEqual([6, { 'team/demo': ['1.0.0', 'x.sig'], a: ['v1'], b: ['v1'] }])
  catalog.close()
  expect(stage.log.lines).toEqual([])
})

test('while another process keeps it from writing, records cost a wait now and then, not each', async () => {
  await using stage = await openFilledStage()
  const { catalog } = stage.open()
  await using holder = openChild(command('hold', stage.path))
  await waitFor('the lock to be held', () => holder.stdout() === 'held\n')
  const count = 192
  const startedAt = performance.now()
  for (let i = 0; i < count; i++) catalog.saveRecord(digest(`new ${i}`), skipped('new'))
  // Once for each batch that is full.
  expect(performance.now() - startedAt).toBeLessThan((count / 64 + 5) * limits.catalogBusyMs)
  await holder.stop()
  catalog.close()
  expect(stage.reopen().records.size).toBe(2 + count)
})

function toTags(repositories: ReadonlyMap<string, ReadonlyMap<string, unknown>>) {
  return Object.fromEntries([...repositories].map(([name, tags]) => [name, [...tags.keys()]]))
}
