/**
 * What a manifest digest means, for ever: a chart version, or the reason why it is none.
 *
 * Invariant: a record depends on the manifest and config bytes alone, so it is made once per digest and kept.
 */

import { tryParseJson } from '../lib/json.ts'
import { limits } from '../limits.ts'
import { type Digest, digestAlgorithm, digestHex } from '../oci/digest.ts'
import type { ImageManifest } from '../oci/manifest.ts'
import { mediaTypes } from '../oci/media-types.ts'
import { cleanMetadata } from './chart-metadata.ts'
import { type IndexEntry, renderEntry } from './index-entry.ts'

/** A layer as it is kept: enough to fetch and verify it. */
export interface LayerRecord {
  readonly digest: Digest
  /** Bytes. */
  readonly size: number
}

export interface ChartRecord {
  readonly kind: 'chart'
  readonly name: string
  readonly version: string
  /** RFC 3339 in UTC, such as `2026-03-01T12:00:00Z`. */
  readonly created: string | undefined
  readonly chart: LayerRecord
  readonly provenance: LayerRecord | undefined
  /** The manifest that was looked into: its index entry is kept under this digest. */
  readonly manifest: Digest
}

export interface SkippedRecord {
  readonly kind: 'skipped'
  /** Why this is no chart, for the log: `its config is an image's`. */
  readonly reason: string
}

export type ManifestRecord = ChartRecord | SkippedRecord

export function skipped(reason: string): SkippedRecord {
  return { kind: 'skipped', reason }
}

/**
 * The layers of a chart manifest, wherever they stand (layers are sorted by digest, so provenance may come first), or
 * the reason why the manifest is no chart's. Provenance over its bound is left out: nothing signed is that long.
 */
export function findChartLayers(
  manifest: ImageManifest,
): { readonly chart: LayerRecord; readonly provenance: LayerRecord | undefined } | SkippedRecord {
  if (manifest.config.mediaType !== mediaTypes.helmConfig) {
    return skipped(`its config is ${printableType(manifest.config.mediaType)}, not a chart's`)
  }
  const find = (type: string) => manifest.layers.find((layer) => layer.mediaType === type)
  const chart = find(mediaTypes.helmChart) ?? find(mediaTypes.helmChartLegacy)
  if (chart === undefined) return skipped('it has no chart layer')
  const signed = find(mediaTypes.helmProvenance)
  const provenance = signed !== undefined && signed.size <= limits.maxProvenanceBytes ? signed : undefined
  return {
    chart: { digest: chart.digest, size: chart.size },
    provenance: provenance && { digest: provenance.digest, size: provenance.size },
  }
}

export interface MadeChart {
  readonly record: ChartRecord
  readonly entry: IndexEntry
}

/**
 * The record of the chart manifest called `digest`, and its index entry, from its config blob's bytes. `onDropped` is
 * told of metadata that was left out.
 */
export function makeChartRecord(
  { digest, manifest }: { readonly digest: Digest; readonly manifest: ImageManifest },
  config: Uint8Array,
  onDropped: (paths: readonly string[]) => void,
): MadeChart | SkippedRecord {
  const layers = findChartLayers(manifest)
  if ('kind' in layers) return layers
  const document = tryParseJson(config)
  if (document === undefined) return skipped('its config is no JSON')
  const cleaned = cleanMetadata(document)
  if ('fault' in cleaned) return skipped(cleaned.fault)
  const { metadata, dropped } = cleaned
  if (Buffer.byteLength(`${metadata.name}-${metadata.version}.tgz.prov`) > limits.maxFileNameBytes) {
    return skipped('its name and version make a file name that is too long')
  }
  if (dropped.length > 0) onDropped(dropped)
  const created = tryParseCreated(manifest.annotations.get('org.opencontainers.image.created'))
  const { digest: chartDigest } = layers.chart
  const entry = renderEntry({
    ...metadata,
    created,
    // Helm 4 takes the digest as a cache key and fails on anything but 32 bytes of hex: sha512 layers get none.
    digest: digestAlgorithm(chartDigest) === 'sha256' ? digestHex(chartDigest) : undefined,
  })
  const { name, version } = metadata
  return { record: { kind: 'chart', name, version, created, ...layers, manifest: digest }, entry }
}

/**
 * An RFC 3339 time as UTC, seconds or milliseconds; undefined for everything else: a time Helm cannot parse would make
 * the whole index unreadable.
 */
export function tryParseCreated(text: string | undefined): string | undefined {
  const match = /^(\d{4}-\d{2}-\d{2})T(?:[01]\d|2[0-3]):\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})$/i.exec(text ?? '')
  const day = match?.[1]
  // Date.parse takes the 30th of February for the 1st of March.
  if (text === undefined || day === undefined || !isDay(day)) return undefined
  const time = Date.parse(text.toUpperCase())
  if (Number.isNaN(time)) return undefined
  const utc = new Date(time).toISOString()
  // A year outside of 0000 to 9999 has a sign in front and is no RFC 3339 any more.
  return utc.length === 24 ? utc.replace('.000Z', 'Z') : undefined
}

/** Whether the calendar has a day such as `2026-03-01`. */
function isDay(day: string): boolean {
  const time = Date.parse(`${day}T00:00:00Z`)
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(day)
}

/** A media type from outside, cut and stripped to what a log line can hold. */
function printableType(mediaType: string): string {
  const type = mediaType.replace(/[^\w.+/-]/g, '').slice(0, 80)
  return type === '' ? 'of no type' : type
}
