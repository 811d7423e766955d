/** What every measurement is given. */
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { openTempDir, type TempDir } from '../test/stand/temp-dir.ts'
import { checkIndex } from './answer-check.ts'
import { fetchFirstIndex, openProduct, type Product } from './product.ts'
import type { SeededRegistry } from './seeded-registry.ts'

export interface Bench extends StandaloneBench {
  readonly registry: SeededRegistry
  /** A directory for what outlives one measurement. */
  readonly temp: TempDir
}

/** The same for one that brings its own registry. */
export interface StandaloneBench {
  readonly executable: string
  readonly size: number
  readonly runs: number
}

export interface WarmProduct extends Product {
  readonly cacheDir: string
}

export interface Crawled {
  /** Left by a server that has crawled the whole registry and was stopped. */
  readonly cacheDir: string
  /** From the start of its process to the last byte of the index. */
  readonly ms: number
}

const crawls = new WeakMap<TempDir, Promise<Crawled>>()

/** A first crawl that others begin with; crawled once per size. */
export function crawlOnce(bench: Bench): Promise<Crawled> {
  const crawled = crawls.get(bench.temp) ?? crawl(bench)
  crawls.set(bench.temp, crawled)
  return crawled
}

async function crawl({ executable, registry, temp }: Bench): Promise<Crawled> {
  const cacheDir = join(temp.path, 'crawled')
  await using product = await openProduct({ executable, host: registry.host, cacheDir })
  checkIndex(await fetchFirstIndex(product), registry.versions())
  return { cacheDir, ms: performance.now() - product.startedAt }
}

/** A server that starts with a copy of that cache. */
export async function openWarmProduct(bench: Bench, args: readonly string[] = []): Promise<WarmProduct> {
  await using stack = new AsyncDisposableStack()
  const temp = stack.use(await openTempDir())
  const cacheDir = join(temp.path, 'cache')
  await cp((await crawlOnce(bench)).cacheDir, cacheDir, { recursive: true })
  const { executable, registry } = bench
  const product = stack.use(await openProduct({ executable, host: registry.host, cacheDir, args }))
  const owned = stack.move()
  return { ...product, cacheDir, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}
