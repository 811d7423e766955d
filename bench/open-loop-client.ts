/**
 * A program: GETs a URL at a fixed rate, whatever the answers take, and prints latencies in milliseconds as JSON. They
 * count from the moment a request was due, so that a server that stalls cannot hide what it made wait.
 *
 *   bun bench/open-loop-client.ts URL PER_SECOND SECONDS [ACCEPT_ENCODING]
 */
export {}

const [, , url = '', perSecond = '1', seconds = '1', encoding = 'identity'] = Bun.argv
const total = Number(perSecond) * Number(seconds)
const periodMs = 1000 / Number(perSecond)
const latencies: number[] = []
let failures = 0

async function request(dueAt: number): Promise<void> {
  try {
    const response = await fetch(url, { headers: { 'accept-encoding': encoding }, decompress: false })
    await response.arrayBuffer()
    if (response.status !== 200) failures += 1
  } catch (error) {
    console.error(error)
    failures += 1
  }
  latencies.push(performance.now() - dueAt)
}

// A connection and compiled code before the clock runs.
await request(performance.now())
await request(performance.now())
latencies.length = 0
const startAt = performance.now() + 50
const pending: Promise<void>[] = []
for (let sent = 0; sent < total; sent++) {
  const dueAt = startAt + sent * periodMs
  const wait = dueAt - performance.now()
  if (wait > 0) await Bun.sleep(wait)
  pending.push(request(dueAt))
}
await Promise.all(pending)
latencies.sort((a, b) => a - b)
const at = (share: number): number => latencies[Math.min(total - 1, Math.ceil(share * total) - 1)] ?? Number.NaN
console.log(JSON.stringify({ failures, p50: at(0.5), p99: at(0.99), max: at(1) }))
