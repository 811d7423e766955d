/**
 * Makes the index in every form it is asked for: as YAML and as JSON, plain and compressed. Work is done here, when
 * content changes, so that a request is a look-up.
 *
 * Invariant: the key of a set of documents, and its bytes, are a function of the charts and the options alone, so
 * replicas and restarts agree on both.
 */

import { ChartRepoError } from '../errors.ts'
import type { ChartRecord } from '../helm/chart-record.ts'
import { findNewest, RENDERER_VERSION } from '../helm/index-document.ts'
import { chartUrl, ENTRY_VERSION, type IndexFormat } from '../helm/index-entry.ts'
import { type Coding, compress } from '../lib/compression.ts'
import { SingleFlight } from '../lib/single-flight.ts'
import { TimeSlices } from '../lib/time-slices.ts'
import { limits } from '../limits.ts'
import type { Digest } from '../oci/digest.ts'
import { AmendedIndex, type BaseDocuments, type RenderedCharts } from './amended-index.ts'
import type { ChartFile, PlannedChart } from './chart-picks.ts'
import { type ChartPlaces, readPlaces, renderPlaces } from './chart-places.ts'
import { type EarlierDocument, EarlierDocumentGone, type KeyedChart, renderPages } from './index-pages.ts'
import type { CatalogStore, DocumentSet, DocumentSource, DocumentStore, KeptDocument } from './ports.ts'
import { documentName, type PublishedIndex } from './published-index.ts'

export interface IndexOptions {
  readonly formats: readonly IndexFormat[]
  /** Only the newest of each chart; 0 for all. */
  readonly versionsEach: number
  /** Put in front of `charts/demo-1.2.3.tgz`; empty for addresses relative to the index, or the registry's own. */
  readonly chartUrls: { readonly prefix: string } | { readonly registryHost: string }
}

export interface IndexMakerOptions {
  readonly entries: Pick<CatalogStore, 'readEntries'>
  readonly documents: DocumentStore
  readonly options: IndexOptions
  /** Told when a reader finds that what was published cannot be made again before entries are. */
  readonly onLost: (lost: LostEntries) => void
}

/** The store has lost entries: what they were made of has to be fetched again. */
export class LostEntries extends Error {
  readonly manifests: readonly Digest[]

  constructor(manifests: readonly Digest[]) {
    super(`The catalog file has lost ${manifests.length} index entries`)
    this.manifests = manifests
  }
}

interface NewestDocuments {
  readonly set: DocumentSet
  /** Where the charts are in it; undefined until it is read from the set. */
  readonly places: ReadonlyMap<string, ChartPlaces> | undefined
}

/** The document that says where the charts are in the others, for a start to go on from. */
const PLACES_NAME = 'places.json'
const CODINGS = ['gzip', 'zstd'] as const satisfies readonly Coding[]

export class IndexMaker {
  readonly #options: IndexMakerOptions
  readonly #flights = new SingleFlight<string, DocumentSet>()
  /** For the next one to copy from. */
  #newest: NewestDocuments | undefined
  /** What was handed out last, to be amended. */
  #base: BaseDocuments | undefined
  readonly #rendered: RenderedCharts = new Map()
  readonly #keyed = new WeakMap<PlannedChart, KeyedChart>()

  constructor(options: IndexMakerOptions) {
    this.#options = options
  }

  /**
   * The index of `charts`: as an earlier run left it, or made now in pieces of a few milliseconds.
   * @throws LostEntries; the signal's reason
   */
  async make(planned: readonly PlannedChart[], signal?: AbortSignal): Promise<PublishedIndex> {
    const slices = new TimeSlices()
    const charts: KeyedChart[] = []
    for (const chart of planned) {
      charts.push(this.#toKeyed(chart))
      if (slices.isOver()) await slices.next()
    }
    const { formats } = this.#options.options
    const key = this.#keyOf(charts)
    const found = await this.#options.documents.find(key)
    if (found !== undefined) this.#newest = { set: found, places: undefined }
    let set = found ?? (await this.#write(key, charts, signal))
    const makeAgain = async () => {
      set = await this.#write(key, charts)
      return set
    }
    return {
      key,
      charts: charts.length,
      versions: charts.reduce((sum, { versions }) => sum + versions.length, 0),
      plainBytes: Math.max(...formats.map((format) => set.get(documentName(format))?.size ?? 0)),
      document: (format, coding) => {
        const document = this.#toDocument(documentName(format, coding), set, makeAgain)
        return { ...document, coding }
      },
    }
  }

  /** Makes it possible to amend what `make` gave last. */
  async prepareToAmend(): Promise<void> {
    const newest = this.#newest
    if (newest === undefined || newest.set === this.#base?.set) return
    const places = newest.places ?? (await this.#readPlaces(newest.set))
    this.#base = places && { set: newest.set, places }
  }

  /**
   * The index of `charts` at the cost of those that are not in the base, without waiting for anything; undefined when
   * there is no base.
   */
  amend(planned: readonly PlannedChart[]): PublishedIndex | undefined {
    const { formats } = this.#options.options
    const base = this.#base
    if (base === undefined) return undefined
    const charts = planned.map((chart) => this.#toKeyed(chart))
    return new AmendedIndex({
      key: this.#keyOf(charts),
      formats,
      charts,
      base,
      rendered: this.#rendered,
      readEntries: (records, format) => this.#readEntries(records, format, charts),
      urlOf: (file) => this.#urlOf(file),
      toReadersFault: (error) => this.#toReadersFault(error),
    })
  }

  #keyOf(charts: readonly KeyedChart[]): string {
    const { formats, chartUrls } = this.#options.options
    // Compressed forms are what this runtime makes of these pages.
    const making = [ENTRY_VERSION, RENDERER_VERSION, Bun.version, limits.documentPageBytes, formats, chartUrls]
    return sha256([JSON.stringify(making), ...charts.map((chart) => chart.key)].join('\n'))
  }

  /** The same object for the same chart: most charts of a plan are those of the plan before. */
  #toKeyed(chart: PlannedChart): KeyedChart {
    const known = this.#keyed.get(chart)
    if (known !== undefined) return known
    const keyed = this.#makeKeyed(chart)
    this.#keyed.set(chart, keyed)
    return keyed
  }

  #makeKeyed({ name, versions: all }: PlannedChart): KeyedChart {
    const { versionsEach, chartUrls } = this.#options.options
    const versions = versionsEach === 0 ? all : all.slice(0, versionsEach)
    const isElsewhere = 'registryHost' in chartUrls
    const lines = versions.map(({ record, repository, tag }) =>
      isElsewhere ? `${record.manifest} ${repository} ${tag}` : record.manifest,
    )
    const created = findNewest(versions.map(({ record }) => record.created))
    return { key: sha256(lines.join('\n')), name, versions, created }
  }

  #toDocument(name: string, set: DocumentSet, makeAgain: () => Promise<DocumentSet>) {
    const document = set.get(name)
    if (document === undefined) throw new TypeError(`There is no ${name}`)
    const { size, sha256 } = document
    const open = async (): Promise<Blob> => {
      // Somebody has cleaned the cache directory up: the same bytes are made again.
      const content = (await document.open()) ?? (await this.#openAgain(name, makeAgain))
      if (content === undefined) throw new ChartRepoError('STORAGE_FULL', 'The index cannot be kept anywhere')
      return content
    }
    return { etag: `"${sha256}"`, size, open }
  }

  async #openAgain(name: string, makeAgain: () => Promise<DocumentSet>): Promise<Blob | undefined> {
    try {
      return await (await makeAgain()).get(name)?.open()
    } catch (error) {
      throw this.#toReadersFault(error)
    }
  }

  /** What a reader is told when the index he asks for cannot be made; whoever can mend it is told too. */
  #toReadersFault(error: unknown): unknown {
    if (!(error instanceof LostEntries)) return error
    this.#options.onLost(error)
    return new ChartRepoError('SNAPSHOT_MISSING', 'The index is gone and is being made again', { cause: error })
  }

  #write(key: string, charts: readonly KeyedChart[], signal?: AbortSignal): Promise<DocumentSet> {
    return this.#flights.run(key, async () => {
      const earlier = this.#newest
      // Whatever becomes of this, it is tried to copy from it once.
      this.#newest = undefined
      try {
        return await this.#writeFrom(earlier, key, charts, signal)
      } catch (error) {
        if (!(error instanceof EarlierDocumentGone)) throw error
        return await this.#writeFrom(undefined, key, charts, signal)
      }
    })
  }

  async #writeFrom(
    earlier: NewestDocuments | undefined,
    key: string,
    charts: readonly KeyedChart[],
    signal: AbortSignal | undefined,
  ): Promise<DocumentSet> {
    const earlierPlaces = earlier && (earlier.places ?? (await this.#readPlaces(earlier.set)))
    const places = new Map<IndexFormat, ChartPlaces>()
    const sources = new Map<string, DocumentSource>()
    for (const format of this.#options.options.formats) {
      const plain = documentName(format)
      sources.set(plain, () => {
        const ofFormat: ChartPlaces = new Map()
        places.set(format, ofFormat)
        return renderPages({
          format,
          charts,
          readEntries: (records) => this.#readEntries(records, format, charts),
          urlOf: (file) => this.#urlOf(file),
          earlier: toEarlier(earlier?.set.get(plain), earlierPlaces?.get(format)),
          places: ofFormat,
          signal,
        })
      })
      for (const coding of CODINGS) {
        sources.set(documentName(format, coding), (read) => compress(read(plain), coding))
      }
    }
    sources.set(PLACES_NAME, () => [renderPlaces(places)])
    const set = await this.#options.documents.write(key, sources)
    this.#newest = { set, places }
    return set
  }

  /** Of a set that another process has made; undefined when not all is as it was made. */
  async #readPlaces(set: DocumentSet): Promise<ReadonlyMap<string, ChartPlaces> | undefined> {
    const { formats } = this.#options.options
    for (const name of [PLACES_NAME, ...formats.map((format) => documentName(format))]) {
      if (!(await isIntact(set.get(name)))) return undefined
    }
    return await readPlaces(set.get(PLACES_NAME))
  }

  /** @throws LostEntries for all of `charts`, so that one crawl mends them */
  #readEntries(
    records: readonly ChartRecord[],
    format: IndexFormat,
    charts: readonly KeyedChart[],
  ): ReadonlyMap<Digest, string> {
    const { entries } = this.#options
    const manifests = records.map(({ manifest }) => manifest)
    const found = entries.readEntries(manifests, format)
    if (manifests.every((manifest) => found.has(manifest))) return found
    throw new LostEntries(
      charts.flatMap(({ versions }) => {
        const wanted = versions.map(({ record }) => record.manifest)
        const there = entries.readEntries(wanted, format)
        return wanted.filter((manifest) => !there.has(manifest))
      }),
    )
  }

  #urlOf({ record, repository, tag }: ChartFile): string {
    const { chartUrls } = this.#options.options
    if ('prefix' in chartUrls) return `${chartUrls.prefix}${chartUrl(record.name, record.version)}`
    // Helm writes `+` for the `_` of a tag, and saves the package under the right name then.
    const version = tag === record.version.replaceAll('+', '_') ? record.version : tag
    return `oci://${chartUrls.registryHost}/${repository}:${version}`
  }
}

/** Whether its bytes are those it was made of: what is copied from it must not hand damage on. */
async function isIntact(document: KeptDocument | undefined): Promise<boolean> {
  if (document?.read === undefined) return false
  const hasher = new Bun.CryptoHasher('sha256')
  try {
    for await (const page of document.read(0, document.size)) hasher.update(page)
  } catch {
    // Gone or unreadable: then there is nothing to copy from, which is the answer.
    return false
  }
  return hasher.digest('hex') === document.sha256
}

/** What can be copied from it; undefined when it is small, because it is as quick to make it anew. */
function toEarlier(document: KeptDocument | undefined, places: ChartPlaces | undefined): EarlierDocument | undefined {
  const read = document?.read
  return read === undefined || places === undefined ? undefined : { places, read }
}

function sha256(text: string): string {
  return Bun.CryptoHasher.hash('sha256', text, 'hex')
}
