/** What the disk does is told in the terms of the product; what the program did wrong is not. */
import { describe, expect, test } from 'bun:test'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ChartRepoError } from '../../src/errors.ts'
import { toStorageFault, withStorageFaults } from '../../src/storage/storage-fault.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { rejection } from '../upstream/fake-send.ts'

const failed = (code: string, syscall = 'write') => Object.assign(new Error('it failed'), { code, syscall })

describe('toStorageFault', () => {
  test.each(['ENOSPC', 'EDQUOT'])('%s: there is no room', (code) => {
    const cause = failed(code)
    expect(toStorageFault(cause)).toMatchObject({ code: 'STORAGE_FULL', cause })
  })

  test.each(['EACCES', 'EROFS', 'EPERM', 'EIO', 'ENOENT'])('%s: it cannot be used', (code) => {
    const cause = failed(code)
    expect(toStorageFault(cause)).toMatchObject({ code: 'STORAGE_DENIED', cause })
  })

  test('what has a name already, and what is no doing of the disk, stays as it is', () => {
    for (const error of [
      new ChartRepoError('UPLOAD_UNKNOWN', 'none'),
      new TypeError('x is not a function'),
      Object.assign(new Error('no system call'), { code: 'ENOSPC' }),
      undefined,
      'text',
    ])
      expect(toStorageFault(error)).toBe(error)
  })
})

describe('withStorageFaults', () => {
  test('gives what the work gives', async () => {
    expect(await withStorageFaults(async () => 5)).toBe(5)
  })

  test('translates what a real system call is refused with', async () => {
    await using temp = await openTempDir()
    const error = await rejection(withStorageFaults(() => readFile(join(temp.path, 'none'))))
    expect(error).toMatchObject({ code: 'STORAGE_DENIED', cause: { code: 'ENOENT' } })
  })
})
