/** Manifests by tag and small blobs, 64 at once: the embedded registry beside docker-registry with the same charts. */
import { OCI_MANIFEST_TYPE } from '../test/stand/charts.ts'
import { isPresent } from '../test/stand/programs.ts'
import type { StandaloneBench } from './bench.ts'
import { checkPushed, makePushedCharts, PUSHED, type PushedChart } from './pushed-charts.ts'
import { openRegistryPair } from './registry-pair.ts'
import { pushAll } from './registry-push.ts'
import { compare, type Must, type Row, unmeasured } from './table.ts'
import { runWrk } from './wrk.ts'

const REQUESTS = 10_000
const AT_ONCE = 64
const MUST: Must = { of: 'ratio', atMost: 0.4 }
const READS: readonly { readonly figure: string; readonly path: (chart: PushedChart) => string }[] = [
  {
    figure: `${REQUESTS.toLocaleString('en')} manifests by tag, ${AT_ONCE} at once`,
    path: ({ repository, tag }) => `/v2/${repository}/manifests/${tag}`,
  },
  {
    figure: `${REQUESTS.toLocaleString('en')} blobs of 4 KB, ${AT_ONCE} at once`,
    path: ({ repository, layer }) => `/v2/${repository}/blobs/${layer.digest}`,
  },
]

export async function measureRegistryReads({ executable, runs }: StandaloneBench): Promise<readonly Row[]> {
  const missing = ['docker-registry', 'wrk'].find((program) => !isPresent(program))
  if (missing !== undefined) {
    return READS.map(({ figure }) => unmeasured(PUSHED.charts, figure, `skipped: ${missing} is not installed`, MUST))
  }
  await using pair = await openRegistryPair(executable)
  const { product, counterpartUrl } = pair
  const charts = makePushedCharts()
  for (const origin of [counterpartUrl, product.url]) {
    await pushAll(origin, 16)
    await checkPushed(origin, charts)
  }
  const rows: Row[] = []
  for (const { figure, path } of READS) {
    const paths = charts.map(path)
    const ours: number[] = []
    const theirs: number[] = []
    for (let run = 0; run < runs; run++) {
      theirs.push(await timeReads(counterpartUrl, paths))
      ours.push(await timeReads(product.url, paths))
    }
    rows.push(
      compare({
        versions: PUSHED.charts,
        figure,
        unit: 'ms',
        product: ours,
        counterpart: { name: 'docker-registry', values: theirs },
        peakMiB: [product.peakMiB()],
        must: MUST,
      }),
    )
  }
  return rows
}

/** Milliseconds for so many requests, from the rate at which they are answered. */
async function timeReads(url: string, paths: readonly string[]): Promise<number> {
  const headers = { accept: OCI_MANIFEST_TYPE }
  const { rate } = await runWrk({ url, paths, headers, connections: AT_ONCE })
  return (REQUESTS / rate) * 1000
}
