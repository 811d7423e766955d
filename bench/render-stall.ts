/** How long the event loop stands still while the index is rendered anew: the slowest /health of one every 5 ms. */
import { waitFor } from '../test/stand/wait-for.ts'
import { type Bench, openWarmProduct } from './bench.ts'
import { fetchFirstIndex } from './product.ts'
import { runSteadyLoad } from './steady-load.ts'
import { compare, type Row } from './table.ts'

const LOAD = { perSecond: 200, seconds: 4 }
const CHANGE_AFTER_MS = 1000

export async function measureRenderStall(bench: Bench): Promise<readonly Row[]> {
  const rendering: number[] = []
  const quiet: number[] = []
  await using product = await openWarmProduct(bench, ['--refresh-interval=500ms'])
  await fetchFirstIndex(product)
  const url = `${product.url}/health`
  for (let run = 0; run < bench.runs; run++) {
    quiet.push((await runSteadyLoad({ url, ...LOAD })).max)
    const versions = await product.versions()
    const load = runSteadyLoad({ url, ...LOAD })
    await Bun.sleep(CHANGE_AFTER_MS)
    bench.registry.addVersions(1)
    rendering.push((await load).max)
    await waitFor('the new version', async () => (await product.versions()) === versions + 1)
  }
  bench.registry.removeAdded()
  return [
    compare({
      versions: bench.size,
      figure: 'longest wait for /health while the index is rendered anew',
      unit: 'ms',
      product: rendering,
      counterpart: { name: 'while nothing changes', values: quiet },
      peakMiB: [product.peakMiB()],
    }),
  ]
}
