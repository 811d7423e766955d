/** What a refresh costs, in time and in requests, when nothing changed and when one tag is new. */
import { waitFor } from '../test/stand/wait-for.ts'
import { type Bench, crawlOnce, openWarmProduct } from './bench.ts'
import { fetchFirstIndex, openProduct, type Product } from './product.ts'
import { openProxiedRegistry, type RequestCounts } from './proxied-registry.ts'
import { compare, type Must, type Row } from './table.ts'

const IDLE: Must = { of: 'ratio', atMost: 0.01 }
const REQUESTS: Must = { of: 'figure', atMost: 5 }
/** A reader of a snapshot that is older than 2 s starts a refresh, and what is new is published once the rest after the last render is over. */
const STALE_MS = 6100

export async function measureRefresh(bench: Bench): Promise<readonly Row[]> {
  const crawl: number[] = []
  const idle: number[] = []
  const visible: number[] = []
  const peakMiB: number[] = []
  {
    await using product = await openWarmProduct(bench)
    await fetchFirstIndex(product)
    const { ms: crawlMs } = await crawlOnce(bench)
    for (let run = 0; run < bench.runs; run++) {
      crawl.push(crawlMs)
      idle.push(await timeRefresh(product, undefined))
      visible.push(await timeRefresh(product, () => bench.registry.addVersions(1)))
    }
    peakMiB.push(product.peakMiB())
    bench.registry.removeAdded()
  }
  const common = { versions: bench.size, peakMiB }
  const counted = await countRequests(bench)
  return [
    compare({
      ...common,
      figure: `refresh, nothing changed, ${bench.registry.repositories} repositories`,
      unit: 'ms',
      product: idle,
      counterpart: { name: 'first crawl', values: crawl },
      ...(bench.size >= 20_000 && { must: IDLE }),
    }),
    compare({
      ...common,
      figure: 'one new tag, from push to the last byte of /index.yaml',
      unit: 'ms',
      product: visible,
      counterpart: { name: 'refresh, nothing changed', values: idle },
    }),
    compare({
      versions: bench.size,
      figure: `requests of a refresh, nothing changed (HEAD ${counted.idle.checks}, others ${counted.idle.others})`,
      unit: 'requests',
      product: [total(counted.idle)],
      counterpart: { name: 'lists there are', values: [bench.registry.repositories + 1] },
    }),
    compare({
      versions: bench.size,
      figure: `one new tag, requests beyond the lists (manifests ${counted.news.manifests}, configs ${counted.news.blobs}, HEAD ${counted.news.checks})`,
      unit: 'requests',
      product: [total(counted.news) - counted.news.lists],
      must: REQUESTS,
    }),
  ]
}

/** The time of one GET /index.yaml that waits for a refresh, after `change`. */
async function timeRefresh(product: Product, change: (() => readonly string[]) | undefined): Promise<number> {
  await Bun.sleep(STALE_MS)
  const files = change?.() ?? []
  const startedAt = performance.now()
  const response = await fetch(`${product.url}/index.yaml`)
  const body = Buffer.from(await response.arrayBuffer())
  const ms = performance.now() - startedAt
  if (Number(response.headers.get('x-snapshot-age')) > 1) throw new Error('The answer was given without a refresh')
  for (const file of files) if (!body.includes(file)) throw new Error(`${file} is not in the index after one refresh`)
  return ms
}

async function countRequests(bench: Bench): Promise<{ readonly idle: RequestCounts; readonly news: RequestCounts }> {
  await using proxy = await openProxiedRegistry(bench.registry.host, 0)
  const { executable, temp } = bench
  await using product = await openProduct({ executable, host: proxy.host, cacheDir: `${temp.path}/counted` })
  await fetchFirstIndex(product)
  const versions = await product.versions()
  await proxy.takeCounts()
  await timeRefresh(product, undefined)
  const idle = await proxy.takeCounts()
  await timeRefresh(product, () => bench.registry.addVersions(1))
  const news = await proxy.takeCounts()
  await waitFor('the new version in /readyz', async () => (await product.versions()) === versions + 1)
  bench.registry.removeAdded()
  return { idle, news }
}

function total(counts: RequestCounts): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0)
}
