/**
 * What tells one state of a file or a directory from another without reading it. Asking is synchronous: it costs less
 * than a turn of the event loop.
 */

import { statSync } from 'node:fs'
import { errorCode } from '../lib/error-code.ts'
import { limits } from '../limits.ts'

export interface FileStamp {
  readonly inode: bigint
  /** Bytes. */
  readonly size: number
  /** Nanoseconds since the epoch. */
  readonly modifiedAt: bigint
}

/** undefined where there is nothing. */
export function stampOf(path: string): FileStamp | undefined {
  try {
    const stat = statSync(path, { bigint: true, throwIfNoEntry: false })
    return stat && { inode: stat.ino, size: Number(stat.size), modifiedAt: stat.mtimeNs }
  } catch (error) {
    // Below a file there is nothing either.
    if (errorCode(error) === 'ENOTDIR') return undefined
    throw error
  }
}

export function isSameStamp(a: FileStamp, b: FileStamp): boolean {
  return a.modifiedAt === b.modifiedAt && a.inode === b.inode && a.size === b.size
}

/** Whether a later change is sure to give another stamp: to be asked before what it is the stamp of is read. */
export function isSettled({ modifiedAt }: FileStamp): boolean {
  return Math.abs(Date.now() - Number(modifiedAt / 1_000_000n)) > limits.coarsestFileTimeMs
}
