import { open } from 'node:fs/promises'
import { readFully } from '../lib/read-fully.ts'
import { limits } from '../limits.ts'

/**
 * The bytes of a file from `start` up to `end`, or to where it ends, in pages whose memory is used again. All but the last
 * are of one size: what is made of them must not depend on how much the system hands out at once.
 * @throws the system's error
 */
export async function* readFilePages(
  path: string,
  start = 0,
  end = Number.POSITIVE_INFINITY,
): AsyncGenerator<Uint8Array> {
  const file = await open(path, 'r')
  try {
    const page = Buffer.allocUnsafe(Math.min(limits.documentPageBytes, end - start))
    for (let position = start; position < end; ) {
      const wanted = Math.min(page.byteLength, end - position)
      const filled = await readFully(file, page.subarray(0, wanted), position)
      if (filled > 0) yield page.subarray(0, filled)
      if (filled < wanted) return
      position += filled
    }
  } finally {
    await file.close()
  }
}

/** The same pages of what is in memory. */
export async function* readBlobPages(content: Blob): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < content.size; start += limits.documentPageBytes) {
    yield await content.slice(start, start + limits.documentPageBytes).bytes()
  }
}
