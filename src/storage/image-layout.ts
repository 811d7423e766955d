/**
 * One repository of the embedded registry: a directory that is an OCI image layout (image spec 1.1, image-layout.md).
 *
 *     <root>/charts/demo/oci-layout
 *     <root>/charts/demo/index.json
 *     <root>/charts/demo/blobs/sha256/<hex>
 *
 * Invariants: a blob is there before the index.json that names it, each replaced as a whole, so that what is on disk is
 * a valid layout at every instant. The file is the truth: what another tool writes is seen at the next look.
 */

import { mkdir, open, readdir, readFile, rename, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { ChartRepoError, isChartRepoError } from '../errors.ts'
import { errorCode } from '../lib/error-code.ts'
import { Turns } from '../lib/turns.ts'
import { limits } from '../limits.ts'
import { type Digest, type DigestAlgorithm, digestAlgorithm, digestHex, isDigest } from '../oci/digest.ts'
import type { DirectorySyncs } from './directory-syncs.ts'
import { diskFaultCode } from './disk-fault.ts'
import { type FileStamp, isSameStamp, isSettled, stampOf } from './file-stamp.ts'
import { type LayoutChanges, LayoutIndex } from './layout-index.ts'
import { withReadFaults } from './storage-fault.ts'

export interface ImageLayoutOptions {
  readonly dir: string
  /** Where files are made that are to be renamed into the layout; on the same file system. */
  readonly draftsDir: string
  readonly syncs: DirectorySyncs
  /** Told of every change made here, before whoever asked for it is. */
  readonly onChange: (before: LayoutIndex, after: LayoutIndex) => void
}

interface Change {
  readonly changes: LayoutChanges
  readonly resolve: (changed: boolean) => void
  readonly reject: (error: unknown) => void
}

interface Look {
  readonly stamp: FileStamp
  readonly index: LayoutIndex
  /** Whether any later change is sure to give another stamp; until then what was written here is taken for what is there. */
  readonly isSettled: boolean
}

const LAYOUT_FILE = JSON.stringify({ imageLayoutVersion: '1.0.0' })
const ALGORITHMS = ['sha256', 'sha512'] as const satisfies readonly DigestAlgorithm[]
export const LAYOUT_NAME = 'oci-layout'
export const INDEX_NAME = 'index.json'
export const BLOBS_NAME = 'blobs'

export class ImageLayout {
  /** Whoever writes or removes a blob that the index names, or is about to name, takes its turn. */
  readonly turns = new Turns<Digest>()
  readonly #options: ImageLayoutOptions
  #seen: Look | undefined
  #waiting: Change[] = []
  readonly #alone: (() => Promise<void>)[] = []
  #isWriting = false
  #making: Promise<void> | undefined

  constructor(options: ImageLayoutOptions) {
    this.#options = options
  }

  blobPath(digest: Digest): string {
    return join(this.#options.dir, BLOBS_NAME, digestAlgorithm(digest), digestHex(digest))
  }

  /** The digests of all blobs there are, whether anything names them or not. */
  async listBlobs(): Promise<readonly Digest[]> {
    const found: Digest[] = []
    for (const algorithm of ALGORITHMS) {
      const names = await readdir(join(this.#options.dir, BLOBS_NAME, algorithm)).catch((error: unknown) => {
        if (errorCode(error) === 'ENOENT') return []
        throw error
      })
      for (const digest of names.map((name) => `${algorithm}:${name}`)) if (isDigest(digest)) found.push(digest)
    }
    return found
  }

  /**
   * What the repository has now; undefined when there is no such layout.
   * @throws LAYOUT_DAMAGED
   */
  async read(): Promise<LayoutIndex | undefined> {
    return await withReadFaults(async () => (this.isMade() ? await this.#readIndex() : undefined))
  }

  /** What `read` would give, where that is known without reading anything; undefined where it is not. */
  get indexAtHand(): LayoutIndex | undefined {
    const seen = this.#seen
    try {
      const stamp = stampOf(join(this.#options.dir, INDEX_NAME))
      if (stamp === undefined || seen?.isSettled !== true || !isSameStamp(seen.stamp, stamp)) return undefined
      return this.isMade() ? seen.index : undefined
    } catch (error) {
      // `read` says what is wrong.
      if (diskFaultCode(error) === undefined) throw error
      return undefined
    }
  }

  /** The index.json that is there, be it part of a layout or not. @throws LAYOUT_DAMAGED */
  #readIndex(): Promise<LayoutIndex | undefined> {
    return withReadFaults(() => this.#lookAtIndex(join(this.#options.dir, INDEX_NAME)), INDEX_NAME)
  }

  async #lookAtIndex(path: string): Promise<LayoutIndex | undefined> {
    for (let looks = 1; ; looks++) {
      const stamp = stampOf(path)
      if (stamp === undefined) return undefined
      const settled = isSettled(stamp)
      const seen = this.#seen !== undefined && isSameStamp(this.#seen.stamp, stamp) ? this.#seen : undefined
      if (seen !== undefined && (seen.isSettled || !settled)) return seen.index
      if (stamp.size > limits.maxLayoutIndexBytes) {
        throw new ChartRepoError('LAYOUT_DAMAGED', `${INDEX_NAME} is too large to be read: ${stamp.size} bytes`)
      }
      try {
        const bytes = await readFile(path)
        const isSeen = seen !== undefined && bytes.equals(Buffer.from(seen.index.render()))
        const index = isSeen ? seen.index : LayoutIndex.parse(bytes)
        if (settled) this.#seen = { stamp, index, isSettled: true }
        return index
      } catch (error) {
        if (errorCode(error) === 'ENOENT') return undefined
        // Other tools write the file in place: this may be the half of it that was there.
        const isHalf =
          isChartRepoError(error, 'LAYOUT_DAMAGED') && looks < limits.maxLayoutIndexLooks && isBeingWritten(path, stamp)
        if (!isHalf) throw error
        await Bun.sleep(limits.layoutIndexLookMs)
      }
    }
  }

  isMade(): boolean {
    return stampOf(join(this.#options.dir, LAYOUT_NAME)) !== undefined
  }

  /** Makes the directory a layout, if it is none. */
  async make(): Promise<void> {
    if (this.isMade()) return
    this.#making ??= this.#make().finally(() => {
      this.#making = undefined
    })
    await this.#making
  }

  /**
   * Changes the index, durably, in the order of the calls; changes that come while one is written are written together.
   * The blobs that are added must be there before. Whether anything was changed.
   */
  change(changes: LayoutChanges): Promise<boolean> {
    const { promise, resolve, reject } = Promise.withResolvers<boolean>()
    this.#waiting.push({ changes, resolve, reject })
    this.#startWriting()
    return promise
  }

  /** Does `work` while the index stays as it is, as far as this server is concerned. */
  runAlone<T>(work: () => Promise<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    this.#alone.push(() => work().then(resolve, reject))
    this.#startWriting()
    return promise
  }

  /** Writes a blob whose bytes are at hand, durably. */
  async writeBlob(digest: Digest, bytes: Uint8Array): Promise<void> {
    const draft = await this.#writeDraft(bytes)
    try {
      await this.adopt(draft, digest)
    } catch (error) {
      await removeDraft(draft)
      throw error
    }
  }

  /** Moves a file that was written and synced to the place of a blob, durably. */
  async adopt(path: string, digest: Digest): Promise<void> {
    const target = this.blobPath(digest)
    await this.make()
    try {
      await rename(path, target)
    } catch (error) {
      // The directory of this algorithm may be missing, or another tool has tidied up.
      if (errorCode(error) !== 'ENOENT') throw error
      await this.#makeDirectory(dirname(target))
      await rename(path, target)
    }
    await this.#options.syncs.sync(dirname(target))
  }

  async #make(): Promise<void> {
    const { dir, syncs } = this.#options
    await this.#makeDirectory(join(dir, BLOBS_NAME, 'sha256'))
    if (stampOf(join(dir, INDEX_NAME)) === undefined) await this.#writeFile(INDEX_NAME, LayoutIndex.empty.render())
    // Last: it is what makes the directory a layout.
    await this.#writeFile(LAYOUT_NAME, LAYOUT_FILE)
    await syncs.sync(dir)
  }

  /** Durable with all that it is in: others may have made those a moment ago and not be done. */
  async #makeDirectory(path: string): Promise<void> {
    const { draftsDir, syncs } = this.#options
    await mkdir(path, { recursive: true })
    const root = dirname(draftsDir)
    for (let child = path; child !== root && child !== dirname(child); child = dirname(child)) {
      await syncs.sync(dirname(child))
    }
  }

  #startWriting(): void {
    if (!this.#isWriting) void this.#writeAll()
  }

  /** Never rejects: whoever asked for what fails is told. */
  async #writeAll(): Promise<void> {
    this.#isWriting = true
    while (this.#waiting.length > 0 || this.#alone.length > 0) {
      await this.#alone.shift()?.()
      const batch = this.#waiting
      this.#waiting = []
      if (batch.length === 0) continue
      try {
        const before = (await this.#readIndex()) ?? LayoutIndex.empty
        let after = before
        const changed = batch.map(({ changes }) => {
          const next = after.with(changes)
          const isChanged = next !== after
          after = next
          return isChanged
        })
        if (after !== before) {
          await this.#replace(after)
          this.#options.onChange(before, after)
        }
        for (const [place, { resolve }] of batch.entries()) resolve(changed[place] ?? false)
      } catch (error) {
        for (const { reject } of batch) reject(error)
      }
    }
    this.#isWriting = false
  }

  async #replace(index: LayoutIndex): Promise<void> {
    await this.make()
    const stamp = await this.#writeFile(INDEX_NAME, index.render())
    this.#seen = { stamp, index, isSettled: false }
    await this.#options.syncs.sync(this.#options.dir)
  }

  /** Puts a file in its place as a whole; gives the stamp it has there. */
  async #writeFile(name: string, content: string): Promise<FileStamp> {
    const draft = await this.#writeDraft(content)
    try {
      const stamp = stampOf(draft)
      if (stamp === undefined) throw new Error(`The draft of ${name} is gone`)
      await rename(draft, join(this.#options.dir, name))
      return stamp
    } catch (error) {
      await removeDraft(draft)
      throw error
    }
  }

  /** A synced file that is to be renamed. */
  async #writeDraft(content: string | Uint8Array): Promise<string> {
    const draft = join(this.#options.draftsDir, crypto.randomUUID())
    try {
      const file = await open(draft, 'wx')
      try {
        await file.writeFile(content)
        await file.sync()
      } finally {
        await file.close()
      }
      return draft
    } catch (error) {
      await removeDraft(draft)
      throw error
    }
  }
}

/** Whether a file that had `stamp` before it was read has changed since, or not long before. */
function isBeingWritten(path: string, stamp: FileStamp): boolean {
  const now = stampOf(path)
  if (now === undefined || !isSameStamp(now, stamp)) return true
  return Date.now() - Number(now.modifiedAt / 1_000_000n) <= limits.layoutIndexWriteMs
}

/** A draft that cannot be removed either is removed at the next start. */
async function removeDraft(path: string): Promise<void> {
  await unlink(path).catch(() => undefined)
}
