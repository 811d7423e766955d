/**
 * What tells one state of a file or a directory from another without reading it. Asking is synchronous: it costs less
 * than a turn of the event loop.
 */

import { statSync } from 'node:fs'

export interface FileStamp {
  readonly inode: bigint
  /** Bytes. */
  readonly size: number
  /** Nanoseconds since the epoch. */
  readonly modifiedAt: bigint
}

/** File systems keep time in steps of some milliseconds: what changes twice within one looks the same. */
const COARSEST_STEP_MS = 50

/** undefined where there is nothing. */
export function stampOf(path: string): FileStamp | undefined {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false })
  return stat && { inode: stat.ino, size: Number(stat.size), modifiedAt: stat.mtimeNs }
}

export function isSameStamp(a: FileStamp, b: FileStamp): boolean {
  return a.modifiedAt === b.modifiedAt && a.inode === b.inode && a.size === b.size
}

/** Whether a later change is sure to give another stamp. */
export function isSettled({ modifiedAt }: FileStamp): boolean {
  return Date.now() - Number(modifiedAt / 1_000_000n) > COARSEST_STEP_MS
}
