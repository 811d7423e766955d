/** One finished document, in memory or on disk; on disk and not too large it moves to memory when it is asked for often. */

import { stat } from 'node:fs/promises'
import type { LRUCache } from 'lru-cache'
import type { Pages } from '../lib/compression.ts'
import { readFileAhead } from '../lib/file-stream.ts'
import { collectGarbage } from '../lib/memory-trim.ts'
import { limits } from '../limits.ts'
import { diskFaultCode } from './disk-fault.ts'
import { readFilePages } from './file-pages.ts'

export interface StoredDocumentFacts {
  /** Bytes. */
  readonly size: number
  /** Of its bytes, in hex. */
  readonly sha256: string
  /** When it is small, or there is no disk. */
  readonly content: Blob | undefined
  /** Where it is on disk, if it is. */
  readonly path: string | undefined
  /** Larger ones in memory, by path; bounded by their sizes. */
  readonly hot: LRUCache<string, Blob>
}

export class StoredDocument {
  readonly size: number
  readonly sha256: string
  readonly #facts: StoredDocumentFacts
  #opened = 0
  #isLoading = false

  constructor(facts: StoredDocumentFacts) {
    this.size = facts.size
    this.sha256 = facts.sha256
    this.#facts = facts
  }

  /** A part of what is on disk, page by page; undefined for what is in memory alone. */
  get read(): ((start: number, end: number) => Pages) | undefined {
    const { path } = this.#facts
    return path === undefined ? undefined : (start, end) => readFilePages(path, start, end)
  }

  /** The same in pieces as they suit a client. */
  get readAhead(): ((start: number, end: number) => AsyncGenerator<Uint8Array>) | undefined {
    const { path } = this.#facts
    return path === undefined ? undefined : (start, end) => readFileAhead({ path, start, end })
  }

  /** Its bytes; undefined when somebody has removed the file. */
  async open(): Promise<Blob | undefined> {
    const { content, path, hot } = this.#facts
    if (content !== undefined || path === undefined) return content
    const held = hot.get(path)
    if (held !== undefined) return held
    if (!(await this.#isThere(path))) return undefined
    const file = Bun.file(path)
    this.#opened += 1
    // Nobody waits for it, and who asks now and then does not cost its memory.
    const isWanted = this.#opened >= limits.hotDocumentOpens && this.size <= hot.maxSize
    if (isWanted && !this.#isLoading) void this.#load(path, file)
    return file
  }

  /** Never rejects: what cannot be read now goes on being sent from the file, or is found missing by the next who asks. */
  async #load(path: string, file: Blob): Promise<void> {
    this.#isLoading = true
    collectGarbage()
    const bytes = await file.bytes().catch(() => undefined)
    if (bytes?.byteLength === this.size) this.#facts.hot.set(path, new Blob([bytes]))
    this.#isLoading = false
    // The bytes themselves, and whatever was hot before.
    collectGarbage()
  }

  async #isThere(path: string): Promise<boolean> {
    try {
      return (await stat(path)).size === this.size
    } catch (error) {
      // Whatever the disk has against it: it can be made again.
      if (diskFaultCode(error) !== undefined) return false
      throw error
    }
  }
}
