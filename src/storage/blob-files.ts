/**
 * Content-addressed files: `<dir>/sha256/ab/abcdef…`, each written beside its target as `.<hex>.<random>.part`,
 * verified while it is written, synced, and renamed.
 *
 * Invariant: whatever is under a final name had its digest when it was written, at every instant, crash or not.
 */

import type { Stats } from 'node:fs'
import { mkdir, open, readdir, rename, stat, unlink, utimes } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { errorCode } from '../lib/error-code.ts'
import { limits } from '../limits.ts'
import { type Digest, digestAlgorithm, digestHex, isDigest } from '../oci/digest.ts'
import { syncPath } from './sync-path.ts'
import { digestOf, VerifyingReader } from './verifying-reader.ts'

export interface BlobSize {
  readonly digest: Digest
  /** Bytes. */
  readonly size: number
}

export interface FoundBlob extends BlobSize {
  /** Milliseconds since the epoch. */
  readonly usedAt: number
}

export class BlobFiles {
  readonly #dir: string

  constructor(dir: string) {
    this.#dir = dir
  }

  path(digest: Digest): string {
    const hex = digestHex(digest)
    return join(this.#dir, digestAlgorithm(digest), hex.slice(0, 2), hex)
  }

  /** The size of a blob's file, and what tells this state of it from another; undefined when there is none. */
  async state(digest: Digest): Promise<{ readonly size: number; readonly stamp: string } | undefined> {
    try {
      const { size, ino, mtimeMs } = await stat(this.path(digest))
      return { size, stamp: `${ino} ${mtimeMs}` }
    } catch (error) {
      if (isAbsence(error)) return undefined
      throw error
    }
  }

  /** Whether the bytes on disk still hash to their name. */
  async verify(digest: Digest): Promise<boolean> {
    return (await digestOf(Bun.file(this.path(digest)).stream(), digestAlgorithm(digest))) === digest
  }

  /**
   * Writes a blob durably.
   * @throws DIGEST_MISMATCH or what reading fails with; a system error when the disk cannot take it. Nothing is left.
   */
  async write(blob: BlobSize, body: ReadableStream<Uint8Array>): Promise<void> {
    const path = this.path(blob.digest)
    const part = join(dirname(path), `.${digestHex(blob.digest)}.${crypto.randomUUID()}.part`)
    const source = new VerifyingReader(blob, body)
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 })
      const file = await open(part, 'wx', 0o600)
      try {
        for await (const chunk of source) await file.writeFile(chunk)
        await file.sync()
      } finally {
        await file.close()
      }
      await rename(part, path)
      await syncPath(dirname(path))
    } catch (error) {
      await source.cancel()
      await removeFile(part)
      throw error
    }
  }

  async remove(digest: Digest): Promise<void> {
    await removeFile(this.path(digest))
  }

  /** Notes the use of a blob where the next start finds it. */
  async touch(digest: Digest, usedAt: number): Promise<void> {
    await utimes(this.path(digest), usedAt / 1000, usedAt / 1000)
  }

  /** Every blob on disk, the least recently used first. */
  async scan(): Promise<readonly FoundBlob[]> {
    const found: FoundBlob[] = []
    for (const { digest, path } of await this.#list()) {
      const file = await tryStat(path)
      if (isDigest(digest) && file?.isFile() === true) found.push({ digest, size: file.size, usedAt: file.mtimeMs })
    }
    return found.sort((a, b) => a.usedAt - b.usedAt)
  }

  /** Removes unfinished files that nobody can be writing any more. */
  async sweep(now: number): Promise<void> {
    for (const { digest, path } of await this.#list()) {
      if (isDigest(digest) || !path.endsWith('.part')) continue
      const file = await tryStat(path)
      if (file !== undefined && now - file.mtimeMs > limits.stalePartFileMs) await removeFile(path)
    }
  }

  /** All files; `digest` is what their place and name would say. */
  async #list(): Promise<{ readonly digest: string; readonly path: string }[]> {
    const files: { digest: string; path: string }[] = []
    for (const algorithm of ['sha256', 'sha512']) {
      for (const shard of await readDirectory(join(this.#dir, algorithm))) {
        const names = await readDirectory(join(this.#dir, algorithm, shard))
        for (const name of names)
          files.push({ digest: `${algorithm}:${name}`, path: join(this.#dir, algorithm, shard, name) })
      }
    }
    return files
  }
}

/** undefined for what vanished since it was listed, and for a link that leads nowhere. */
async function tryStat(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path)
  } catch (error) {
    if (isAbsence(error)) return undefined
    throw error
  }
}

/** The names in a directory; none where there is no such directory yet. */
async function readDirectory(path: string): Promise<string[]> {
  try {
    return await readdir(path)
  } catch (error) {
    if (isAbsence(error)) return []
    throw error
  }
}

async function removeFile(path: string): Promise<void> {
  try {
    await unlink(path)
  } catch (error) {
    if (!isAbsence(error)) throw error
  }
}

function isAbsence(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes(errorCode(error))
}
