/**
 * The blobs of image layouts, as they are read: small ones in memory after their first use, all of them on disk. The
 * file is the truth, whoever wrote or removed it: what is in memory is handed out as long as its file is there.
 */

import { accessSync, constants, unlinkSync, utimesSync } from 'node:fs'
import { copyFile, link, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { LRUCache } from 'lru-cache'
import { ChartRepoError } from '../errors.ts'
import type { Clock } from '../lib/clock.ts'
import { errorCode } from '../lib/error-code.ts'
import { limits } from '../limits.ts'
import { type Digest, digestAlgorithm, digestBytes } from '../oci/digest.ts'
import { type FileStamp, isSameStamp, stampOf } from './file-stamp.ts'
import type { ImageLayout } from './image-layout.ts'
import { withReadFaults } from './storage-fault.ts'
import { syncPath } from './sync-path.ts'
import { digestOf } from './verifying-reader.ts'

export interface LayoutBlobsOptions {
  /** Where files are made that are to be renamed into a layout. */
  readonly draftsDir: string
  /** A time stamp that is younger is not renewed, in milliseconds. */
  readonly touchIntervalMs: number
  readonly clock: Clock
}

/** Read-only, or somebody else's file. */
const UNTOUCHABLE = ['EROFS', 'EACCES', 'EPERM', 'ENOENT']

export class LayoutBlobs {
  readonly #options: LayoutBlobsOptions
  readonly #hot = new LRUCache<Digest, Blob>({ maxSize: limits.maxHotBytes, sizeCalculation: (blob) => blob.size + 1 })
  /** Large files that were seen to be what their names say, in the state in which they were. */
  readonly #verified = new LRUCache<Digest, FileStamp>({ max: limits.maxVerifiedBlobs })

  constructor(options: LayoutBlobsOptions) {
    this.#options = options
  }

  /** Bytes; undefined when the layout has no such blob. */
  size(layout: ImageLayout, digest: Digest): number | undefined {
    return stampOf(layout.blobPath(digest))?.size
  }

  /**
   * Its bytes; those of small blobs are sure to be what the digest says.
   * @throws LAYOUT_DAMAGED when they are not
   */
  async open(layout: ImageLayout, digest: Digest): Promise<Blob | undefined> {
    const path = layout.blobPath(digest)
    const stamp = stampOf(path)
    if (stamp === undefined) return undefined
    const hot = this.#hot.get(digest)
    if (hot?.size === stamp.size) return hot
    if (stamp.size > limits.maxHotBlobBytes) {
      await withReadFaults(async () => accessSync(path, constants.R_OK), `The file of blob ${digest}`)
      return Bun.file(path)
    }
    const bytes = await readAll(path, digest)
    if (bytes === undefined) return undefined
    if (digestBytes(bytes, digestAlgorithm(digest)) !== digest) throw damaged(digest)
    return this.hold(digest, bytes)
  }

  /**
   * As `open`, and large ones are sure to be what the digest says too.
   * @throws LAYOUT_DAMAGED
   */
  async openVerified(layout: ImageLayout, digest: Digest): Promise<Blob | undefined> {
    const blob = await this.open(layout, digest)
    const path = layout.blobPath(digest)
    const stamp = stampOf(path)
    if (blob === undefined || stamp === undefined || blob.size <= limits.maxHotBlobBytes) return blob
    const known = this.#verified.get(digest)
    if (known !== undefined && isSameStamp(known, stamp)) return blob
    if ((await digestOf(Bun.file(path).stream(), digestAlgorithm(digest))) !== digest) throw damaged(digest)
    this.#verified.set(digest, stamp)
    return blob
  }

  /**
   * All bytes of a blob that is small, sure to be what the digest says, for somebody who reads it once: they are not kept
   * for others.
   * @throws LAYOUT_DAMAGED when they are not, or are more than `maxBytes`
   */
  async read(layout: ImageLayout, digest: Digest, maxBytes: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const path = layout.blobPath(digest)
    const stamp = stampOf(path)
    if (stamp === undefined) return undefined
    if (stamp.size > maxBytes) throw new ChartRepoError('LAYOUT_DAMAGED', `Blob ${digest} is too large to be read`)
    const hot = this.#hot.peek(digest)
    if (hot?.size === stamp.size) return await hot.bytes()
    const bytes = await readAll(path, digest)
    if (bytes !== undefined && digestBytes(bytes, digestAlgorithm(digest)) !== digest) throw damaged(digest)
    return bytes
  }

  /** Keeps bytes in memory that are known to be the blob's, for the next reader. */
  hold(digest: Digest, bytes: Uint8Array<ArrayBuffer>): Blob {
    const blob = new Blob([bytes])
    this.#hot.set(digest, blob)
    return blob
  }

  /**
   * Puts off the time at which the blob may be collected when nothing refers to it: somebody was told that it is there.
   * A time stamp that was set lately is left as it is.
   */
  touch(layout: ImageLayout, digest: Digest): void {
    const path = layout.blobPath(digest)
    const stamp = stampOf(path)
    const { clock, touchIntervalMs } = this.#options
    const now = clock.now()
    if (stamp === undefined || now - Number(stamp.modifiedAt / 1_000_000n) < touchIntervalMs) return
    const known = this.#verified.get(digest)
    // Where that cannot be, it is not collected by this server either.
    setTime(path, now)
    const touched = stampOf(path)
    // It is what it was but for its time: nothing that would have to be hashed again.
    if (known !== undefined && touched !== undefined && isSameStamp(known, stamp)) this.#verified.set(digest, touched)
  }

  /** Gives `to` the blob of `from`, by a hard link where the file system has them. Whether `from` has it. */
  async mount(from: ImageLayout, to: ImageLayout, digest: Digest): Promise<boolean> {
    const source = from.blobPath(digest)
    if (stampOf(source) === undefined) return false
    if (stampOf(to.blobPath(digest)) === undefined) {
      const draft = join(this.#options.draftsDir, crypto.randomUUID())
      // A link has the time of its file: it must not look unused in its new place.
      this.touch(from, digest)
      try {
        await linkOrCopy(source, draft)
        await to.adopt(draft, digest)
      } catch (error) {
        if (errorCode(error) === 'ENOENT') return false
        throw error
      } finally {
        // Renaming does nothing where two names of one file are there already.
        await unlink(draft).catch(() => undefined)
      }
    }
    this.touch(to, digest)
    return true
  }

  /** Whether it was there. */
  async remove(layout: ImageLayout, digest: Digest): Promise<boolean> {
    try {
      await unlink(layout.blobPath(digest))
      return true
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return false
      throw error
    }
  }

  /** Removes it if it was last written or asked for before `since`, in milliseconds: in one step, so that nobody is told of it in between. */
  removeUnused(layout: ImageLayout, digest: Digest, since: number): boolean {
    const path = layout.blobPath(digest)
    const stamp = stampOf(path)
    if (stamp === undefined) return false
    const usedAt = Number(stamp.modifiedAt / 1_000_000n)
    // What cannot be touched may have been asked for at any time.
    if (usedAt >= since || !setTime(path, usedAt)) return false
    unlinkSync(path)
    return true
  }
}

/** Whether it could be. */
function setTime(path: string, atMs: number): boolean {
  try {
    utimesSync(path, atMs / 1000, atMs / 1000)
    return true
  } catch (error) {
    if (UNTOUCHABLE.includes(errorCode(error))) return false
    throw error
  }
}

async function linkOrCopy(source: string, target: string): Promise<void> {
  try {
    await link(source, target)
  } catch (error) {
    // No hard links on this file system, or as many as the file can have.
    if (errorCode(error) === 'ENOENT') throw error
    await copyFile(source, target)
    await syncPath(target)
  }
}

function readAll(path: string, digest: Digest): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const read = () =>
    Bun.file(path)
      .bytes()
      .catch((error: unknown) => {
        if (errorCode(error) === 'ENOENT') return undefined
        throw error
      })
  return withReadFaults(read, `The file of blob ${digest}`)
}

function damaged(digest: Digest): ChartRepoError {
  return new ChartRepoError('LAYOUT_DAMAGED', `The file of blob ${digest} does not have the bytes of its name`)
}
