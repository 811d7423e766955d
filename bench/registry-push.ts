/** Many small charts pushed into the embedded registry, beside the same pushes into docker-registry. */
import { join } from 'node:path'
import { runOrThrow } from '../test/stand/child.ts'
import { isPresent } from '../test/stand/programs.ts'
import type { StandaloneBench } from './bench.ts'
import { checkPushed, makePushedCharts, PUSHED } from './pushed-charts.ts'
import { openRegistryPair } from './registry-pair.ts'
import { compare, type Must, type Row, unmeasured } from './table.ts'

const AT_ONCE = 16
const FIGURE = `push of ${PUSHED.charts.toLocaleString('en')} charts into ${PUSHED.repositories} repositories, ${AT_ONCE} at once`
const MUST: Must = { of: 'ratio', atMost: 0.6 }

export async function measureRegistryPush({ executable, runs }: StandaloneBench): Promise<readonly Row[]> {
  if (!isPresent('docker-registry')) {
    return [unmeasured(PUSHED.charts, FIGURE, 'skipped: docker-registry is not installed', MUST)]
  }
  const charts = makePushedCharts()
  const ours: number[] = []
  const theirs: number[] = []
  const peakMiB: number[] = []
  for (let run = 0; run < runs; run++) {
    await using pair = await openRegistryPair(executable)
    const { product, counterpartUrl } = pair
    theirs.push(await pushAll(counterpartUrl, AT_ONCE))
    ours.push(await pushAll(product.url, AT_ONCE))
    peakMiB.push(product.peakMiB())
    for (const origin of [counterpartUrl, product.url]) await checkPushed(origin, charts)
  }
  return [
    compare({
      versions: PUSHED.charts,
      figure: FIGURE,
      unit: 'ms',
      product: ours,
      counterpart: { name: 'docker-registry', values: theirs },
      peakMiB,
      must: MUST,
    }),
  ]
}

/** Starts the program of push-client.ts; milliseconds. */
export async function pushAll(origin: string, atOnce: number): Promise<number> {
  const program = join(import.meta.dir, 'push-client.ts')
  const { stdout } = await runOrThrow([process.execPath, program, origin, String(atOnce)])
  return Number(stdout)
}
