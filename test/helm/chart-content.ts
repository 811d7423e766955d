/** Manifests, configs and records of charts, made in memory for tests. */
import { type ChartRecord, type ManifestRecord, makeChartRecord } from '../../src/helm/chart-record.ts'
import { digestBytes } from '../../src/oci/digest.ts'
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

/** What becomes of a manifest and the config `config` says; `dropped` gets what was left out. */
export function readRecord(
  config: unknown,
  { manifest = chartManifest(), dropped = [] }: { manifest?: ImageManifest; dropped?: string[] } = {},
): ManifestRecord {
  return makeChartRecord(manifest, Buffer.from(JSON.stringify(config)), (paths) => dropped.push(...paths))
}

/** A record that must be a chart's, with nothing left out. */
export function chartRecord(
  metadata: { readonly name: string; readonly version: string } & Readonly<Record<string, unknown>>,
  created?: string,
): ChartRecord {
  const annotations: Record<string, string> = {}
  if (created !== undefined) annotations['org.opencontainers.image.created'] = created
  const dropped: string[] = []
  const manifest = chartManifest(`${metadata.name} ${metadata.version}`, annotations)
  const record = readRecord(metadata, { manifest, dropped })
  if (record.kind !== 'chart') throw new Error(`The metadata of ${metadata.name} is no chart's: ${record.reason}`)
  if (dropped.length > 0) throw new Error(`Of the metadata of ${metadata.name} was left out: ${dropped.join(' ')}`)
  return record
}
