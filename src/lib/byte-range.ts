/** The Range header (RFC 9110, 14.2), single byte ranges only. */

export interface ByteRange {
  /** First byte. */
  readonly start: number
  /** One behind the last byte. */
  readonly end: number
}

/**
 * What a Range header asks of a body of `size` bytes: a range, `unsatisfiable` (answer 416), or undefined where the
 * header is absent, malformed, in another unit or asks for several ranges, which a server may answer in full. One that
 * ends before it begins can be satisfied no more than one behind the end (as nginx and Go have it).
 */
export function parseByteRange(header: string | null, size: number): ByteRange | 'unsatisfiable' | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? '')
  const first = match?.[1] ?? ''
  const last = match?.[2] ?? ''
  if (match === null || (first === '' && last === '')) return undefined
  if (first === '') {
    const length = Number(last)
    return length === 0 || size === 0 ? 'unsatisfiable' : { start: Math.max(0, size - length), end: size }
  }
  const start = Number(first)
  if (start >= size || (last !== '' && Number(last) < start)) return 'unsatisfiable'
  return { start, end: last === '' ? size : Math.min(Number(last) + 1, size) }
}
