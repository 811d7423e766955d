/**
 * An index that differs from one that was made as a whole in a few charts: what was pushed is in it at once, at the cost
 * of what was pushed. The rest is taken from the documents that are there. Only the plain forms exist; the next index that
 * is made as a whole has the same bytes, and the compressed forms too.
 */

import { ChartRepoError } from '../errors.ts'
import type { ChartRecord } from '../helm/chart-record.ts'
import { findNewest, indexNotations, renderChart } from '../helm/index-document.ts'
import type { IndexFormat } from '../helm/index-entry.ts'
import { TimeSlices } from '../lib/time-slices.ts'
import type { Digest } from '../oci/digest.ts'
import type { ChartFile } from './chart-picks.ts'
import type { ChartPlaces } from './chart-places.ts'
import type { KeyedChart } from './index-pages.ts'
import type { DocumentSet, KeptDocument } from './ports.ts'
import { documentName, type IndexDocument, type PublishedIndex } from './published-index.ts'

export interface BaseDocuments {
  readonly set: DocumentSet
  readonly places: ReadonlyMap<string, ChartPlaces>
}

/** Charts that are not in the base, as they were rendered: by their key and format. */
export type RenderedCharts = Map<string, Readonly<Record<IndexFormat, Uint8Array<ArrayBuffer>>>>

export interface AmendedIndexOptions {
  readonly key: string
  readonly formats: readonly IndexFormat[]
  readonly charts: readonly KeyedChart[]
  readonly base: BaseDocuments
  /** What is missing is added; what an earlier one has rendered is used again. */
  readonly rendered: RenderedCharts
  readonly readEntries: (records: readonly ChartRecord[], format: IndexFormat) => ReadonlyMap<Digest, string>
  readonly urlOf: (file: ChartFile) => string
}

const utf8 = new TextEncoder()

/** An index of more pieces is put together in memory: each would hold a page and an open file. */
const MAX_STREAMED_PIECES = 16

type Piece = { readonly bytes: Uint8Array<ArrayBuffer> } | { start: number; end: number }

export class AmendedIndex implements PublishedIndex {
  readonly key: string
  readonly charts: number
  readonly versions: number
  readonly plainBytes: number
  readonly #documents = new Map<IndexFormat, IndexDocument>()

  /** @throws TypeError when an entry of a chart that is not in the base is not there */
  constructor(options: AmendedIndexOptions) {
    const { key, formats, charts, rendered } = options
    this.key = key
    this.charts = charts.length
    this.versions = charts.reduce((sum, { versions }) => sum + versions.length, 0)
    const wanted = new Set<string>()
    for (const chart of charts) {
      if (formats.every((format) => options.base.places.get(format)?.has(chart.key))) continue
      wanted.add(chart.key)
      if (!rendered.has(chart.key)) rendered.set(chart.key, renderForms(chart, options))
    }
    for (const known of rendered.keys()) if (!wanted.has(known)) rendered.delete(known)
    for (const format of formats) this.#documents.set(format, makeDocument(format, options))
    this.plainBytes = Math.max(...[...this.#documents.values()].map(({ size }) => size))
  }

  /** The plain form, whatever coding is asked for. */
  document(format: IndexFormat): IndexDocument {
    const document = this.#documents.get(format)
    if (document === undefined) throw new TypeError(`There is no index as ${format}`)
    return document
  }
}

function renderForms(chart: KeyedChart, { formats, readEntries, urlOf }: AmendedIndexOptions) {
  const render = (format: IndexFormat): Uint8Array<ArrayBuffer> => {
    if (!formats.includes(format)) return new Uint8Array()
    const parts = { readEntries: (records: readonly ChartRecord[]) => readEntries(records, format), urlOf }
    return utf8.encode([...renderChart(format, chart, parts)].join(''))
  }
  return { yaml: render('yaml'), json: render('json') }
}

function makeDocument(format: IndexFormat, options: AmendedIndexOptions): IndexDocument {
  const pieces = planPieces(format, options)
  const size = pieces.reduce(
    (sum, piece) => sum + ('bytes' in piece ? piece.bytes.byteLength : piece.end - piece.start),
    0,
  )
  const base = options.base.set.get(documentName(format))
  let content: Promise<Blob> | undefined
  const fill = async (plan: Iterable<Piece> | AsyncIterable<Piece>): Promise<Blob> => {
    // One piece after the other into one place: all of them beside each other would be the document once more.
    const bytes = new Uint8Array(size)
    let end = 0
    for await (const piece of plan) {
      for await (const part of readPiece(piece, base)) {
        if (end + part.byteLength > size) throw new RangeError('The index has more bytes than it was planned with')
        bytes.set(part, end)
        end += part.byteLength
      }
    }
    if (end !== size) throw new RangeError('The index has fewer bytes than it was planned with')
    return new Blob([bytes])
  }
  const assemble = async (): Promise<Blob> => {
    try {
      // Somebody has cleaned the cache directory up: the same bytes are made of the entries.
      return await fill(pieces).catch(() => fill(renderPieces(format, options)))
    } catch (cause) {
      content = undefined
      throw new ChartRepoError('SNAPSHOT_MISSING', 'The index is gone and is being made again', { cause })
    }
  }
  const open = () => {
    content ??= assemble()
    return content
  }
  const stream = async (): Promise<ReadableStream<Uint8Array>> => {
    const streamed = pieces.length > MAX_STREAMED_PIECES ? undefined : await tryStream(pieces, base, size)
    return streamed ?? (await open()).stream()
  }
  return { etag: `"${options.key}.${format}"`, size, coding: undefined, open, stream }
}

/**
 * The pieces one after the other; undefined when they cannot all be read. Each is begun at once: its file may be removed
 * soon. It ends with an error when they do not come to `size` bytes: nothing else tells the client that some are missing.
 */
async function tryStream(
  pieces: readonly Piece[],
  base: KeptDocument | undefined,
  size: number,
): Promise<ReadableStream<Uint8Array> | undefined> {
  const readers = pieces.map((piece) => readPiece(piece, base))
  const close = async () => {
    for (const reader of readers) await reader.return(undefined)
  }
  const begun = await Promise.all(readers.map((reader) => reader.next())).catch(() => undefined)
  if (begun === undefined) {
    await close()
    return undefined
  }
  let at = 0
  let left = size
  const readNext = async (): Promise<Uint8Array | undefined> => {
    for (; at < begun.length; at++) {
      const next = begun[at] ?? (await readers[at]?.next())
      delete begun[at]
      if (next?.done !== false) continue
      left -= next.value.byteLength
      // Its memory is used again for the next one.
      return new Uint8Array(next.value)
    }
    if (left !== 0) throw new RangeError('The index does not have the bytes it was planned with')
    return undefined
  }
  return new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      try {
        const page = await readNext()
        if (page === undefined) controller.close()
        else controller.enqueue(page)
      } catch (error) {
        await close()
        throw error
      }
    },
    cancel: close,
  })
}

async function* readPiece(piece: Piece, base: KeptDocument | undefined): AsyncGenerator<Uint8Array> {
  if ('bytes' in piece) yield piece.bytes
  else if (base?.read !== undefined) yield* base.read(piece.start, piece.end)
  else yield new Uint8Array((await (await base?.open())?.slice(piece.start, piece.end).arrayBuffer()) ?? [])
}

/** All of it anew. */
async function* renderPieces(format: IndexFormat, options: AmendedIndexOptions): AsyncGenerator<Piece> {
  const { charts, readEntries, urlOf } = options
  const { head, chartSeparator, tail } = indexNotations[format]
  const parts = { readEntries: (records: readonly ChartRecord[]) => readEntries(records, format), urlOf }
  const slices = new TimeSlices()
  yield { bytes: utf8.encode(head(charts.length === 0)) }
  for (const [position, chart] of charts.entries()) {
    if (position > 0) yield { bytes: utf8.encode(chartSeparator) }
    for (const text of renderChart(format, chart, parts)) yield { bytes: utf8.encode(text) }
    if (slices.isOver()) await slices.next()
  }
  yield { bytes: utf8.encode(tail(findNewest(charts.map(({ created }) => created)))) }
}

function planPieces(format: IndexFormat, { charts, base, rendered }: AmendedIndexOptions): readonly Piece[] {
  const { head, chartSeparator, tail } = indexNotations[format]
  const separator = utf8.encode(chartSeparator)
  const places = base.places.get(format)
  const pieces: Piece[] = [{ bytes: utf8.encode(head(charts.length === 0)) }]
  for (const [position, { key }] of charts.entries()) {
    const place = places?.get(key)
    const last = pieces.at(-1)
    const bytes = rendered.get(key)?.[format]
    if (
      bytes === undefined &&
      place !== undefined &&
      last !== undefined &&
      'end' in last &&
      last.end + separator.byteLength === place[0]
    ) {
      last.end = place[1]
      continue
    }
    if (position > 0 && separator.byteLength > 0) pieces.push({ bytes: separator })
    if (bytes !== undefined) pieces.push({ bytes })
    else if (place !== undefined) pieces.push({ start: place[0], end: place[1] })
  }
  pieces.push({ bytes: utf8.encode(tail(findNewest(charts.map(({ created }) => created)))) })
  return pieces
}
