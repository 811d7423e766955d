/** The code a runtime error carries: `ENOENT`, `ECONNRESET`, `SQLITE_FULL`; empty when it has none. */
export function errorCode(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('code' in error)) return ''
  return typeof error.code === 'string' ? error.code : ''
}
