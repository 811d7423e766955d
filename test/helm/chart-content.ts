/** Manifests, configs and records of charts, made in memory for tests. */
import {
  type ChartRecord,
  type MadeChart,
  type ManifestRecord,
  makeChartRecord,
  type SkippedRecord,
} from '../../src/helm/chart-record.ts'
import { type Digest, digestBytes } from '../../src/oci/digest.ts'
import type { Descriptor, ImageManifest } from '../../src/oci/manifest.ts'
import { mediaTypes } from '../../src/oci/media-types.ts'

/** A descriptor whose digest is that of `content`. */
export function describeContent(
  mediaType: string,
  content: string,
  algorithm: 'sha256' | 'sha512' = 'sha256',
): Descriptor {
  const bytes = Buffer.from(content)
  return { mediaType, digest: digestBytes(bytes, algorithm), size: bytes.byteLength }
}

/** The manifest `helm push` makes of a chart whose package has the bytes `content`. */
export function chartManifest(
  content = 'package',
  annotations: Readonly<Record<string, string>> = {},
  layers: readonly Descriptor[] = [describeContent(mediaTypes.helmChart, content)],
): ImageManifest {
  const config = describeContent(mediaTypes.helmConfig, `config of ${content}`)
  return { kind: 'image', config, layers, annotations: new Map(Object.entries(annotations)) }
}

/** A digest for `manifest`: another one whenever its layers or annotations differ. */
function digestOf(manifest: ImageManifest): Digest {
  return digestBytes(Buffer.from(JSON.stringify([manifest.layers, [...manifest.annotations]])))
}

interface ReadOptions {
  readonly manifest?: ImageManifest
  /** Gets the paths of what was left out. */
  readonly dropped?: string[]
}

/** What becomes of a manifest and the config `config` says: a record and its entry, or why it is no chart. */
export function readChart(
  config: unknown,
  { manifest = chartManifest(), dropped = [] }: ReadOptions = {},
): MadeChart | SkippedRecord {
  const bytes = Buffer.from(JSON.stringify(config))
  return makeChartRecord({ digest: digestOf(manifest), manifest }, bytes, (paths) => dropped.push(...paths))
}

/** The record alone. */
export function readRecord(config: unknown, options: ReadOptions = {}): ManifestRecord {
  const read = readChart(config, options)
  return 'record' in read ? read.record : read
}

/** The record and the entry of what must be a chart; @throws with the reason when it is none. */
export function madeChart(config: unknown, options: ReadOptions = {}): MadeChart {
  const read = readChart(config, options)
  if ('record' in read) return read
  throw new Error(`This is no chart: ${read.reason}`)
}

export type Metadata = { readonly name: string; readonly version: string } & Readonly<Record<string, unknown>>

/** The record and the entry of a chart, with nothing left out. */
export function chartOf(metadata: Metadata, created?: string): MadeChart {
  const annotations: Record<string, string> = {}
  if (created !== undefined) annotations['org.opencontainers.image.created'] = created
  const dropped: string[] = []
  const manifest = chartManifest(`${metadata.name} ${metadata.version}`, annotations)
  const made = madeChart(metadata, { manifest, dropped })
  if (dropped.length > 0) throw new Error(`Of the metadata of ${metadata.name} was left out: ${dropped.join(' ')}`)
  return made
}

/** Its record alone. */
export function chartRecord(metadata: Metadata, created?: string): ChartRecord {
  return chartOf(metadata, created).record
}
