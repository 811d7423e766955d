/** Tells failures of the disk from all others. */

/** System errors that mean "this directory cannot take the bytes", whatever the reason. */
const DISK_CODES = new Set([
  'ENOSPC',
  'EDQUOT',
  'EROFS',
  'EACCES',
  'EPERM',
  'EIO',
  'ENOTDIR',
  'ENOENT',
  'EMFILE',
  'ENFILE',
  'EFBIG',
])

/** The system's code when `error` is the disk's doing, such as `ENOSPC`; undefined otherwise. */
export function diskFaultCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined
  if (typeof error.code !== 'string') return undefined
  return DISK_CODES.has(error.code) || error.code.startsWith('SQLITE_') ? error.code : undefined
}
