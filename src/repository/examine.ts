/** From a tag or digest to what it means: one manifest, and for a chart one config blob. */

import { ChartRepoError, isChartRepoError } from '../errors.ts'
import { findChartLayers, type ManifestRecord, makeChartRecord, skipped } from '../helm/chart-record.ts'
import { limits } from '../limits.ts'
import type { Digest } from '../oci/digest.ts'
import { type ImageIndex, type ImageManifest, parseManifest } from '../oci/manifest.ts'
import type { BlobReader, CallOptions, FetchedManifest, ManifestReader } from '../oci/ports.ts'
import type { Records } from './catalog.ts'

export interface Examination {
  readonly digest: Digest
  readonly record: ManifestRecord
  /** JSON pointers of metadata that was left out of the record; empty when the digest was known before. */
  readonly dropped: readonly string[]
}

/**
 * Reads what `reference` points to; undefined when the registry says that there is nothing. A digest in `known` is
 * not looked into again.
 * @throws when it cannot be read now. Content that can be read but is no chart is a record, not an error.
 */
export async function examine(
  registry: ManifestReader & BlobReader,
  known: Records,
  target: { readonly repository: string; readonly reference: string },
  options: CallOptions = {},
): Promise<Examination | undefined> {
  const fetched = await registry.readManifest(target.repository, target.reference, options)
  if (fetched === undefined) return undefined
  const { digest } = fetched
  const record = known.get(digest)
  if (record !== undefined) return { digest, record, dropped: [] }
  const manifest = tryParse(fetched)
  if ('reason' in manifest) return { digest, record: manifest, dropped: [] }
  if (manifest.kind === 'image')
    return { digest, ...(await examineImage(registry, target.repository, manifest, options)) }
  return { digest, ...(await examineIndex(registry, known, target.repository, manifest, options)) }
}

function tryParse(fetched: FetchedManifest): ImageManifest | ImageIndex | { kind: 'skipped'; reason: string } {
  try {
    return parseManifest(fetched.bytes, fetched.mediaType)
  } catch (error) {
    if (isChartRepoError(error, 'UPSTREAM_MALFORMED')) return skipped(error.message)
    throw error
  }
}

async function examineImage(
  registry: BlobReader,
  repository: string,
  manifest: ImageManifest,
  options: CallOptions,
): Promise<Pick<Examination, 'record' | 'dropped'>> {
  const layers = findChartLayers(manifest)
  if ('kind' in layers) return { record: layers, dropped: [] }
  if (layers.chart.size > limits.maxChartBytes) return tooLarge('chart', limits.maxChartBytes)
  if (manifest.config.size > limits.maxConfigBytes) return tooLarge('config', limits.maxConfigBytes)
  const config = await registry.readBlob(repository, manifest.config, { ...options, maxBytes: limits.maxConfigBytes })
  if (config === undefined) {
    throw new ChartRepoError(
      'UPSTREAM_MALFORMED',
      `The registry does not have the config blob ${manifest.config.digest}`,
    )
  }
  let dropped: readonly string[] = []
  const record = makeChartRecord(manifest, config, (paths) => {
    dropped = paths
  })
  return { record, dropped }
}

/** An index means the first chart among its children: Helm pulls through such an index too. */
async function examineIndex(
  registry: ManifestReader & BlobReader,
  known: Records,
  repository: string,
  index: ImageIndex,
  options: CallOptions,
): Promise<Pick<Examination, 'record' | 'dropped'>> {
  for (const child of index.children.slice(0, limits.maxIndexChildren)) {
    const record = known.get(child.digest)
    if (record?.kind === 'chart') return { record, dropped: [] }
    const fetched = await registry.readManifest(repository, child.digest, options)
    const manifest = fetched === undefined ? undefined : tryParse(fetched)
    // An index in an index is not followed: nothing that holds charts is built so, and loops are.
    if (manifest?.kind !== 'image') continue
    const examined = await examineImage(registry, repository, manifest, options)
    if (examined.record.kind === 'chart') return examined
  }
  return { record: skipped('it is an index without a chart'), dropped: [] }
}

function tooLarge(what: string, maxBytes: number): Pick<Examination, 'record' | 'dropped'> {
  return { record: skipped(`its ${what} is larger than ${maxBytes} bytes`), dropped: [] }
}
