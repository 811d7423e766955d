/**
 * Documents in memory behind their port, which says how often they were made. Each set holds its own bytes, as they do
 * where there is no disk. What the contract does not allow fails the test.
 */
import type { Pages } from '../../src/lib/compression.ts'
import { digestBytes, digestHex } from '../../src/oci/digest.ts'
import type { DocumentSource, DocumentStore, KeptDocument } from '../../src/repository/ports.ts'

/** For tests whose clock stands still: compressed ones are made in a thread of their own, which such a clock waits for in vain. */
export const onlyPlain = (name: string): boolean => /\.(?:yaml|json)$/.test(name)

const PAGE_BYTES = 4 * 1024

class MemoryDocument implements KeptDocument {
  readonly size: number
  readonly sha256: string
  content: Blob | undefined
  readonly #onRead: () => void

  constructor(bytes: Uint8Array<ArrayBuffer>, onRead: () => void) {
    this.#onRead = onRead
    this.size = bytes.byteLength
    this.sha256 = digestHex(digestBytes(bytes))
    this.content = new Blob([bytes])
  }

  async open(): Promise<Blob | undefined> {
    return this.content
  }

  readonly read = (start: number, end: number): Pages => readPages(this.#part(start, end))

  readonly readAhead = (start: number, end: number): AsyncGenerator<Uint8Array> => copyPages(this.read(start, end))

  #part(start: number, end: number): Blob {
    if (start < 0 || start >= end || end > this.size) throw new TypeError(`${start} to ${end} is not in ${this.size}`)
    if (this.content === undefined) throw new Error('The document is gone')
    this.#onRead()
    return this.content.slice(start, end)
  }
}

export class MemoryDocuments implements DocumentStore {
  readonly #sets = new Map<string, ReadonlyMap<string, MemoryDocument>>()
  readonly #writing = new Set<string>()
  /** Keys of the sets that were made, in order. */
  readonly written: string[] = []
  /** Keys that were to be kept, in order. */
  readonly retained: string[] = []
  readonly #names: (name: string) => boolean
  /** What making a set waits for. */
  delay: (() => Promise<void>) | undefined
  /** Called whenever a part of a document is about to be read. */
  onRead: (() => void) | undefined

  /** Makes the documents that `names` says; the others are as if nobody had asked for them. */
  constructor(names: (name: string) => boolean = () => true) {
    this.#names = names
  }

  async find(key: string): Promise<ReadonlyMap<string, KeptDocument> | undefined> {
    checkKey(key)
    return this.#sets.get(key)
  }

  async write(key: string, sources: ReadonlyMap<string, DocumentSource>): Promise<ReadonlyMap<string, KeptDocument>> {
    checkKey(key)
    if (this.#writing.has(key)) throw new TypeError(`${key} is made twice at the same time`)
    this.#writing.add(key)
    try {
      await this.delay?.()
      const documents = new Map<string, MemoryDocument>()
      const read = (name: string): Pages => {
        const content = documents.get(name)?.content
        if (content === undefined) throw new TypeError(`${name} is read before it is made`)
        return readPages(content)
      }
      for (const [name, source] of sources) {
        if (!this.#names(name)) continue
        const pages: Uint8Array[] = []
        for await (const page of source(read)) pages.push(new Uint8Array(page))
        documents.set(name, new MemoryDocument(Buffer.concat(pages), () => this.onRead?.()))
      }
      this.#sets.set(key, documents)
      this.written.push(key)
      return documents
    } finally {
      this.#writing.delete(key)
    }
  }

  /** The others are found no more; whoever holds one can still open it. */
  async retain(key: string): Promise<void> {
    if (!this.#sets.has(key)) throw new TypeError(`${key} is to be kept and is not there`)
    this.retained.push(key)
    for (const other of this.#sets.keys()) if (other !== key) this.#sets.delete(other)
  }

  /** Puts other bytes in the place of what is called so, as a disk does that goes bad. */
  async damage(name: string, change: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>): Promise<void> {
    let damaged = 0
    for (const documents of this.#sets.values()) {
      const document = documents.get(name)
      if (document?.content === undefined) continue
      document.content = new Blob([change(await document.content.bytes())])
      damaged += 1
    }
    if (damaged === 0) throw new TypeError(`There is no ${name} to damage`)
  }

  /** Removes everything, as somebody does who cleans the cache directory up. */
  remove(): void {
    for (const documents of this.#sets.values()) {
      for (const document of documents.values()) document.content = undefined
    }
    this.#sets.clear()
  }
}

/** In one piece of memory that holds something else as soon as the next page is asked for. */
async function* readPages(content: Blob): AsyncGenerator<Uint8Array> {
  const page = Buffer.alloc(PAGE_BYTES)
  for (let start = 0; start < content.size; start += PAGE_BYTES) {
    const piece = await content.slice(start, start + PAGE_BYTES).bytes()
    page.set(piece)
    yield page.subarray(0, piece.byteLength)
    page.fill('?')
  }
}

/** For tests that collect a stream to compare it, which copies nothing. */
async function* copyPages(pages: Pages): AsyncGenerator<Uint8Array> {
  for await (const page of pages) yield new Uint8Array(page)
}

function checkKey(key: string): void {
  if (!/^[0-9a-f]{64}$/.test(key)) throw new TypeError(`${key} is no key`)
}
