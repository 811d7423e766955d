/** Reading a body that somebody else sends: never more than the bound, and nothing left hanging on the connection. */

import { ChartRepoError } from '../errors.ts'

/**
 * All bytes of `response`, at most `maxBytes`. `describe` names it in an error: `the answer to GET …`.
 * @throws BODY_TOO_LARGE as soon as a declared or received length passes the bound; the rest is not read.
 */
export async function readBoundedBody(
  response: Response,
  maxBytes: number,
  describe: () => string,
): Promise<Uint8Array<ArrayBuffer>> {
  const tooLarge = () =>
    new ChartRepoError('BODY_TOO_LARGE', `Cannot read ${describe()}: it is larger than ${maxBytes} bytes`)
  const declared = Number(response.headers.get('content-length') ?? Number.NaN)
  if (declared > maxBytes) {
    await response.body?.cancel()
    throw tooLarge()
  }
  if (declared >= 0 && !response.headers.has('transfer-encoding')) {
    const bytes = await response.bytes()
    if (bytes.byteLength > maxBytes) throw tooLarge()
    return bytes
  }
  // A chunked body may come with any length beside it, which bounds nothing then.
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of response.body ?? []) {
    length += chunk.byteLength
    if (length > maxBytes) throw tooLarge()
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, length)
}
