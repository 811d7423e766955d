/** The answer that carries content which is at hand: GET and HEAD, 304, single ranges. */

import { parseByteRange } from '../lib/byte-range.ts'
import { openStream, readFileAhead } from '../lib/file-stream.ts'
import { limits } from '../limits.ts'
import { allowsRange, matchesNone } from './conditional.ts'

export interface Content {
  /** Strong, in quotes. */
  readonly etag: string
  /** Bytes. */
  readonly size: number
  readonly headers: Readonly<Record<string, string>>
  /** Called only when bytes are to be sent. */
  readonly open: () => Promise<Blob> | Blob
  /** All of them as they are read, where that is quicker: without a Content-Length, which the runtime gives no stream. */
  readonly stream?: (() => Promise<ReadableStream<Uint8Array>>) | undefined
}

export async function respondWithContent(request: Request, content: Content): Promise<Response> {
  const { etag, size } = content
  const headers = { ...content.headers, etag, 'accept-ranges': 'bytes' }
  if (matchesNone(request.headers.get('if-none-match'), etag)) {
    // What is said of the bytes is left out: they are not there.
    const kept = Object.entries(content.headers).filter(([name]) => !name.startsWith('content-'))
    return new Response(null, { status: 304, headers: { ...Object.fromEntries(kept), etag } })
  }
  // A Range on HEAD means nothing (RFC 9110, 14.2).
  if (request.method === 'HEAD') return new Response(null, { headers: { ...headers, 'content-length': String(size) } })
  const asked = allowsRange(request.headers.get('if-range'), etag) ? request.headers.get('range') : null
  const range = parseByteRange(asked, size)
  if (range === 'unsatisfiable') {
    return new Response(null, {
      status: 416,
      headers: { 'content-range': `bytes */${size}`, 'cache-control': 'no-store' },
    })
  }
  const isPieced = !endsByClosing(request)
  if (range === undefined && content.stream !== undefined && isPieced)
    return new Response(await content.stream(), { headers })
  const blob = await content.open()
  const { start, end } = range ?? { start: 0, end: blob.size }
  const body = isPieced ? await bodyOf(blob, start, end) : partOf(blob, start, end)
  if (range === undefined) return new Response(body, { headers })
  return new Response(body, {
    status: 206,
    headers: { ...headers, 'content-range': `bytes ${start}-${end - 1}/${size}` },
  })
}

/** Large parts of files go out in pieces, and without a Content-Length, which the runtime gives no stream. */
async function bodyOf(blob: Blob, start: number, end: number): Promise<Blob | ReadableStream> {
  const path = 'name' in blob && typeof blob.name === 'string' ? blob.name : undefined
  if (path !== undefined && end - start >= limits.minPiecedFileBytes) {
    return await openStream(readFileAhead({ path, start, end }))
  }
  return partOf(blob, start, end)
}

function partOf(blob: Blob, start: number, end: number): Blob {
  return start === 0 && end === blob.size ? blob : blob.slice(start, end)
}

/**
 * Whether what has no length may end by the end of the connection, as in HTTP/1.0: then it looks whole too when the server
 * is killed. The runtime does not say the version; nginx, which speaks it by default, asks for the connection to be closed.
 */
function endsByClosing(request: Request): boolean {
  return /(?:^|,)\s*close\s*(?:,|$)/i.test(request.headers.get('connection') ?? '')
}
