/** The index as readers see it, however it was made. */

import type { IndexFormat } from '../helm/index-entry.ts'
import type { Coding } from '../lib/compression.ts'

export interface IndexDocument {
  /** Strong, in quotes: the SHA-256 of the bytes, or of what they are made of where nobody has read them all yet. */
  readonly etag: string
  /** Bytes. */
  readonly size: number
  /** That of its bytes, which may be none where one was asked for. */
  readonly coding: Coding | undefined
  open(): Promise<Blob>
  /** The same bytes as they are read, for documents that are nowhere as a whole. */
  readonly stream?: () => Promise<ReadableStream<Uint8Array>>
}

export interface PublishedIndex {
  /** Names the content in all its forms. */
  readonly key: string
  readonly charts: number
  readonly versions: number
  /** Of the larger of its plain documents. */
  readonly plainBytes: number
  /** @throws TypeError for a format that was not asked for */
  document(format: IndexFormat, coding?: Coding): IndexDocument
}

/** How a document is called among those that belong together. */
export function documentName(format: IndexFormat, coding?: Coding): string {
  return `index.${format}${coding === undefined ? '' : { gzip: '.gz', zstd: '.zst' }[coding]}`
}
