/** One process through everything: crawl from nothing, 100 renders, load; its peak, and whether renders leave anything. */
import { isPresent } from '../test/stand/programs.ts'
import { openTempDir } from '../test/stand/temp-dir.ts'
import { waitFor } from '../test/stand/wait-for.ts'
import type { Bench } from './bench.ts'
import { fetchForm, indexForms } from './index-forms.ts'
import { fetchFirstIndex, openProduct, type Product } from './product.ts'
import { compare, type Must, type Row } from './table.ts'
import { runWrk } from './wrk.ts'

const RENDERS = { first: 20, last: 100 }
/** Between two renders the server rests for four times as long as one takes, which is half a minute here. */
const FEW_RENDERS = { first: 5, last: 20 }
/** Fewer would be as flat by chance; more is what garbage collectors are free to do. */
const FLAT = 1.1

export async function measureMemory(bench: Bench): Promise<readonly Row[]> {
  await using temp = await openTempDir()
  const { executable, registry, size } = bench
  const { first, last } = size >= 100_000 ? FEW_RENDERS : RENDERS
  const args = ['--refresh-interval=100ms']
  await using product = await openProduct({ executable, host: registry.host, cacheDir: temp.path, args })
  await fetchFirstIndex(product)
  const crawledMiB = product.peakMiB()
  await renderAnew(bench, product, first)
  const earlyMiB = await settledMiB(product)
  await renderAnew(bench, product, last - first)
  const lateMiB = await settledMiB(product)
  const renderedMiB = product.peakMiB()
  const load = isPresent('wrk') ? 'load' : 'no load: wrk is not installed'
  for (const form of isPresent('wrk') ? indexForms : []) {
    if ((await fetchForm(product.url, form)) === undefined) continue
    await runWrk({ url: `${product.url}/index.yaml`, headers: form.headers, connections: 32 })
  }
  registry.removeAdded()
  const limit: Must = { of: 'peak', atMost: size >= 100_000 ? 600 : 200 }
  const flat: Must = { of: 'ratio', atMost: FLAT }
  // A small heap doubles before it settles: flat is asked of the sizes that the limits are for.
  const isMust = size >= 20_000
  return [
    compare({
      versions: size,
      figure: `peak RSS through crawl, ${last} renders, ${load}`,
      unit: 'MiB',
      product: [product.peakMiB()],
      counterpart: { name: `before the load; after the crawl ${crawledMiB.toFixed(0)} MiB`, values: [renderedMiB] },
      peakMiB: [product.peakMiB()],
      ...(isMust && { must: limit }),
    }),
    compare({
      versions: size,
      figure: `RSS after ${last} renders`,
      unit: 'MiB',
      product: [lateMiB],
      counterpart: { name: `after ${first}`, values: [earlyMiB] },
      ...(isMust && { must: flat }),
    }),
  ]
}

async function renderAnew(bench: Bench, product: Product, times: number): Promise<void> {
  for (let render = 0; render < times; render++) {
    const versions = await product.versions()
    bench.registry.addVersions(1)
    const found = async (): Promise<boolean> => (await product.versions()) === versions + 1
    await waitFor('the new version', found, { timeoutMs: 120_000 })
  }
}

/** The least of a second: what is in use rather than what waits to be collected. */
async function settledMiB(product: Product): Promise<number> {
  const samples: number[] = []
  for (let sample = 0; sample < 10; sample++) {
    samples.push(product.residentMiB())
    await Bun.sleep(100)
  }
  return Math.min(...samples)
}
