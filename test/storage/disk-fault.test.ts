/** Which errors are the disk's. */
import { expect, test } from 'bun:test'
import { ChartRepoError } from '../../src/errors.ts'
import { diskFaultCode } from '../../src/storage/disk-fault.ts'

/** Failed system calls say which call it was; SQLite's errors and the network's do not. */
const fault = (code: unknown) => Object.assign(new Error('x'), { code })
const systemFault = (code: string) => Object.assign(fault(code), { syscall: 'write' })

test.each([
  'ENOSPC',
  'EDQUOT',
  'EROFS',
  'EACCES',
  'EIO',
  'EMFILE',
  'EFBIG',
  'ENOTDIR',
  'SQLITE_FULL',
  'SQLITE_READONLY_DIRECTORY',
])('diskFaultCode knows %s', (code) => {
  expect(diskFaultCode(code.startsWith('SQLITE_') ? fault(code) : systemFault(code))).toBe(code)
})

test('diskFaultCode leaves all others', () => {
  const others = [
    fault('ECONNRESET'),
    fault(28),
    fault(undefined),
    new Error('ENOSPC'),
    new ChartRepoError('STORAGE_FULL', 'x'),
    null,
    'ENOSPC',
  ]
  expect(others.map(diskFaultCode)).toEqual(others.map(() => undefined))
})
