/** Tells failures of the disk from all others. */

/**
 * The code when `error` is the disk's doing (a system call that failed, or SQLite), such as `ENOSPC`; undefined
 * otherwise. Failures to read from the network never come here as they are: they were given a name of ours before.
 */
export function diskFaultCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return undefined
  return 'syscall' in error || error.code.startsWith('SQLITE_') ? error.code : undefined
}
