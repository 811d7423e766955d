/** What tells one state of a file from another. */
import { afterEach, describe, expect, setSystemTime, test } from 'bun:test'
import { rename, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isSameStamp, isSettled, stampOf } from '../../src/storage/file-stamp.ts'
import { openTempDir } from '../stand/temp-dir.ts'

afterEach(() => void setSystemTime())

function stamp(path: string) {
  const found = stampOf(path)
  if (found === undefined) throw new Error(`${path} was to be there`)
  return found
}

describe('stampOf', () => {
  test('is the same for a file that nobody touched', async () => {
    await using temp = await openTempDir()
    const path = join(temp.path, 'file')
    await writeFile(path, 'one')
    expect(isSameStamp(stamp(path), stamp(path))).toBe(true)
    expect(stamp(path).size).toBe(3)
  })

  test('differs for another size, another time and another file in its place', async () => {
    await using temp = await openTempDir()
    const [path, other] = [join(temp.path, 'file'), join(temp.path, 'other')]
    const write = async (name: string, text: string, at: number) => {
      await writeFile(name, text)
      await utimes(name, at, at)
    }
    await write(path, 'one', 1000)
    const first = stamp(path)
    await write(path, 'more', 1000)
    expect(isSameStamp(first, stamp(path))).toBe(false)
    await write(path, 'one', 1001)
    expect(isSameStamp(first, stamp(path))).toBe(false)
    await write(path, 'one', 1000)
    expect(isSameStamp(first, stamp(path))).toBe(true)
    await write(other, 'one', 1000)
    await rename(other, path)
    expect(isSameStamp(first, stamp(path))).toBe(false)
  })

  test('is undefined where there is nothing, below a file, and for a link that leads nowhere', async () => {
    await using temp = await openTempDir()
    const path = join(temp.path, 'file')
    await writeFile(path, '')
    await symlink('nowhere', join(temp.path, 'link'))
    expect(stampOf(join(temp.path, 'none'))).toBeUndefined()
    expect(stampOf(join(path, 'below'))).toBeUndefined()
    expect(stampOf(join(temp.path, 'link'))).toBeUndefined()
  })

  test('throws what is neither', async () => {
    await using temp = await openTempDir()
    await symlink('loop', join(temp.path, 'loop'))
    expect(() => stampOf(join(temp.path, 'loop'))).toThrow(expect.objectContaining({ code: 'ELOOP' }))
  })
})

test('isSettled: a state is settled when the next one cannot have the same time', async () => {
  await using temp = await openTempDir()
  const path = join(temp.path, 'file')
  await writeFile(path, '')
  await utimes(path, 1000, 1000)
  for (const [now, expected] of [
    // The file is of the future: a clock was set back, or a backup was played in.
    [999_949, true],
    [999_950, false],
    [1_000_000, false],
    [1_000_050, false],
    [1_000_051, true],
  ] as const) {
    setSystemTime(now)
    expect(isSettled(stamp(path))).toBe(expected)
  }
})
