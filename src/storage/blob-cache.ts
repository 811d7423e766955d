/**
 * Blobs at hand: small ones in memory after their first use, all of them on disk, least recently used out first.
 *
 * Invariant: nothing unverified is handed out. A miss fills the cache first, once per digest however many ask, and no
 * client's connection has anything to do with it. Where the disk is full or read-only, memory takes its place, bounded.
 */

import { LRUCache } from 'lru-cache'
import { ChartRepoError } from '../errors.ts'
import type { Clock } from '../lib/clock.ts'
import { Limiter } from '../lib/limiter.ts'
import { SingleFlight } from '../lib/single-flight.ts'
import { limits } from '../limits.ts'
import type { Digest } from '../oci/digest.ts'
import { errorFields, type Log } from '../telemetry/log.ts'
import { BlobFiles, type BlobSize } from './blob-files.ts'
import { diskFaultCode } from './disk-fault.ts'
import { VerifyingReader } from './verifying-reader.ts'

export interface BlobCacheOptions {
  readonly dir: string
  /** Of all blobs on disk together; passed for a moment while a blob comes in. */
  readonly maxBytes: number
  readonly clock: Clock
  readonly log: Log
}

interface Entry {
  readonly size: number
  usedAt: number
  /** When the time stamp on disk was set. */
  touchedAt: number
  /** When the file itself was last about to be read, or handed out. */
  lentAt: number
  /** The state of the file in which this process has seen that its bytes are right. */
  verified: string | undefined
}

/** Fetches a blob; undefined when there is none. Called anew for each attempt. */
export type FetchBlob = () => Promise<ReadableStream<Uint8Array> | undefined>

export class BlobCache {
  readonly #files: BlobFiles
  readonly #options: BlobCacheOptions
  /** In the order of use, the longest unused first. */
  readonly #entries = new Map<Digest, Entry>()
  #totalBytes = 0
  readonly #hot = new LRUCache<Digest, Blob>({ maxSize: limits.maxHotBytes, sizeCalculation: (blob) => blob.size + 1 })
  /** By digest and size: who is told a wrong size of a blob must not get in the way of those who know the right one. */
  readonly #flights = new SingleFlight<string, Blob | undefined>()
  readonly #fills = new Limiter(limits.maxBlobFills)
  readonly #memoryFills = new Limiter(limits.maxMemoryFills)
  #diskFault: string | undefined
  #sweptAt = 0

  private constructor(options: BlobCacheOptions) {
    this.#options = options
    this.#files = new BlobFiles(options.dir)
  }

  /** Takes over what is on disk. A directory that cannot be read costs a warning, not the start. */
  static async open(options: BlobCacheOptions): Promise<BlobCache> {
    const cache = new BlobCache(options)
    try {
      for (const { digest, size, usedAt } of await cache.#files.scan()) {
        cache.#add(digest, { size, usedAt, touchedAt: usedAt, lentAt: 0, verified: undefined })
      }
    } catch (error) {
      cache.#noteDiskFault(error)
    }
    await cache.#evict()
    return cache
  }

  /**
   * The verified bytes of `blob`, from the cache or fetched into it; undefined when the fetch finds none.
   * @throws what fetching fails with, or STORAGE_FULL when neither disk nor memory can take it.
   */
  async open(blob: BlobSize, fetchBlob: FetchBlob): Promise<Blob | undefined> {
    const hot = this.#hot.get(blob.digest)
    if (hot !== undefined) {
      if (hot.size !== blob.size) throw wrongSize(blob, hot.size)
      this.#use(blob.digest)
      return hot
    }
    return await this.#flights.run(
      `${blob.digest} ${blob.size}`,
      async () => (await this.#load(blob)) ?? (await this.#fills.run(() => this.#fill(blob, fetchBlob))),
    )
  }

  /**
   * From disk; undefined when it is not there or no longer what it was.
   * @throws DIGEST_MISMATCH when it is there and has another size than `blob` says.
   */
  async #load(blob: BlobSize): Promise<Blob | undefined> {
    const { digest } = blob
    try {
      const state = await this.#files.state(digest)
      if (state === undefined) {
        this.#forget(digest)
        return undefined
      }
      // From here on it must not be evicted: it is about to be read.
      const entry = this.#hold({ digest, size: state.size })
      if (entry.verified !== state.stamp && !(await this.#files.verify(digest))) {
        this.#options.log.warn('cached blob was damaged; it is fetched again', { digest })
        this.#forget(digest)
        await this.#files.remove(digest)
        return undefined
      }
      entry.verified = state.stamp
      if (state.size !== blob.size) throw wrongSize(blob, state.size)
      return await this.#lend(blob, state.stamp)
    } catch (error) {
      if (error instanceof ChartRepoError) throw error
      this.#noteDiskFault(error)
      return undefined
    }
  }

  /** Connecting is retried by whoever fetches; here only a body that breaks off is asked for again. */
  async #fill(blob: BlobSize, fetchBlob: FetchBlob): Promise<Blob | undefined> {
    for (let attempt = 1; ; attempt++) {
      const body = await fetchBlob()
      if (body === undefined) return undefined
      try {
        return await this.#take(blob, body, fetchBlob)
      } catch (error) {
        const retryable = error instanceof ChartRepoError && error.retryable
        if (!retryable || attempt === limits.maxBlobAttempts) throw error
      }
    }
  }

  async #take(blob: BlobSize, body: ReadableStream<Uint8Array>, fetchBlob: FetchBlob): Promise<Blob | undefined> {
    try {
      await this.#files.write(blob, body)
    } catch (error) {
      if (diskFaultCode(error) === undefined) throw error
      this.#noteDiskFault(error)
      return await this.#memoryFills.run(() => this.#fillMemory(blob, fetchBlob))
    }
    if (this.#diskFault !== undefined) this.#options.log.info('cache directory can be written again')
    this.#diskFault = undefined
    const state = await this.#files.state(blob.digest)
    const lent = await this.#lend(blob, state?.stamp)
    await this.#evict()
    return lent
  }

  async #fillMemory(blob: BlobSize, fetchBlob: FetchBlob): Promise<Blob | undefined> {
    if (blob.size >= limits.maxHotBytes) {
      throw new ChartRepoError(
        'STORAGE_FULL',
        `Cannot keep blob ${blob.digest}: the cache directory cannot be written, and ${blob.size} bytes are too many for memory`,
      )
    }
    const body = await fetchBlob()
    if (body === undefined) return undefined
    const chunks: Uint8Array[] = []
    for await (const chunk of new VerifyingReader(blob, body)) chunks.push(chunk)
    const held = new Blob(chunks as BlobPart[])
    this.#hot.set(blob.digest, held)
    return held
  }

  /** A blob that is on disk and verified in the state `stamp`, as what a response is made of. */
  async #lend(blob: BlobSize, stamp: string | undefined): Promise<Blob> {
    const { digest, size } = blob
    const entry = this.#hold(blob)
    entry.verified = stamp
    this.#use(digest)
    const file = Bun.file(this.#files.path(digest))
    if (size > limits.maxHotBlobBytes) return file
    const held = new Blob([await file.bytes()])
    this.#hot.set(digest, held)
    entry.lentAt = 0
    return held
  }

  /** The blob's entry, safe from eviction for a while. */
  #hold({ digest, size }: BlobSize): Entry {
    const now = this.#options.clock.now()
    const entry = this.#entries.get(digest) ?? { size, usedAt: now, touchedAt: now, lentAt: now, verified: undefined }
    entry.lentAt = now
    if (!this.#entries.has(digest)) this.#add(digest, entry)
    return entry
  }

  #add(digest: Digest, entry: Entry): void {
    this.#entries.set(digest, entry)
    this.#totalBytes += entry.size
  }

  #forget(digest: Digest): void {
    const entry = this.#entries.get(digest)
    if (entry === undefined) return
    this.#entries.delete(digest)
    this.#totalBytes -= entry.size
  }

  /** Moves a blob to the end of the line. */
  #use(digest: Digest): void {
    const entry = this.#entries.get(digest)
    if (entry === undefined) return
    const now = this.#options.clock.now()
    entry.usedAt = now
    this.#entries.delete(digest)
    this.#entries.set(digest, entry)
    if (now - entry.touchedAt < limits.touchIntervalMs) return
    entry.touchedAt = now
    this.#files.touch(digest, now).catch((error: unknown) => this.#noteDiskFault(error))
  }

  async #evict(): Promise<void> {
    await this.#sweep()
    const lentSince = this.#options.clock.now() - limits.evictionGraceMs
    for (const [digest, entry] of this.#entries) {
      if (this.#totalBytes <= this.#options.maxBytes) return
      if (entry.lentAt > lentSince) continue
      try {
        await this.#files.remove(digest)
        this.#forget(digest)
      } catch (error) {
        this.#noteDiskFault(error)
        return
      }
    }
  }

  /** Now and then removes what killed processes left unfinished. */
  async #sweep(): Promise<void> {
    const now = this.#options.clock.now()
    if (now - this.#sweptAt < limits.stalePartFileMs) return
    this.#sweptAt = now
    try {
      await this.#files.sweep(now)
    } catch (error) {
      this.#noteDiskFault(error)
    }
  }

  #noteDiskFault(error: unknown): void {
    const code = diskFaultCode(error) ?? 'unknown'
    if (this.#diskFault !== code) {
      this.#options.log.warn('cache directory cannot be used; charts are served from memory', {
        dir: this.#options.dir,
        code,
        ...errorFields(error),
      })
    }
    this.#diskFault = code
  }
}

function wrongSize({ digest, size }: BlobSize, actual: number): ChartRepoError {
  return new ChartRepoError(
    'DIGEST_MISMATCH',
    `Cannot use blob ${digest}: it has ${actual} bytes, ${size} were promised`,
  )
}
