/** Compression of long content in a thread of the runtime's, page by page. */

import { constants, createGzip, createZstdCompress } from 'node:zlib'

export type Coding = 'gzip' | 'zstd'

/** Part of something long. Its memory is used again: it holds until the next page is asked for. */
export type Pages = AsyncIterable<Uint8Array> | Iterable<Uint8Array>

const CHUNK_BYTES = 256 * 1024
/** The usual levels: zstd 9 takes more than twice as long for two hundredths less. */
const compressors = {
  gzip: () => createGzip({ level: 6, chunkSize: CHUNK_BYTES }),
  zstd: () => createZstdCompress({ chunkSize: CHUNK_BYTES, params: { [constants.ZSTD_c_compressionLevel]: 3 } }),
} as const

/** `pages` compressed: the same bytes for the same pages. Gzip cares where the content is cut. */
export async function* compress(pages: Pages, coding: Coding): AsyncGenerator<Uint8Array> {
  const compressor = compressors[coding]()
  const feed = async (): Promise<void> => {
    for await (const page of pages) {
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      // Called when the page has been taken in, and its memory may be used again.
      compressor.write(page, (error) => (error == null ? resolve() : reject(error)))
      await promise
    }
    compressor.end()
  }
  const feeding = feed().catch((error: unknown) => {
    compressor.destroy(error instanceof Error ? error : new Error('The content cannot be read', { cause: error }))
  })
  try {
    for await (const chunk of compressor) yield chunk
  } finally {
    compressor.destroy()
    await feeding
  }
}
