/**
 * A program: one large blob, pushed from a file in one stream, in so many milliseconds; or pulled and checked.
 *
 *   bun bench/blob-client.ts push ORIGIN DIGEST FILE
 *   bun bench/blob-client.ts check ORIGIN DIGEST
 */
import { request, uploadUrl } from './push.ts'

const [, , command, origin = '', digest = '', file = ''] = Bun.argv
const base = `${origin}/v2/charts/large`

async function push(): Promise<void> {
  const begun = await request(202, `${base}/blobs/uploads/`, { method: 'POST' })
  const headers = { 'content-type': 'application/octet-stream' }
  const sent = await request(202, uploadUrl(begun, base), { method: 'PATCH', headers, body: Bun.file(file).stream() })
  await request(201, uploadUrl(sent, base, digest), { method: 'PUT' })
}

async function check(): Promise<void> {
  const response = await fetch(`${base}/blobs/${digest}`)
  if (response.status !== 200) throw new Error(`The blob was answered with ${response.status}`)
  const hasher = new Bun.CryptoHasher('sha256')
  for await (const piece of response.body ?? []) hasher.update(piece)
  const actual = `sha256:${hasher.digest('hex')}`
  if (actual !== digest) throw new Error(`${origin} answers ${actual}, ${digest} was pushed`)
}

// A connection before the clock runs.
await request(200, `${origin}/v2/`, { method: 'GET' })
const startedAt = performance.now()
await { push, check }[command as 'push' | 'check']()
if (command === 'push') console.log(performance.now() - startedAt)
