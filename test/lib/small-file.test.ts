/** Files that somebody named: regular ones, up to a bound. */
import { expect, test } from 'bun:test'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readSmallFile } from '../../src/lib/small-file.ts'
import { openChild, runOrThrow } from '../stand/child.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { waitFor } from '../stand/wait-for.ts'

test('readSmallFile reads a file up to its bound, through links, too', async () => {
  await using dir = await openTempDir()
  const path = join(dir.path, 'file')
  await writeFile(path, 'ü'.repeat(5))
  await symlink('file', join(dir.path, 'link'))
  expect(readSmallFile(path, 10)).toBe('üüüüü')
  expect(readSmallFile(join(dir.path, 'link'), 10)).toBe('üüüüü')
  expect(() => readSmallFile(path, 9)).toThrow('is larger than 9 bytes')
})

test('readSmallFile says why a file cannot be read', async () => {
  await using dir = await openTempDir()
  await writeFile(join(dir.path, 'file'), 'x')
  await mkdir(join(dir.path, 'directory'))
  await symlink('nowhere', join(dir.path, 'dangling'))
  await symlink('loop', join(dir.path, 'loop'))
  const read = (name: string) => () => readSmallFile(join(dir.path, name), 10)
  expect(read('absent')).toThrow('cannot be read (ENOENT)')
  expect(read('dangling')).toThrow('cannot be read (ENOENT)')
  expect(read('loop')).toThrow('cannot be read (ELOOP)')
  expect(read('file/below')).toThrow('cannot be read (ENOTDIR)')
  expect(read('x'.repeat(300))).toThrow('cannot be read (ENAMETOOLONG)')
  expect(read('directory')).toThrow(/is not a regular file|cannot be read \(EISDIR\)/)
  expect(() => readSmallFile('/dev/zero', 10)).toThrow('is not a regular file')
})

test('readSmallFile does not wait for a pipe that nobody writes to', async () => {
  await using dir = await openTempDir()
  const path = join(dir.path, 'pipe')
  await runOrThrow(['mkfifo', path])
  const module = join(import.meta.dir, '..', '..', 'src', 'lib', 'small-file.ts')
  const script = `const { readSmallFile } = await import(process.argv[1]); try { readSmallFile(process.argv[2], 10) } catch (error) { console.log(error.message) }`
  await using child = openChild([process.execPath, '-e', script, module, path])
  const said = await waitFor('an answer', () => child.stdout(), { timeoutMs: 3000 })
  expect(said.trim()).toBe('is not a regular file')
})
