/** A directory belongs to one process at a time, and to nobody once that has ended, however it ended. */
import { expect, test } from 'bun:test'
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DirectoryLock } from '../../src/storage/directory-lock.ts'
import { openChild, runCommand } from '../stand/child.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { waitFor } from '../stand/wait-for.ts'

const script = join(import.meta.dir, 'lock-process.ts')

test('a lock is had once, and again when it was released', async () => {
  await using temp = await openTempDir()
  const path = join(temp.path, '.lock')
  const lock = DirectoryLock.tryTake(path)
  expect(lock).toBeDefined()
  expect(DirectoryLock.tryTake(path)).toBeUndefined()
  expect(DirectoryLock.tryTake(path)).toBeUndefined()
  lock?.release()
  const next = DirectoryLock.tryTake(path)
  expect(next).toBeDefined()
  next?.release()
})

test.each(['SIGTERM', 'SIGKILL'] as const)('another process has it until it ends by %s', async (signal) => {
  await using temp = await openTempDir()
  const path = join(temp.path, '.lock')
  await using child = openChild([process.execPath, script, 'hold', path])
  await waitFor('the lock of the other process', () => child.stdout().includes('taken'))
  expect(DirectoryLock.tryTake(path)).toBeUndefined()
  child.kill(signal)
  await child.exited
  const lock = DirectoryLock.tryTake(path)
  expect(lock).toBeDefined()
  const { stdout } = await runCommand([process.execPath, script, 'try', path])
  expect(stdout).toBe('held\n')
  lock?.release()
})

test('a file that may only be read gives no lock, be it held by somebody or not', async () => {
  await using temp = await openTempDir()
  const path = join(temp.path, '.lock')
  await writeFile(path, '')
  await chmod(temp.path, 0o777)
  await chmod(path, 0o444)
  const tried = await runCommand([process.execPath, script, 'try-as-nobody', path])
  expect(tried.stdout).toBe('SQLITE_READONLY\n')
  // Root may write it all the same; whoever else runs the tests makes it writable for the moment.
  await chmod(path, 0o644)
  const lock = DirectoryLock.tryTake(path)
  await chmod(path, 0o444)
  expect(lock).toBeDefined()
  expect((await runCommand([process.execPath, script, 'try-as-nobody', path])).stdout).toBe('EACCES\n')
  lock?.release()
})

test('a file that is no lock, and a place that does not exist, are errors', async () => {
  await using temp = await openTempDir()
  const path = join(temp.path, '.lock')
  await writeFile(path, 'this is no database'.repeat(100))
  expect(() => DirectoryLock.tryTake(path)).toThrow(expect.objectContaining({ code: 'SQLITE_NOTADB' }))
  expect(() => DirectoryLock.tryTake(join(temp.path, 'none', '.lock'))).toThrow(
    expect.objectContaining({ code: 'SQLITE_CANTOPEN' }),
  )
})
