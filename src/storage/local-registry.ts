/** The embedded registry: image layouts under one directory, as a registry that takes pushes. */

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { ChartRepoError, isChartRepoError } from '../errors.ts'
import type { Clock } from '../lib/clock.ts'
import { errorCode } from '../lib/error-code.ts'
import { TimeSlices } from '../lib/time-slices.ts'
import { limits } from '../limits.ts'
import type { Digest, DigestAlgorithm } from '../oci/digest.ts'
import type {
  Chunk,
  ManifestToStore,
  Referrer,
  RegistryStore,
  StoredManifest,
  UploadProgress,
  WrittenManifest,
} from '../oci/registry-store.ts'
import { errorFields, type Log } from '../telemetry/log.ts'
import { DirectoryLease } from './directory-lease.ts'
import type { ImageLayout } from './image-layout.ts'
import { LayoutBlobs } from './layout-blobs.ts'
import { findTagChanges, type LayoutIndex, type TagChanges } from './layout-index.ts'
import { LayoutManifests } from './layout-manifests.ts'
import { sweepLayout } from './layout-sweep.ts'
import { DRAFTS_NAME, LayoutTree } from './layout-tree.ts'
import { withReadFaults, withStorageFaults } from './storage-fault.ts'
import { UploadFiles } from './upload-files.ts'

export type LocalRegistryListener = (repository: string, changes: TagChanges) => void

export interface LocalRegistryOptions {
  readonly root: string
  /** How often unused blobs are looked for (0 for never), and how old they must be. */
  readonly sweepIntervalMs: number
  readonly sweepDelayMs: number
  readonly clock: Clock
  readonly log: Log
}

export class LocalRegistry implements RegistryStore {
  readonly #options: LocalRegistryOptions
  readonly #tree: LayoutTree
  readonly #blobs: LayoutBlobs
  readonly #manifests: LayoutManifests
  readonly #uploads: UploadFiles
  readonly #lease: DirectoryLease
  readonly #stopping = new AbortController()
  #listener: LocalRegistryListener = () => undefined
  #loops: Promise<unknown> | undefined

  private constructor(options: LocalRegistryOptions) {
    this.#options = options
    const drafts = join(options.root, DRAFTS_NAME)
    this.#tree = new LayoutTree(options.root, (repository, before, after) =>
      this.#listener(repository, findTagChanges(before, after)),
    )
    // Who was told of a blob can count on it for most of the delay, however short that is.
    const touchIntervalMs = Math.min(limits.touchIntervalMs, options.sweepDelayMs / 6)
    this.#blobs = new LayoutBlobs({ draftsDir: drafts, touchIntervalMs, clock: options.clock })
    this.#manifests = new LayoutManifests(this.#blobs)
    this.#uploads = new UploadFiles(drafts, options.clock)
    this.#lease = new DirectoryLease({ root: options.root, uploads: this.#uploads, log: options.log })
  }

  /**
   * Takes the directory over, and makes it where there is none. One that cannot be written is served as it is, until it
   * can be.
   * @throws CONFIG_INVALID when there is none and it cannot be made, or when another server has it
   */
  static async open(options: LocalRegistryOptions): Promise<LocalRegistry> {
    const { root, log } = options
    try {
      await mkdir(root, { recursive: true })
    } catch (cause) {
      throw new ChartRepoError('CONFIG_INVALID', `cannot be made or is no directory (${errorCode(cause)})`, { cause })
    }
    const registry = new LocalRegistry(options)
    try {
      await registry.#lease.take()
    } catch (error) {
      if (isChartRepoError(error, 'CONFIG_INVALID')) throw error
      log.warn('directory of the registry cannot be written; what is in it is served, and pushes are refused', {
        dir: root,
        ...errorFields(error),
      })
    }
    return registry
  }

  /** Whoever keeps an index hears here of what is pushed and deleted, before the client does. */
  onChange(listener: LocalRegistryListener): void {
    this.#listener = listener
  }

  /** Removes what nobody needs any more now and then, until `close`. */
  start(): void {
    const { sweepIntervalMs } = this.#options
    const loops = [this.#repeat(limits.uploadSweepIntervalMs, () => this.#uploads.expire())]
    if (sweepIntervalMs > 0) loops.push(this.#repeat(sweepIntervalMs, () => this.sweep()))
    this.#loops = Promise.all(loops)
  }

  async close(): Promise<void> {
    this.#stopping.abort(new Error('The server is stopping'))
    await this.#loops
    this.#lease.release()
  }

  /** Removes blobs that no manifest is made of. A repository in which that cannot be told is left alone. */
  async sweep(): Promise<void> {
    const { clock, log, sweepDelayMs } = this.#options
    const since = clock.now() - sweepDelayMs
    await this.#lease.ensure().catch((error: unknown) => {
      // What else keeps it from writing may be that there is no room, which is made here.
      if (isChartRepoError(error, 'STORAGE_DENIED')) throw error
    })
    let removed = 0
    for (const repository of await this.#tree.list()) {
      if (this.#stopping.signal.aborted) return
      try {
        const contents = { blobs: this.#blobs, manifests: this.#manifests }
        removed += await sweepLayout(this.#tree.keep(repository), contents, since)
      } catch (error) {
        log.warn('unused blobs are left where they are', { repository, ...errorFields(error) })
      }
    }
    if (removed > 0) log.info('unused blobs removed', { blobs: removed })
  }

  async sortedTags(repository: string): Promise<readonly string[] | undefined> {
    return (await this.#look(repository)).index?.sortedTags
  }

  /** What each tag points to; the same object as long as nothing changes. */
  async digestsByTag(repository: string): Promise<ReadonlyMap<string, Digest> | undefined> {
    return (await this.#look(repository)).index?.digests
  }

  /** The same, where nothing has to be read for it. */
  digestsAtHand(repository: string): ReadonlyMap<string, Digest> | undefined {
    return this.#tree.layout(repository).indexAtHand?.digests
  }

  async sortedRepositories(): Promise<readonly string[]> {
    return await withReadFaults(() => this.#tree.list())
  }

  async *listReferrers(repository: string, subject: Digest, after = ''): AsyncGenerator<Referrer> {
    const { layout, index } = await this.#look(repository)
    if (index === undefined) return
    const referrers = this.#manifests.referrers(layout, index, subject, after)
    const next = () => withReadFaults(() => referrers.next())
    for (let each = await next(); each.done !== true; each = await next()) yield each.value
  }

  async findManifest(repository: string, reference: string): Promise<StoredManifest | undefined> {
    const { layout, index } = await this.#lookInto(repository)
    return await withReadFaults(() => this.#manifests.find(layout, index, reference))
  }

  openManifest(repository: string, { digest }: StoredManifest): Promise<Blob | undefined> {
    return this.openVerified(repository, digest)
  }

  async writeManifest(repository: string, manifest: ManifestToStore): Promise<WrittenManifest> {
    return await this.#write(repository, (layout) => this.#manifests.write(layout, manifest))
  }

  async removeManifest(repository: string, digest: Digest): Promise<boolean> {
    const { layout, index } = await this.#lookInto(repository)
    return await this.#write(repository, () => this.#manifests.remove(layout, index, digest))
  }

  async removeTag(repository: string, tag: string): Promise<boolean> {
    const { layout } = await this.#lookInto(repository)
    return await this.#write(repository, () => layout.change({ removeTag: tag }))
  }

  async statBlob(repository: string, digest: Digest): Promise<number | undefined> {
    const layout = this.#tree.layout(repository)
    return await withReadFaults(async () => {
      this.#blobs.touch(layout, digest)
      return this.#blobs.size(layout, digest)
    })
  }

  async openBlob(repository: string, digest: Digest): Promise<Blob | undefined> {
    return await withReadFaults(() => this.#blobs.open(this.#tree.layout(repository), digest))
  }

  /** As `openBlob`, and its bytes are sure to be what the digest says. @throws LAYOUT_DAMAGED */
  async openVerified(repository: string, digest: Digest): Promise<Blob | undefined> {
    return await withReadFaults(() => this.#blobs.openVerified(this.#tree.layout(repository), digest))
  }

  /**
   * All bytes of a small blob, for who reads it once; undefined when there is none.
   * @throws LAYOUT_DAMAGED when they are not what the digest says, or more than `maxBytes`
   */
  async readBytes(repository: string, digest: Digest, maxBytes: number): Promise<Uint8Array | undefined> {
    return await withReadFaults(() => this.#blobs.read(this.#tree.layout(repository), digest, maxBytes))
  }

  async mountBlob(repository: string, digest: Digest, from: string | undefined): Promise<boolean> {
    return await this.#write(repository, async (layout) => {
      const sources = from === undefined ? await this.#tree.list() : this.#tree.isName(from) ? [from] : []
      const slices = new TimeSlices()
      for (const source of sources) {
        if (slices.isOver()) await slices.next()
        if (await this.#blobs.mount(this.#tree.layout(source), layout, digest)) return true
      }
      return false
    })
  }

  async removeBlob(repository: string, digest: Digest): Promise<boolean> {
    const { layout } = await this.#look(repository)
    return await this.#whenTaken(() =>
      // Somebody may be about to push it as a manifest.
      layout.turns.take(digest, async () => {
        if ((await layout.read())?.manifests.has(digest) === true) {
          throw new ChartRepoError('BLOB_IS_MANIFEST', `${digest} is a manifest of ${repository}`)
        }
        return await this.#blobs.remove(layout, digest)
      }),
    )
  }

  async beginUpload(repository: string, algorithm: DigestAlgorithm): Promise<UploadProgress> {
    this.#tree.layout(repository)
    return await this.#whenTaken(() => this.#uploads.begin(repository, algorithm))
  }

  uploadProgress(repository: string, id: string): UploadProgress {
    return this.#uploads.progress(repository, id)
  }

  async appendChunk(repository: string, id: string, chunk: Chunk): Promise<UploadProgress> {
    return await withStorageFaults(() => this.#uploads.append(repository, id, chunk))
  }

  async finishUpload(repository: string, id: string, end: Chunk & { readonly digest: Digest }): Promise<void> {
    await this.#write(repository, (layout) =>
      this.#uploads.finish(repository, id, end, (path) => layout.adopt(path, end.digest)),
    )
  }

  async cancelUpload(repository: string, id: string): Promise<void> {
    await withStorageFaults(() => this.#uploads.cancel(repository, id))
  }

  /** @throws NAME_INVALID, LAYOUT_DAMAGED */
  async #look(repository: string): Promise<{ readonly layout: ImageLayout; readonly index: LayoutIndex | undefined }> {
    const layout = this.#tree.layout(repository)
    const index = await layout.read()
    return { layout: index === undefined ? layout : this.#tree.keep(repository, layout), index }
  }

  /** @throws REPOSITORY_UNKNOWN, and what `#look` throws */
  async #lookInto(repository: string): Promise<{ readonly layout: ImageLayout; readonly index: LayoutIndex }> {
    const { layout, index } = await this.#look(repository)
    if (index === undefined) throw new ChartRepoError('REPOSITORY_UNKNOWN', 'There is no such repository')
    return { layout, index }
  }

  async #write<T>(repository: string, work: (layout: ImageLayout) => Promise<T>): Promise<T> {
    return await this.#whenTaken(() => this.#tree.use(repository, work))
  }

  async #whenTaken<T>(work: () => Promise<T>): Promise<T> {
    return await withStorageFaults(async () => {
      await this.#lease.ensure()
      return await work()
    })
  }

  async #repeat(intervalMs: number, work: () => Promise<void>): Promise<void> {
    const { clock, log } = this.#options
    const { signal } = this.#stopping
    for (;;) {
      await clock.sleep(intervalMs, signal).catch(() => undefined)
      if (signal.aborted) return
      await work().catch((error: unknown) => log.warn('the registry cannot be tidied up', errorFields(error)))
    }
  }
}
