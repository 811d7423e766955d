/**
 * Uploads under way, each a file under `<root>/.uploads` that grows as bytes arrive and is hashed as it grows. A finished
 * one is renamed to its place; one that nobody has touched for a while is removed, as are all at a start.
 *
 * Invariant: what an upload has is what was written and hashed, also when a body breaks off in the middle.
 */

import { accessSync, constants, utimesSync } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, rm, statfs, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { ChartRepoError, isChartRepoError } from '../errors.ts'
import type { Clock } from '../lib/clock.ts'
import { errorCode } from '../lib/error-code.ts'
import { limits } from '../limits.ts'
import { type Digest, type DigestAlgorithm, digestAlgorithm } from '../oci/digest.ts'
import type { Chunk, UploadProgress } from '../oci/registry-store.ts'
import { digestOf } from './verifying-reader.ts'

interface Upload {
  readonly id: string
  readonly repository: string
  readonly path: string
  /** Of what is written; replaced as long as nothing is. */
  algorithm: DigestAlgorithm
  hasher: Bun.CryptoHasher
  size: number
  usedAt: number
  isBusy: boolean
  isCancelled: boolean
}

export class UploadFiles {
  readonly dir: string
  readonly #clock: Clock
  readonly #uploads = new Map<string, Upload>()

  constructor(dir: string, clock: Clock) {
    this.dir = dir
    this.#clock = clock
  }

  /** Makes the directory, if there is none. @throws a system error when it cannot be written */
  async makeDirectory(): Promise<void> {
    await mkdir(this.dir, { recursive: true, mode: 0o700 })
    accessSync(this.dir, constants.W_OK)
  }

  /** Makes the directory, and removes what is in it: what an earlier run has left, and what this one thought to have. */
  async clear(): Promise<void> {
    await this.makeDirectory()
    for (const upload of this.#uploads.values()) upload.isCancelled = true
    this.#uploads.clear()
    for (const name of await readdir(this.dir)) await rm(join(this.dir, name), { recursive: true, force: true })
  }

  /** @throws TOO_MANY_UPLOADS */
  async begin(repository: string, algorithm: DigestAlgorithm): Promise<UploadProgress> {
    if (this.#uploads.size >= limits.maxUploads) await this.expire()
    if (this.#uploads.size >= limits.maxUploads) {
      const message = `There are ${limits.maxUploads} uploads under way, which is as many as may be`
      throw new ChartRepoError('TOO_MANY_UPLOADS', message, { retryable: true })
    }
    // Said now, and not when the client has begun to send.
    accessSync(this.dir, constants.W_OK)
    const id = crypto.randomUUID()
    const hasher = new Bun.CryptoHasher(algorithm)
    const usedAt = this.#clock.now()
    const path = join(this.dir, id)
    this.#uploads.set(id, {
      id,
      repository,
      path,
      algorithm,
      hasher,
      size: 0,
      usedAt,
      isBusy: false,
      isCancelled: false,
    })
    return { id, size: 0 }
  }

  progress(repository: string, id: string): UploadProgress {
    const { size } = this.#find(repository, id)
    return { id, size }
  }

  /** @throws UPLOAD_UNKNOWN, UPLOAD_OUT_OF_ORDER, UPLOAD_INVALID */
  async append(repository: string, id: string, chunk: Chunk): Promise<UploadProgress> {
    const upload = this.#find(repository, id)
    return await this.#use(upload, async () => {
      await this.#write(upload, chunk, false)
      return { id, size: upload.size }
    })
  }

  /**
   * Adds the last chunk and hands over a file that is whole, synced and has `digest`; `adopt` moves it away.
   * @throws DIGEST_INVALID, and then the upload is gone; what `append` throws
   */
  async finish(
    repository: string,
    id: string,
    { digest, ...chunk }: Chunk & { readonly digest: Digest },
    adopt: (path: string) => Promise<void>,
  ): Promise<void> {
    const upload = this.#find(repository, id)
    await this.#use(upload, async () => {
      const algorithm = digestAlgorithm(digest)
      if (upload.size === 0 && upload.algorithm !== algorithm) {
        upload.algorithm = algorithm
        upload.hasher = new Bun.CryptoHasher(algorithm)
      }
      await this.#write(upload, chunk, true)
      const actual =
        upload.algorithm === algorithm
          ? `${algorithm}:${upload.hasher.copy().digest('hex')}`
          : await digestOf(Bun.file(upload.path).stream(), algorithm)
      if (actual !== digest) {
        await this.#remove(upload)
        throw new ChartRepoError('DIGEST_INVALID', `The bytes that were pushed are ${actual}, ${digest} was promised`)
      }
      try {
        // The age of a blob is the time since somebody was told of it, however long the upload took.
        const now = this.#clock.now() / 1000
        utimesSync(upload.path, now, now)
        await adopt(upload.path)
      } catch (error) {
        // How far it came nobody knows: what is pushed again begins anew.
        await this.#remove(upload)
        throw upload.isCancelled ? unknownUpload() : error
      }
      this.#uploads.delete(id)
    })
  }

  async cancel(repository: string, id: string): Promise<void> {
    const upload = this.#find(repository, id)
    upload.isCancelled = true
    await this.#remove(upload)
  }

  /** Removes uploads that nobody has touched for long. */
  async expire(): Promise<void> {
    const since = this.#clock.now() - limits.uploadIdleMs
    for (const upload of this.#uploads.values()) {
      // Asked of each in its turn: somebody may come back to it while others are removed.
      if (!upload.isBusy && upload.usedAt < since) await this.#remove(upload)
    }
  }

  #find(repository: string, id: string): Upload {
    const upload = this.#uploads.get(id)
    if (upload?.repository === repository) return upload
    throw unknownUpload()
  }

  /** One request at a time: two that write would mix their bytes. */
  async #use<T>(upload: Upload, work: () => Promise<T>): Promise<T> {
    if (upload.isBusy) throw new ChartRepoError('UPLOAD_INVALID', 'Another request is writing to this upload')
    upload.isBusy = true
    try {
      return await work()
    } finally {
      upload.isBusy = false
      upload.usedAt = this.#clock.now()
      // Its file may have been made after it was cancelled.
      if (upload.isCancelled) await this.#remove(upload)
    }
  }

  async #write(upload: Upload, { body, start, length }: Chunk, isLast: boolean): Promise<void> {
    if (start !== undefined && start !== upload.size) {
      const message = `The upload has ${upload.size} bytes, and the chunk begins at ${start}`
      throw new ChartRepoError('UPLOAD_OUT_OF_ORDER', message)
    }
    if (body === null && !isLast) return
    await this.#checkRoom(length)
    const before = upload.size
    // What has begun is never made anew: the bytes before these would be missing from it.
    const file = await open(upload.path, before === 0 ? 'w' : constants.O_WRONLY | constants.O_APPEND)
    try {
      await copyInto(upload, file, body)
      if (isLast) await file.sync()
    } catch (error) {
      // What is in the file is no longer what was hashed.
      if (!isChartRepoError(error, 'UPLOAD_INVALID')) await this.#remove(upload)
      throw error
    } finally {
      await file.close()
    }
    if (upload.isCancelled) throw unknownUpload()
    const received = upload.size - before
    if (length !== undefined && received !== length) {
      throw new ChartRepoError('UPLOAD_INVALID', `The chunk was to have ${length} bytes, and ${received} came`)
    }
  }

  /** Refuses what cannot end well before it is read. @throws STORAGE_FULL */
  async #checkRoom(length = 0): Promise<void> {
    if (length < limits.minCheckedChunkBytes) return
    const { bavail, bsize } = await statfs(this.dir)
    if (bavail * bsize >= length) return
    throw new ChartRepoError('STORAGE_FULL', `There is room for ${bavail * bsize} bytes, and ${length} are to come`)
  }

  async #remove(upload: Upload): Promise<void> {
    this.#uploads.delete(upload.id)
    await unlink(upload.path).catch((error: unknown) => {
      // Nothing was written to it yet.
      if (errorCode(error) !== 'ENOENT') throw error
    })
  }
}

function unknownUpload(): ChartRepoError {
  return new ChartRepoError('UPLOAD_UNKNOWN', 'There is no such upload in this repository')
}

/** Writes each piece while the next one arrives, and lets the disk begin before there is all of it to be synced. */
async function copyInto(upload: Upload, file: FileHandle, body: ReadableStream<Uint8Array> | null): Promise<void> {
  let writing: Promise<void> = Promise.resolve()
  let syncing: Promise<void> | undefined
  let syncedSize = upload.size
  const write = async (piece: Uint8Array) => {
    const written = file.writeFile(piece)
    upload.hasher.update(piece)
    await written
    upload.size += piece.byteLength
    if (upload.size - syncedSize < limits.syncAheadBytes) return
    // One at a time: a disk that is slower than the client is waited for.
    await syncing
    syncedSize = upload.size
    syncing = file.datasync()
    syncing.catch(() => undefined)
  }
  try {
    for await (const piece of body ?? []) {
      await writing
      writing = write(piece)
      // It is looked at where it is waited for.
      writing.catch(() => undefined)
    }
  } catch (cause) {
    await writing
    await syncing
    throw new ChartRepoError('UPLOAD_INVALID', 'The body broke off', { cause })
  }
  await writing
  // What it failed with is told once, and not to the sync that follows.
  await syncing
}
