/** The charts that are pushed: made anew by the program that pushes them and by whoever looks whether they are there. */
import { OCI_MANIFEST_TYPE } from '../test/stand/charts.ts'
import { describeChart } from '../test/stand/many-charts.ts'
import { type ChartContent, makeChartContent, type StoredBlob } from './chart-content.ts'

export interface PushedChart extends ChartContent {
  readonly repository: string
}

export const PUSHED = { charts: 1000, repositories: 10 }
const LAYER_BYTES = 4096
const AT_ONCE = 16

/** Neighbours belong to different repositories. Every layer is another one. */
export function makePushedCharts(): readonly PushedChart[] {
  const { charts, repositories } = PUSHED
  return Array.from({ length: charts }, (_, i) => {
    const chart = describeChart(i % repositories, Math.floor(i / repositories))
    const pattern = Bun.CryptoHasher.hash('sha512', `${chart.name} ${chart.version}`)
    return { repository: `charts/${chart.name}`, ...makeChartContent(chart, Buffer.alloc(LAYER_BYTES, pattern)) }
  })
}

/** @throws when a registry does not list a tag or answers other bytes than were pushed. */
export async function checkPushed(origin: string, charts: readonly PushedChart[]): Promise<void> {
  for (const [repository, pushed] of Map.groupBy(charts, (chart) => chart.repository)) {
    const { tags } = (await (await fetch(`${origin}/v2/${repository}/tags/list`)).json()) as { tags: string[] }
    const wanted = pushed.map(({ tag }) => tag)
    if (!Bun.deepEquals(tags.toSorted(), wanted.toSorted())) {
      throw new Error(`${origin} lists ${tags.length} tags of ${repository}, ${wanted.length} were pushed`)
    }
  }
  const waiting = charts.values()
  const lane = async (): Promise<void> => {
    for (const { repository, tag, config, layer, manifest } of waiting) {
      await checkBytes(`${origin}/v2/${repository}/manifests/${tag}`, manifest)
      for (const blob of [config, layer]) await checkBytes(`${origin}/v2/${repository}/blobs/${blob.digest}`, blob)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, lane))
}

async function checkBytes(url: string, { bytes }: StoredBlob): Promise<void> {
  const response = await fetch(url, { headers: { accept: OCI_MANIFEST_TYPE } })
  const answer = Buffer.from(await response.arrayBuffer())
  if (response.status === 200 && answer.equals(typeof bytes === 'string' ? Buffer.from(bytes) : bytes)) return
  throw new Error(`${url} answers ${response.status} and other bytes than were pushed`)
}
