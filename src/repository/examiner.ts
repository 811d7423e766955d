/**
 * From a tag or digest to what it means: one manifest, and for a chart one config blob.
 *
 * Invariant: a digest is looked into once in the life of the catalog, however many tags and repositories have it and
 * whoever asks at the same time. Only content the registry stands for becomes a record; anything else is an error that
 * is tried again.
 */

import { ChartRepoError, isChartRepoError } from '../errors.ts'
import { findChartLayers, type ManifestRecord, makeChartRecord, skipped } from '../helm/chart-record.ts'
import type { IndexEntry } from '../helm/index-entry.ts'
import { SingleFlight } from '../lib/single-flight.ts'
import { limits } from '../limits.ts'
import type { Digest } from '../oci/digest.ts'
import { type ImageIndex, type ImageManifest, parseManifest } from '../oci/manifest.ts'
import type { BlobReader, CallOptions, FetchedManifest, ManifestReader } from '../oci/ports.ts'
import type { Log } from '../telemetry/log.ts'
import type { CatalogStore } from './ports.ts'

export interface Examination {
  readonly digest: Digest
  readonly record: ManifestRecord
}

interface Made {
  readonly record: ManifestRecord
  /** Of a chart that was not known before. */
  readonly entry?: IndexEntry
}

interface FoundImage {
  readonly repository: string
  /** How it was asked for. */
  readonly reference: string
  readonly digest: Digest
  readonly manifest: ImageManifest
}

export interface ExaminerOptions {
  readonly registry: Pick<ManifestReader, 'readManifest'> & Pick<BlobReader, 'readBlob'>
  /** What is known of digests; the examiner adds to it. */
  readonly records: Map<Digest, ManifestRecord>
  readonly store: Pick<CatalogStore, 'saveRecord'>
  readonly log: Log
}

export class Examiner {
  readonly #options: ExaminerOptions
  readonly #flights = new SingleFlight<Digest, ManifestRecord>()

  constructor(options: ExaminerOptions) {
    this.#options = options
  }

  /**
   * Reads what `reference` points to; undefined when the registry says that there is nothing.
   * @throws when it cannot be read now. Content that can be read but is no chart is a record, not an error.
   */
  async examine(repository: string, reference: string, options: CallOptions = {}): Promise<Examination | undefined> {
    const fetched = await this.#options.registry.readManifest(repository, reference, options)
    if (fetched === undefined) return undefined
    const { digest } = fetched
    const known = this.#options.records.get(digest)
    if (known !== undefined) return { digest, record: known }
    let isOwn = false
    const examined = () =>
      this.#flights.run(digest, async () => {
        isOwn = true
        const made = await this.#examineManifest(repository, reference, fetched, options)
        this.#options.records.set(digest, made.record)
        this.#options.store.saveRecord(digest, made.record, made.entry)
        return made.record
      })
    try {
      return { digest, record: await examined() }
    } catch (error) {
      // It may have been the other one's repository, or its end: this one is worth a try of its own.
      if (isOwn || options.signal?.aborted === true) throw error
      return { digest, record: await examined() }
    }
  }

  async #examineManifest(
    repository: string,
    reference: string,
    fetched: FetchedManifest,
    options: CallOptions,
  ): Promise<Made> {
    const made = await this.#readRecord(repository, reference, fetched, options)
    const { record } = made
    // Bytes that were damaged on the way make no chart either, and must not be remembered as none.
    if (record.kind === 'skipped' && fetched.confirmed === false) {
      throw new ChartRepoError(
        'UPSTREAM_MALFORMED',
        `Cannot use a manifest that the registry calls by another digest: ${record.reason}`,
      )
    }
    return made
  }

  async #readRecord(
    repository: string,
    reference: string,
    fetched: FetchedManifest,
    options: CallOptions,
  ): Promise<Made> {
    const manifest = tryParse(fetched)
    if (manifest.kind === 'skipped') return { record: manifest }
    const { digest } = fetched
    if (manifest.kind === 'image') return await this.#examineImage({ repository, reference, digest, manifest }, options)
    return await this.#examineIndex(repository, manifest, options)
  }

  async #examineImage(image: FoundImage, options: CallOptions): Promise<Made> {
    const { repository, reference, manifest } = image
    const layers = findChartLayers(manifest)
    if ('kind' in layers) return { record: layers }
    if (layers.chart.size > limits.maxChartBytes) return none(`its chart is larger than ${limits.maxChartBytes} bytes`)
    const { config } = manifest
    if (config.size > limits.maxConfigBytes) return none(`its config is larger than ${limits.maxConfigBytes} bytes`)
    const { registry, log } = this.#options
    const bytes = await registry.readBlob(repository, config, { ...options, maxBytes: limits.maxConfigBytes })
    if (bytes === undefined) {
      throw new ChartRepoError('UPSTREAM_MALFORMED', `The registry does not have the config blob ${config.digest}`)
    }
    const made = makeChartRecord(image, bytes, (dropped) => {
      log.warn('metadata left out', { repository, tag: reference, fields: dropped.slice(0, 10).join(' ') })
    })
    return 'kind' in made ? { record: made } : made
  }

  /** An index means the first chart among its children: Helm pulls through such an index too. */
  async #examineIndex(repository: string, index: ImageIndex, options: CallOptions): Promise<Made> {
    for (const child of index.children.slice(0, limits.maxIndexChildren)) {
      const known = this.#options.records.get(child.digest)
      if (known?.kind === 'chart') return { record: known }
      const fetched = await this.#options.registry.readManifest(repository, child.digest, options)
      // It may be pushed later, and then the index means something else.
      if (fetched === undefined)
        throw new ChartRepoError(
          'UPSTREAM_MALFORMED',
          `The registry does not have ${child.digest}, which an index names`,
        )
      const manifest = tryParse(fetched)
      // An index in an index is not followed: nothing that holds charts is built so, and loops are.
      if (manifest.kind !== 'image') continue
      const { digest } = child
      const made = await this.#examineImage({ repository, reference: digest, digest, manifest }, options)
      if (made.record.kind === 'chart') return made
    }
    return none('it is an index without a chart')
  }
}

function none(reason: string): Made {
  return { record: skipped(reason) }
}

/** @throws UPSTREAM_MALFORMED for what is no manifest, unless the registry itself calls these bytes by their digest. */
function tryParse(fetched: FetchedManifest): ImageManifest | ImageIndex | ReturnType<typeof skipped> {
  try {
    return parseManifest(fetched.bytes, fetched.mediaType)
  } catch (error) {
    if (fetched.confirmed === true && isChartRepoError(error, 'UPSTREAM_MALFORMED')) return skipped(error.message)
    throw error
  }
}
