/** Directories are synced for many at a time, and nobody shares a round that began before they asked. */
import { expect, test } from 'bun:test'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { DirectorySyncs } from '../../src/storage/directory-syncs.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { rejection } from '../upstream/fake-send.ts'

test('who asks while a directory is synced shares the next round', async () => {
  await using temp = await openTempDir()
  const syncs = new DirectorySyncs()
  const first = syncs.sync(temp.path)
  const second = syncs.sync(temp.path)
  expect(second).not.toBe(first)
  expect(syncs.sync(temp.path)).toBe(second)
  const other = syncs.sync(`${temp.path}/.`)
  expect(other).not.toBe(second)
  await first
  const third = syncs.sync(temp.path)
  await Promise.all([second, third, other])
  const later = syncs.sync(temp.path)
  expect(later).not.toBe(third)
  // Nothing reads the directory any more when it is removed.
  await later
})

test('a directory that cannot be synced is said to everybody who asked, and tried again by who asks later', async () => {
  await using temp = await openTempDir()
  const syncs = new DirectorySyncs()
  const path = join(temp.path, 'late')
  const asked = [syncs.sync(path), syncs.sync(path), syncs.sync(path)]
  for (const each of asked) expect(await rejection(each)).toMatchObject({ code: 'ENOENT' })
  await mkdir(path)
  await syncs.sync(path)
})
