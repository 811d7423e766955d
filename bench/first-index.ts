/**
 * Time to the first full index, to the second, and peak memory: the compiled executable in front of a real
 * docker-registry on this machine, its answer checked against what was pushed before any figure is printed.
 *
 *   bun bench/first-index.ts [VERSIONS=1000] [RUNS=5]
 */
import { join } from 'node:path'
import { parse } from 'yaml'
import { buildExecutable } from '../test/stand/executable.ts'
import { pushManyCharts } from '../test/stand/many-charts.ts'
import { openRegistry } from '../test/stand/registry.ts'
import { openTempDir } from '../test/stand/temp-dir.ts'
import { fetchFirstIndex, openProduct } from './product.ts'
import { median } from './table.ts'

const versions = Number(Bun.argv[2] ?? 1000)
const runs = Number(Bun.argv[3] ?? 5)
const VERSIONS_PER_CHART = 40

/** What a user gets who names the registry and nothing else. */
const DEFAULTS = [
  '--storage-registry-scheme=',
  '--refresh-interval=30s',
  '--refresh-wait=500ms',
  '--revalidate-interval=10m',
]

interface Figures {
  readonly firstMs: number
  readonly secondMs: number
  readonly peakMiB: number
}

/** From the start of the process, with an empty cache, to the last byte of a whole index; then the same request again. */
async function measure(executable: string, host: string): Promise<Figures & { readonly index: string }> {
  await using temp = await openTempDir()
  await using product = await openProduct({ executable, host, cacheDir: join(temp.path, 'cache'), args: DEFAULTS })
  const index = await fetchFirstIndex(product)
  const firstMs = performance.now() - product.startedAt
  const secondAt = performance.now()
  const second = await (await fetch(`${product.url}/index.yaml`)).text()
  const secondMs = performance.now() - secondAt
  if (second !== index) throw new Error('The second index differs from the first')
  return { firstMs, secondMs, peakMiB: product.peakMiB(), index }
}

await using registry = await openRegistry()
const pushed = await pushManyCharts(registry, { charts: versions / VERSIONS_PER_CHART, versions: VERSIONS_PER_CHART })
const executable = await buildExecutable()
const figures: Figures[] = []
for (let run = 0; run < runs; run++) {
  const { index, ...measured } = await measure(executable, registry.host)
  const { entries } = parse(index) as { entries: Record<string, unknown[]> }
  const count = Object.values(entries).flat().length
  if (count !== pushed.length) throw new Error(`The index has ${count} versions, ${pushed.length} were pushed`)
  figures.push(measured)
}
const of = (key: keyof Figures) => median(figures.map((each) => each[key])).toFixed(key === 'secondMs' ? 1 : 0)
console.log(
  `${versions} chart versions, median of ${runs}: first full index ${of('firstMs')} ms, second ${of('secondMs')} ms, peak RSS ${of('peakMiB')} MiB`,
)
