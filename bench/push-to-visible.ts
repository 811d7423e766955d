/** From the answer to a push into the embedded registry to the last byte of an index that has it. */
import { openTempDir } from '../test/stand/temp-dir.ts'
import { waitFor } from '../test/stand/wait-for.ts'
import { checkIndex } from './answer-check.ts'
import type { StandaloneBench } from './bench.ts'
import { fetchForm, indexForms } from './index-forms.ts'
import { fetchFirstIndex, openEmbedded, type Product } from './product.ts'
import { pushChart } from './push.ts'
import { openSeededLayouts } from './seeded-layouts.ts'
import { compare, type Must, type Row } from './table.ts'

const MUST: Must = { of: 'figure', atMost: 50 }
/** A reader of a snapshot that is older than 2 s has the directory looked through, once the rest after the last render is over. */
const STALE_MS = 6100

export async function measurePushToVisible({ executable, size, runs }: StandaloneBench): Promise<readonly Row[]> {
  using layouts = openSeededLayouts(size)
  await using cache = await openTempDir()
  await using product = await openEmbedded({ executable, dir: layouts.dir, cacheDir: cache.path })
  checkIndex(await fetchFirstIndex(product), layouts.versions)
  const pushed: number[] = []
  const quiet: number[] = []
  for (let run = 0; run < runs; run++) {
    await settle(product)
    quiet.push((await timeIndex(product)).ms)
    await settle(product)
    const chart = layouts.makeNewChart()
    await pushChart(product.url, chart)
    const { ms, body } = await timeIndex(product)
    if (!body.includes(chart.file)) throw new Error(`${chart.file} is not in the first index after the push`)
    pushed.push(ms)
  }
  checkIndex(await fetchFirstIndex(product), layouts.versions + runs)
  return [
    compare({
      versions: size,
      figure: 'embedded registry: from the answer to a push to the last byte of /index.yaml with it',
      unit: 'ms',
      product: pushed,
      counterpart: { name: 'the same GET without a push', values: quiet },
      peakMiB: [product.peakMiB()],
      ...(size >= 20_000 && size < 100_000 && { must: MUST }),
    }),
  ]
}

async function timeIndex({ url }: Product): Promise<{ readonly ms: number; readonly body: Buffer }> {
  const startedAt = performance.now()
  const response = await fetch(`${url}/index.yaml`, { headers: { 'accept-encoding': 'identity' } })
  // Put together after the clock has stopped: what that costs is the client's doing.
  const pieces: Uint8Array[] = []
  for await (const piece of response.body ?? []) pieces.push(piece)
  const ms = performance.now() - startedAt
  if (response.status !== 200) throw new Error(`GET /index.yaml was answered with ${response.status}`)
  return { ms, body: Buffer.concat(pieces) }
}

/** Until the index was made as a whole, which its compressed forms tell, and has become old. */
async function settle(product: Product): Promise<void> {
  const isWhole = async (): Promise<boolean> => {
    const offered = await Promise.all(indexForms.map((form) => fetchForm(product.url, form)))
    return offered.every((form) => form !== undefined)
  }
  await waitFor('the whole index', isWhole, { timeoutMs: 120_000, everyMs: 250 })
  await Bun.sleep(STALE_MS)
}
