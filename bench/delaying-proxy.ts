/**
 * A program: a proxy that passes bytes on, the answers late, and counts the requests by kind.
 *
 *   bun bench/delaying-proxy.ts HOST:PORT DELAY_MS
 *
 * Prints its own `host:port`, and then that of its counter: a GET there answers the counts since the GET before, as JSON.
 */
import { connect, createServer } from 'node:net'

const [, , target = '', delay = '0'] = Bun.argv
const [host = '', port = ''] = target.split(':')
const delayMs = Number(delay)

const kinds = {
  lists: / \/v2\/(?:_catalog|\S+\/tags\/list)/,
  manifests: /^GET \S+\/manifests\//,
  checks: /^HEAD \S+\/manifests\//,
  blobs: / \S+\/blobs\//,
  others: /^[A-Z]+ \//,
}
let counts: Record<string, number> = {}

/** Clients here send one request at a time and all of it at once: each begins a chunk. */
function count(chunk: string | Buffer): void {
  const start = typeof chunk === 'string' ? chunk : chunk.toString('latin1', 0, 400)
  const kind = Object.entries(kinds).find(([, pattern]) => pattern.test(start))?.[0]
  if (kind !== undefined) counts[kind] = (counts[kind] ?? 0) + 1
}

const server = createServer({ noDelay: true }, (client) => {
  const upstream = connect({ host, port: Number(port), noDelay: true })
  client.on('data', (chunk) => {
    count(chunk)
    upstream.write(chunk)
  })
  // All chunks wait equally long, so their order stays.
  upstream.on('data', (chunk) => {
    if (delayMs === 0) client.write(chunk)
    else setTimeout(() => client.write(chunk), delayMs)
  })
  upstream.on('close', () => setTimeout(() => client.destroy(), delayMs))
  client.on('close', () => upstream.destroy())
  // `close` follows, which is all there is to do.
  upstream.on('error', () => upstream.destroy())
  client.on('error', () => client.destroy())
})
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  const counter = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: () => {
      const taken = counts
      counts = {}
      return Response.json(taken)
    },
  })
  if (address !== null && typeof address === 'object') {
    console.log(`127.0.0.1:${address.port} 127.0.0.1:${counter.port}`)
  }
})
