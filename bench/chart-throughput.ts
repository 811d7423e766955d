/** Chart files of three sizes per second, beside nginx with one worker and the same bytes in files. */

import { describeChart } from '../test/stand/many-charts.ts'
import { isPresent } from '../test/stand/programs.ts'
import { openTempDir } from '../test/stand/temp-dir.ts'
import type { Bench } from './bench.ts'
import { openNginx } from './nginx.ts'
import { fetchFirstIndex, openProduct } from './product.ts'
import { openQuietRegistry } from './quiet-registry.ts'
import { seedVersion } from './seed.ts'
import { compare, type Must, type Row, unmeasured } from './table.ts'
import { runWrk } from './wrk.ts'

const KiB = 1024
const CHARTS: readonly { readonly name: string; readonly bytes: number; readonly must: Must }[] = [
  { name: '4 KB', bytes: 4 * KiB, must: { of: 'ratio', atLeast: 0.5 } },
  { name: '64 KB', bytes: 64 * KiB, must: { of: 'ratio', atLeast: 0.8 } },
  { name: '1 MB', bytes: 1024 * KiB, must: { of: 'ratio', atLeast: 1 } },
]

export async function measureChartThroughput(bench: Bench): Promise<readonly Row[]> {
  const missing = ['nginx', 'wrk'].find((program) => !isPresent(program))
  if (missing !== undefined) {
    const reason = `skipped: ${missing} is not installed`
    return CHARTS.map(({ name, must }) => unmeasured(bench.size, `chart of ${name}`, reason, must))
  }
  await using root = await openTempDir()
  await using cache = await openTempDir()
  const charts = CHARTS.map(({ name, bytes, must }, i) => {
    const chart = describeChart(i, 0)
    const content = crypto.getRandomValues(Buffer.alloc(bytes).subarray(0, Math.min(bytes, 65_536)))
    const layer = Buffer.concat(Array.from({ length: bytes / content.byteLength }, () => content))
    seedVersion(root.path, chart, layer)
    return { name, must, layer, file: `${chart.name}-${chart.version}.tgz` }
  })
  await using registry = await openQuietRegistry(root.path)
  const { executable } = bench
  await using product = await openProduct({ executable, host: registry.host, cacheDir: cache.path })
  await fetchFirstIndex(product)
  await using nginx = await openNginx(
    charts.map(({ file, layer }) => ({ name: file, bytes: layer, contentType: 'application/gzip' })),
  )
  const rows: Row[] = []
  for (const { name, must, layer, file } of charts) {
    const url = `${product.url}/charts/${file}`
    const answer = Buffer.from(await (await fetch(url)).arrayBuffer())
    if (!answer.equals(layer)) throw new Error(`${url} answers other bytes than were pushed`)
    const ours: number[] = []
    const theirs: number[] = []
    for (let run = 0; run < bench.runs; run++) {
      theirs.push((await runWrk({ url: `${nginx.url}/${file}` })).rate)
      ours.push((await runWrk({ url })).rate)
    }
    rows.push(
      compare({
        versions: charts.length,
        figure: `chart of ${name}`,
        unit: 'requests/s',
        product: ours,
        counterpart: { name: 'nginx', values: theirs },
        peakMiB: [product.peakMiB()],
        must,
      }),
    )
  }
  return rows
}
