/**
 * Time to the first full index, to the second, and peak memory: the compiled executable in front of a real
 * docker-registry on this machine, its answer checked against what was pushed before any figure is printed.
 *
 *   bun bench/first-index.ts [VERSIONS=1000] [RUNS=5]
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { openChild, waitForOutput } from '../test/stand/child.ts'
import { buildExecutable } from '../test/stand/executable.ts'
import { pushManyCharts } from '../test/stand/many-charts.ts'
import { openRegistry } from '../test/stand/registry.ts'
import { openTempDir } from '../test/stand/temp-dir.ts'

const versions = Number(Bun.argv[2] ?? 1000)
const runs = Number(Bun.argv[3] ?? 5)
const VERSIONS_PER_CHART = 40

interface Figures {
  readonly firstMs: number
  readonly secondMs: number
  readonly peakMiB: number
}

/** From the start of the process, with an empty cache, to the last byte of a whole index; then the same request again. */
async function measure(executable: string, host: string): Promise<Figures & { readonly index: string }> {
  await using temp = await openTempDir()
  const startedAt = performance.now()
  await using child = openChild([
    executable,
    '--storage=registry',
    `--storage-registry-repo=${host}`,
    '--port=0',
    '--listen-host=127.0.0.1',
    '--log-level=warn',
    `--cache-dir=${join(temp.path, 'cache')}`,
  ])
  const url = `${(await waitForOutput(child, 'stdout', / at (http:\S+)/))[1]}/index.yaml`
  let response = await fetch(url)
  while (response.status === 503) {
    await response.body?.cancel()
    await Bun.sleep(2)
    response = await fetch(url)
  }
  const index = await response.text()
  const firstMs = performance.now() - startedAt
  const secondAt = performance.now()
  const second = await (await fetch(url)).text()
  const secondMs = performance.now() - secondAt
  if (second !== index) throw new Error('The second index differs from the first')
  const peakKiB = Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1])
  return { firstMs, secondMs, peakMiB: peakKiB / 1024, index }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
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
