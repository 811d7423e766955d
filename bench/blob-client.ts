/**
 * A program: one large blob, pushed from a file in one stream or pulled and counted. Prints milliseconds.
 *
 *   bun bench/blob-client.ts push ORIGIN DIGEST FILE
 *   bun bench/blob-client.ts pull ORIGIN DIGEST BYTES
 *   bun bench/blob-client.ts check ORIGIN DIGEST         the bytes are hashed, and nothing is printed
 */
import { request, uploadUrl } from './push.ts'

const [, , command, origin = '', digest = '', rest = ''] = Bun.argv
const base = `${origin}/v2/charts/large`

async function push(): Promise<void> {
  const begun = await request(202, `${base}/blobs/uploads/`, { method: 'POST' })
  const headers = { 'content-type': 'application/octet-stream' }
  const sent = await request(202, uploadUrl(begun, base), { method: 'PATCH', headers, body: Bun.file(rest).stream() })
  await request(201, uploadUrl(sent, base, digest), { method: 'PUT' })
}

async function pull(visit: (piece: Uint8Array) => void): Promise<void> {
  const response = await fetch(`${base}/blobs/${digest}`)
  if (response.status !== 200) throw new Error(`The blob was answered with ${response.status}`)
  for await (const piece of response.body ?? []) visit(piece)
}

async function count(): Promise<void> {
  let bytes = 0
  await pull((piece) => {
    bytes += piece.byteLength
  })
  if (bytes !== Number(rest)) throw new Error(`The blob came with ${bytes} bytes, wanted ${rest}`)
}

async function check(): Promise<void> {
  const hasher = new Bun.CryptoHasher('sha256')
  await pull((piece) => hasher.update(piece))
  const actual = `sha256:${hasher.digest('hex')}`
  if (actual !== digest) throw new Error(`${origin} answers ${actual}, ${digest} was pushed`)
}

// A connection before the clock runs.
await request(200, `${origin}/v2/`, { method: 'GET' })
const startedAt = performance.now()
await { push, pull: count, check }[command as 'push' | 'pull' | 'check']()
if (command !== 'check') console.log(performance.now() - startedAt)
