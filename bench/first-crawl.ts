/** From the start of the process, with an empty cache, to the last byte of a whole index; beside the registry's limit. */
import { join } from 'node:path'
import { runOrThrow } from '../test/stand/child.ts'
import { openTempDir } from '../test/stand/temp-dir.ts'
import { checkIndex } from './answer-check.ts'
import type { Bench } from './bench.ts'
import { fetchFirstIndex, openProduct } from './product.ts'
import { openProxiedRegistry } from './proxied-registry.ts'
import { compare, type Must, type Row } from './table.ts'

const NEAR: Must = { of: 'ratio', atMost: 1.15 }
const FAR: Must = { of: 'ratio', atMost: 1.3 }
const FAR_MS = 20

export async function measureFirstCrawl(bench: Bench): Promise<readonly Row[]> {
  return [await measure(bench, bench.registry.host, 'first crawl', bench.size >= 20_000 ? NEAR : undefined)]
}

export async function measureDistantCrawl(bench: Bench): Promise<readonly Row[]> {
  await using proxy = await openProxiedRegistry(bench.registry.host, FAR_MS)
  return [await measure(bench, proxy.host, `first crawl, ${FAR_MS} ms away`, FAR)]
}

async function measure(bench: Bench, host: string, figure: string, must: Must | undefined): Promise<Row> {
  const product: number[] = []
  const limit: number[] = []
  const peakMiB: number[] = []
  for (let run = 0; run < bench.runs; run++) {
    limit.push(await timeLimit(host, bench.registry.versions()))
    const crawled = await timeCrawl(bench, host)
    product.push(crawled.ms)
    peakMiB.push(crawled.peakMiB)
  }
  return compare({
    versions: bench.size,
    figure,
    unit: 'ms',
    product,
    counterpart: { name: "the registry's limit", values: limit },
    peakMiB,
    ...(must && { must }),
  })
}

async function timeLimit(host: string, versions: number): Promise<number> {
  const startedAt = performance.now()
  const { stdout } = await runOrThrow([process.execPath, join(import.meta.dir, 'registry-limit.ts'), host])
  const ms = performance.now() - startedAt
  if (Number(stdout) !== versions) throw new Error(`The registry has ${stdout.trim()} versions, not ${versions}`)
  return ms
}

async function timeCrawl(bench: Bench, host: string): Promise<{ readonly ms: number; readonly peakMiB: number }> {
  await using temp = await openTempDir()
  await using product = await openProduct({ executable: bench.executable, host, cacheDir: temp.path })
  const index = await fetchFirstIndex(product)
  const ms = performance.now() - product.startedAt
  checkIndex(index, bench.registry.versions())
  return { ms, peakMiB: product.peakMiB() }
}
