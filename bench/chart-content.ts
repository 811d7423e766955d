/** What a registry keeps of a chart version: two blobs, and the manifest that is made of them. */
import {
  CHART_LAYER_TYPE,
  type ChartDescription,
  CONFIG_TYPE,
  digestOf,
  OCI_MANIFEST_TYPE,
} from '../test/stand/charts.ts'

export interface StoredBlob {
  /** `sha256:…` */
  readonly digest: string
  readonly size: number
  readonly bytes: string | Uint8Array<ArrayBuffer>
}

export interface ChartContent {
  readonly tag: string
  readonly config: StoredBlob
  readonly layer: StoredBlob
  readonly manifest: StoredBlob
}

/** `archive` is the chart's archive; a short text if none. */
export function makeChartContent(chart: ChartDescription, archive?: Uint8Array<ArrayBuffer>): ChartContent {
  const config = toBlob(JSON.stringify(chart))
  const layer = toBlob(archive ?? `not unpacked by anybody here: ${chart.name} ${chart.version}`)
  const manifest = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST_TYPE,
    config: { mediaType: CONFIG_TYPE, digest: config.digest, size: config.size },
    layers: [{ mediaType: CHART_LAYER_TYPE, digest: layer.digest, size: layer.size }],
    annotations: { 'org.opencontainers.image.created': '2026-03-01T12:00:00Z' },
  }
  return { tag: chart.version.replaceAll('+', '_'), config, layer, manifest: toBlob(JSON.stringify(manifest)) }
}

function toBlob(bytes: string | Uint8Array<ArrayBuffer>): StoredBlob {
  return { digest: digestOf(bytes), size: Buffer.byteLength(bytes), bytes }
}
