/** Latency of GET /index.yaml (gzip) at 100 requests a second while a refresh finds 100 new versions. */
import { type Bench, openWarmProduct } from './bench.ts'
import { fetchForm, indexForms } from './index-forms.ts'
import { fetchFirstIndex } from './product.ts'
import { runSteadyLoad } from './steady-load.ts'
import { compare, type Must, type Row, unmeasured } from './table.ts'

const FIGURE = 'p99 of /index.yaml (gzip), 100/s, 100 versions change'
const MUST: Must = { of: 'figure', atMost: 20 }
const CHANGED = 100
const LOAD = { perSecond: 100, seconds: 6, encoding: 'gzip' }
/** So that the change is found, rendered and compressed while the load is on: readers ask for news every two seconds. */
const CHANGE_AFTER_MS = 1000

export async function measureLatencyUnderRefresh(bench: Bench): Promise<readonly Row[]> {
  return [
    await measure(bench, `${FIGURE}, --refresh-wait=0`, ['--refresh-wait=0'], MUST),
    await measure(bench, 'the same, readers wait for a refresh (the default)', ['--refresh-wait=500ms'], undefined),
  ]
}

async function measure(bench: Bench, figure: string, args: readonly string[], must: Must | undefined): Promise<Row> {
  const changing: number[] = []
  const quiet: number[] = []
  const peakMiB: number[] = []
  const gzip = indexForms.find(({ name }) => name === 'yaml-gzip')
  for (let run = 0; run < bench.runs; run++) {
    await using product = await openWarmProduct(bench, args)
    await fetchFirstIndex(product)
    if (gzip === undefined || (await fetchForm(product.url, gzip)) === undefined) {
      return unmeasured(bench.size, figure, 'not offered', must, 'ms')
    }
    const url = `${product.url}/index.yaml`
    // A server that has run for a while: its code is compiled, and it has listed the registry once.
    await runSteadyLoad({ url, ...LOAD })
    quiet.push((await runSteadyLoad({ url, ...LOAD })).p99)
    const versions = await product.versions()
    const load = runSteadyLoad({ url, ...LOAD })
    await Bun.sleep(CHANGE_AFTER_MS)
    bench.registry.addVersions(CHANGED)
    changing.push((await load).p99)
    if ((await product.versions()) !== versions + CHANGED) throw new Error('The change came after the load')
    peakMiB.push(product.peakMiB())
    bench.registry.removeAdded()
  }
  return compare({
    versions: bench.size,
    figure,
    unit: 'ms',
    product: changing,
    counterpart: { name: 'nothing changes', values: quiet },
    peakMiB,
    ...(must && { must }),
  })
}
