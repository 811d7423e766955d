/** Tells failures of the disk from all others. */

import { errorCode } from '../lib/error-code.ts'

/**
 * The code when `error` is the disk's doing (a system call that failed, or SQLite), such as `ENOSPC`; undefined
 * otherwise. Failures to read from the network never come here as they are: they were given a name of ours before.
 */
export function diskFaultCode(error: unknown): string | undefined {
  const code = errorCode(error)
  const isDisks = code.startsWith('SQLITE_') || (code !== '' && error instanceof Error && 'syscall' in error)
  return isDisks ? code : undefined
}
