/** A cache directory that may only be read: what is in it is used, what is new is kept in memory, and that is said. */
import { expect, test } from 'bun:test'
import { chmod, cp, readdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { DocumentFiles } from '../../src/storage/document-files.ts'
import { FakeClock } from '../lib/fake-clock.ts'
import { runCommand } from '../stand/child.ts'
import { captureLog } from '../telemetry/captured-log.ts'
import {
  digest,
  entry,
  IN_MEMORY,
  NOT_WRITTEN,
  openCatalogStage,
  openFilledStage,
  READ_ONLY,
} from './catalog-content.ts'
import { NOT_WRITTEN as DOCUMENTS_NOT_WRITTEN, keyOf, largeSet, sources } from './document-content.ts'

type Stage = Awaited<ReturnType<typeof openCatalogStage>>

/** What a process makes of a cache directory in which it may read only. */
async function useReadOnly({ dir, path }: Stage) {
  const place = dirname(path)
  const documents = join(place, 'index')
  const files = new DocumentFiles({ dir: documents, clock: new FakeClock(), log: captureLog() })
  await files.write(keyOf('kept'), sources(largeSet('kept')))
  await chmod(dir, 0o755)
  const all = await readdir(place, { recursive: true, withFileTypes: true })
  for (const each of all) await chmod(join(each.parentPath, each.name), each.isDirectory() ? 0o555 : 0o444)
  await chmod(place, 0o555)
  const before = (await readdir(place, { recursive: true })).sort()
  const script = join(import.meta.dir, 'read-only-place.ts')
  const { code, stdout, stderr } = await runCommand([process.execPath, script, path, documents])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect((await readdir(place, { recursive: true })).sort()).toEqual(before)
  // Who is not root cannot remove them otherwise.
  for (const each of all) if (each.isDirectory()) await chmod(join(each.parentPath, each.name), 0o755)
  await chmod(place, 0o755)
  return JSON.parse(stdout)
}

test('a catalog and documents in a place that may only be read are used', async () => {
  await using stage = await openFilledStage()
  const { log, ...used } = await useReadOnly(stage)
  expect(used).toEqual({
    found: { listedAt: 1_700_000_000_000, repositories: 1, records: 2 },
    atFirst: [entry('demo').yaml],
    texts: 3,
    documents: [true, true, true],
  })
  expect(log.slice(0, 2)).toEqual([READ_ONLY, NOT_WRITTEN])
})

test('documents in a place that may only be read: it is said once, whatever call is refused', async () => {
  await using stage = await openFilledStage()
  const { log } = await useReadOnly(stage)
  expect(log.slice(2)).toEqual([DOCUMENTS_NOT_WRITTEN])
})

test('a catalog whose last changes are beside it, in a place that may only be read, is not half used', async () => {
  await using stage = await openFilledStage()
  const { catalog } = stage.open()
  await catalog.saveListing({
    listedAt: 9,
    changes: new Map([['b', new Map([['v1', digest('demo')]])]]),
    isFirst: false,
  })
  // A copy of the files is what a crash leaves.
  await using crashed = await openCatalogStage()
  await cp(dirname(stage.path), dirname(crashed.path), { recursive: true })
  catalog.close()
  const { found, documents } = await useReadOnly(crashed)
  expect([
    { records: 0, repositories: 0 },
    { listedAt: 9, records: 2, repositories: 2 },
  ]).toContainEqual(found)
  expect(documents).toEqual([true, true, true])
})

test('a catalog that is damaged, in a place that may only be read: it is kept in memory', async () => {
  await using stage = await openFilledStage()
  await writeFile(stage.path, 'this is no database')
  const { found, atFirst, texts, log } = await useReadOnly(stage)
  expect([found, atFirst, texts]).toEqual([{ records: 0, repositories: 0 }, [], 2])
  expect(log).toContain(IN_MEMORY)
  expect(log).not.toContain(NOT_WRITTEN)
})
