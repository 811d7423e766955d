/**
 * Keeps garbage from piling up. The runtime lets it grow to as much as is in use, and on a machine with much memory it does
 * not mind; whoever runs this in a container of a few hundred megabytes does.
 */

import { memoryUsage } from 'bun:jsc'
import { limits } from '../limits.ts'

/**
 * Gives back at once what has just become garbage. Takes a millisecond for each thousand charts that are known, in which
 * nothing else happens: for moments after which tens of megabytes are of no use any more.
 */
export function collectGarbage(): void {
  Bun.gc(true)
}

/** Collects garbage whenever memory has grown by a share of what was left the last time. Returns what ends this. */
export function trimMemory(): () => void {
  let leftBytes = memoryUsage().current
  const timer = setInterval(() => {
    const { current } = memoryUsage()
    leftBytes = Math.min(leftBytes, current)
    if (current - leftBytes < Math.max(limits.minTrimBytes, leftBytes * limits.trimShare)) return
    collectGarbage()
    leftBytes = memoryUsage().current
  }, limits.trimIntervalMs)
  timer.unref()
  return () => clearInterval(timer)
}
