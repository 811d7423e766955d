/** From the start of a process that finds a catalog to the last byte of its first index. */
import { checkIndex } from './answer-check.ts'
import { type Bench, openWarmProduct } from './bench.ts'
import { fetchFirstIndex } from './product.ts'
import { compare, type Must, type Row } from './table.ts'

const MUST: Must = { of: 'figure', atMost: 300 }

export async function measureRestart(bench: Bench): Promise<readonly Row[]> {
  const isMust = bench.size >= 20_000 && bench.size < 100_000
  return [
    await measure(bench, 'restart to the first full index, --refresh-wait=0', ['--refresh-wait=0'], isMust),
    await measure(bench, 'the same, readers wait for a refresh (the default)', ['--refresh-wait=500ms'], false),
  ]
}

async function measure(bench: Bench, figure: string, args: readonly string[], isMust: boolean): Promise<Row> {
  const product: number[] = []
  const bare: number[] = []
  const peakMiB: number[] = []
  for (let run = 0; run < bench.runs; run++) {
    bare.push(timeBareStart(bench.executable))
    await using restarted = await openWarmProduct(bench, args)
    const index = await fetchFirstIndex(restarted)
    product.push(performance.now() - restarted.startedAt)
    checkIndex(index, bench.registry.versions())
    peakMiB.push(restarted.peakMiB())
  }
  return compare({
    versions: bench.size,
    figure,
    unit: 'ms',
    product,
    counterpart: { name: 'the executable with --version', values: bare },
    peakMiB,
    ...(isMust && { must: MUST }),
  })
}

function timeBareStart(executable: string): number {
  const startedAt = performance.now()
  Bun.spawnSync([executable, '--version'])
  return performance.now() - startedAt
}
