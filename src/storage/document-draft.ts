/**
 * A set of documents while it is written: in memory as long as each is small, else in a directory of its own that gets
 * its final name when everything is in it.
 */

import type { FileHandle } from 'node:fs/promises'
import { mkdir, open, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Pages } from '../lib/compression.ts'
import { errorCode } from '../lib/error-code.ts'
import { limits } from '../limits.ts'
import { readBlobPages, readFilePages } from './file-pages.ts'
import { syncPath } from './sync-path.ts'

export interface DraftedDocument {
  /** Bytes. */
  readonly size: number
  /** Of its bytes, in hex. */
  readonly sha256: string
  /** When it is small, or there is no disk. */
  readonly content: Blob | undefined
}

/** The file in a set's directory that says what is in it; written last. */
export const LIST_NAME = 'documents.json'

export class DocumentDraft {
  readonly documents = new Map<string, DraftedDocument>()
  readonly #path: string | undefined
  #part: string | undefined

  readonly #isLarge: (name: string) => boolean

  /**
   * `path` is the directory it will be; undefined to keep everything in memory. `isLarge` tells of documents for which it is
   * clear from the beginning that they go there.
   */
  constructor(path: string | undefined, isLarge: (name: string) => boolean) {
    this.#path = path
    this.#isLarge = isLarge
  }

  /** What was written under `name`, for documents that are made from others. Each page holds until the next. */
  async *read(name: string): AsyncGenerator<Uint8Array> {
    const document = this.documents.get(name)
    if (document === undefined) throw new TypeError(`There is no document ${name} to read`)
    const { content, size } = document
    let rest = size
    for await (const page of content ? readBlobPages(content) : readFilePages(join(this.#part ?? '', name))) {
      rest -= page.byteLength
      yield page
    }
    if (rest !== 0) throw new Error(`The document ${name} is not as long as it was written`)
  }

  async add(name: string, pages: Pages): Promise<void> {
    const hasher = new Bun.CryptoHasher('sha256')
    const held: Uint8Array[] = []
    let size = 0
    let file: FileHandle | undefined
    try {
      for await (const page of pages) {
        hasher.update(page)
        size += page.byteLength
        if (file === undefined && this.#path !== undefined && this.#isTooMuch(name, size)) {
          file = await open(join(await this.#openPart(this.#path), name), 'wx', 0o600)
          for (const waiting of held.splice(0)) await file.writeFile(waiting)
        }
        if (file === undefined) held.push(new Uint8Array(page))
        else await file.writeFile(page)
      }
      await file?.sync()
    } finally {
      await file?.close()
    }
    const content = file === undefined ? new Blob(held as BlobPart[]) : undefined
    this.documents.set(name, { size, sha256: hasher.digest('hex'), content })
  }

  /**
   * Gives the directory its name when there is one; whether there is. What has that name already is kept when it is whole:
   * another server with the same charts was quicker, with the same bytes.
   */
  async commit(isWhole: () => Promise<boolean>): Promise<boolean> {
    if (this.#part === undefined || this.#path === undefined) return false
    const part = this.#part
    for (const [name, { content }] of this.documents) {
      if (content !== undefined) await writeDurably(join(part, name), await content.bytes())
    }
    const list = [...this.documents].map(([name, { size, sha256 }]) => [name, { size, sha256 }])
    await writeDurably(join(part, LIST_NAME), JSON.stringify(Object.fromEntries(list)))
    await syncPath(part)
    try {
      await rename(part, this.#path)
    } catch (error) {
      if (!['ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes(errorCode(error))) throw error
      if (await isWhole()) await this.abandon()
      else {
        await rm(this.#path, { recursive: true, force: true })
        await rename(part, this.#path)
      }
    }
    await syncPath(dirname(this.#path))
    return true
  }

  #isTooMuch(name: string, size: number): boolean {
    return size > limits.maxSmallDocumentBytes || this.#isLarge(name)
  }

  /** Leaves nothing behind. */
  async abandon(): Promise<void> {
    if (this.#part !== undefined) await rm(this.#part, { recursive: true, force: true })
  }

  async #openPart(path: string): Promise<string> {
    this.#part ??= join(dirname(path), `.${crypto.randomUUID()}.part`)
    await mkdir(this.#part, { recursive: true, mode: 0o700 })
    return this.#part
  }
}

async function writeDurably(path: string, content: Uint8Array | string): Promise<void> {
  await writeFile(path, content, { flag: 'wx', mode: 0o600, flush: true })
}
