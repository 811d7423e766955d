/** Reading a file somebody named: a regular one, and never more of it than the bound. */

import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import { errorCode } from './error-code.ts'

/**
 * The text of a file of at most `maxBytes`.
 * @throws an Error whose message completes a sentence that names the file: `cannot be read (ENOENT)`.
 */
export function readSmallFile(path: string, maxBytes: number): string {
  let file: number
  try {
    // Opening a pipe would otherwise wait for somebody to write to it.
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (cause) {
    throw new Error(`cannot be read (${errorCode(cause)})`, { cause })
  }
  try {
    const stat = fstatSync(file)
    // A device or a pipe has no size that could be believed.
    if (!stat.isFile()) throw new Error('is not a regular file')
    if (stat.size > maxBytes) throw new Error(`is larger than ${maxBytes} bytes`)
    return readFileSync(file, 'utf8')
  } finally {
    closeSync(file)
  }
}
