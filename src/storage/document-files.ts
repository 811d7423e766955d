/**
 * Sets of documents that belong together, such as the index in all its forms: `<dir>/<key>/<name>`. A set is made once,
 * never changed, and found again by the next start.
 *
 * Invariant: a set under its final name is whole. Where the disk is full or read-only, memory takes its place.
 */

import { statSync } from 'node:fs'
import { readdir, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { Type } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { LRUCache } from 'lru-cache'
import type { Clock } from '../lib/clock.ts'
import type { Pages } from '../lib/compression.ts'
import { errorCode } from '../lib/error-code.ts'
import { tryParseJson } from '../lib/json.ts'
import { limits } from '../limits.ts'
import { errorFields, type Log } from '../telemetry/log.ts'
import { diskFaultCode } from './disk-fault.ts'
import { DocumentDraft, LIST_NAME } from './document-draft.ts'
import { StoredDocument } from './stored-document.ts'

export interface DocumentFilesOptions {
  readonly dir: string
  readonly clock: Clock
  readonly log: Log
}

/**
 * Makes one document; `read` has those that were made before it. Called again when the disk gives up half way. A page
 * is taken in before the next one is asked for.
 */
export type DocumentSource = (read: (name: string) => Pages) => Pages

export type DocumentSet = ReadonlyMap<string, StoredDocument>

/** A key, or a set that is being written. */
const SET_NAME = /^(?:[0-9a-f]{64}|\.[0-9a-f-]{36}\.part)$/

const DocumentList = TypeCompiler.Compile(
  Type.Record(
    Type.String(),
    Type.Object({ size: Type.Integer({ minimum: 0 }), sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }) }),
  ),
)

export class DocumentFiles {
  readonly #options: DocumentFilesOptions
  readonly #hot = new LRUCache<string, Blob>({
    maxSize: limits.maxHotDocumentBytes,
    sizeCalculation: (content) => content.size + 1,
  })
  /** Documents that were large when they were last made. */
  readonly #large = new Set<string>()
  /** Sets of this process whose place another took, and when. */
  readonly #retired = new Map<string, number>()
  #current: string | undefined
  #touchedAt = 0
  #sweptAt = 0
  #fault: string | undefined

  constructor(options: DocumentFilesOptions) {
    this.#options = options
  }

  /** The set called `key` (64 hex digits), when an earlier run or another server has left it whole. */
  async find(key: string): Promise<DocumentSet | undefined> {
    const dir = join(this.#options.dir, key)
    try {
      const list = tryParseJson(await Bun.file(join(dir, LIST_NAME)).bytes())
      if (!DocumentList.Check(list)) return undefined
      const documents = new Map<string, StoredDocument>()
      for (const [name, { size, sha256 }] of Object.entries(list)) {
        const path = join(dir, name)
        if ((await stat(path)).size !== size) return undefined
        documents.set(name, new StoredDocument({ size, sha256, path, content: undefined, hot: this.#hot }))
      }
      return documents
    } catch (error) {
      if (!['ENOENT', 'ENOTDIR'].includes(errorCode(error))) this.#noteFault(error)
      return undefined
    }
  }

  /** Makes the set called `key`, its documents in the order of `sources`. @throws what a source throws */
  async write(key: string, sources: ReadonlyMap<string, DocumentSource>): Promise<DocumentSet> {
    const path = join(this.#options.dir, key)
    try {
      return await this.#writeSet(key, path, sources)
    } catch (error) {
      if (diskFaultCode(error) === undefined) throw error
      this.#noteFault(error)
      return await this.#writeSet(key, undefined, sources)
    }
  }

  async #writeSet(
    key: string,
    path: string | undefined,
    sources: ReadonlyMap<string, DocumentSource>,
  ): Promise<DocumentSet> {
    const draft = new DocumentDraft(path, (name) => this.#large.has(name))
    try {
      for (const [name, source] of sources)
        await draft.add(
          name,
          source((other) => draft.read(other)),
        )
      const isOnDisk = await draft.commit(async () => (await this.find(key)) !== undefined)
      if (isOnDisk) this.#clearFault()
      for (const [name, { size }] of draft.documents) {
        if (size > limits.maxSmallDocumentBytes) this.#large.add(name)
        else this.#large.delete(name)
      }
      const documents = new Map<string, StoredDocument>()
      for (const [name, facts] of draft.documents) {
        const file = isOnDisk && path !== undefined ? join(path, name) : undefined
        documents.set(name, new StoredDocument({ ...facts, path: file, hot: this.#hot }))
      }
      return documents
    } catch (error) {
      await draft.abandon()
      throw error
    }
  }

  /** Keeps the set called `key`, and removes what nobody is about to read any more. */
  async retain(key: string): Promise<void> {
    const now = this.#options.clock.now()
    if (this.#current !== key && this.#current !== undefined) {
      this.#retired.set(this.#current, now)
      // Its memory is needed for the new ones; who still asks for it gets the file.
      this.#hot.clear()
      this.#touchedAt = 0
    }
    this.#current = key
    this.#retired.delete(key)
    const isDue = now - this.#sweptAt >= limits.touchIntervalMs
    if (!isDue && this.#retired.size === 0) return
    try {
      if (now - this.#touchedAt >= limits.touchIntervalMs) await this.#touch(key, now)
      const names = new Set(await this.#list())
      for (const name of names) if (name !== key) await this.#removeIfOld(name, now)
      // Those that were in memory alone.
      for (const name of this.#retired.keys()) if (!names.has(name)) this.#retired.delete(name)
      this.#sweptAt = now
    } catch (error) {
      this.#noteFault(error)
    }
  }

  async #removeIfOld(name: string, now: number): Promise<void> {
    if (!SET_NAME.test(name)) return
    const path = join(this.#options.dir, name)
    const retiredAt = this.#retired.get(name)
    const since = retiredAt ?? statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? now
    if (now - since <= (retiredAt === undefined ? limits.staleDocumentsMs : limits.documentGraceMs)) return
    await rm(path, { recursive: true, force: true })
    this.#retired.delete(name)
  }

  async #list(): Promise<readonly string[]> {
    try {
      return await readdir(this.#options.dir)
    } catch (error) {
      // Nothing was large enough yet to be there.
      if (errorCode(error) === 'ENOENT') return []
      throw error
    }
  }

  /** Tells other servers with this directory that the set is in use. */
  async #touch(key: string, now: number): Promise<void> {
    this.#touchedAt = now
    try {
      await utimes(join(this.#options.dir, key), now / 1000, now / 1000)
    } catch (error) {
      // It is in memory alone.
      if (errorCode(error) !== 'ENOENT') throw error
    }
  }

  #clearFault(): void {
    if (this.#fault !== undefined) this.#options.log.info('index files can be used again')
    this.#fault = undefined
  }

  /** Said once, until something could be written. */
  #noteFault(error: unknown): void {
    const code = diskFaultCode(error)
    if (code === undefined) throw error
    if (this.#fault === undefined) {
      this.#options.log.warn('index files cannot be used; the index is kept in memory', {
        dir: this.#options.dir,
        code,
        ...errorFields(error),
      })
    }
    this.#fault = code
  }
}
