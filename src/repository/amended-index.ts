/**
 * An index that differs from one that was made as a whole in a few charts: what was pushed is in it at once, at the cost
 * of what was pushed. The rest is taken from the documents that are there. Only the plain forms exist; the next index that
 * is made as a whole has the same bytes, and the compressed forms too.
 */

import type { ChartRecord } from '../helm/chart-record.ts'
import { findNewest, indexNotations, renderChart } from '../helm/index-document.ts'
import type { IndexFormat } from '../helm/index-entry.ts'
import { openStream } from '../lib/file-stream.ts'
import { TimeSlices } from '../lib/time-slices.ts'
import { limits } from '../limits.ts'
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
export type RenderedCharts = Map<string, Map<IndexFormat, Uint8Array<ArrayBuffer>>>

export interface AmendedIndexOptions {
  readonly key: string
  readonly formats: readonly IndexFormat[]
  readonly charts: readonly KeyedChart[]
  readonly base: BaseDocuments
  /** What is asked for and missing is added; what an earlier one has rendered is used again. */
  readonly rendered: RenderedCharts
  readonly readEntries: (records: readonly ChartRecord[], format: IndexFormat) => ReadonlyMap<Digest, string>
  readonly urlOf: (file: ChartFile) => string
  /** What a reader is told when entries are gone too. */
  readonly toReadersFault: (error: unknown) => unknown
}

const utf8 = new TextEncoder()

type Piece = { readonly bytes: Uint8Array<ArrayBuffer> } | Kept

/** Of the base, from its first byte up to the one behind its last. */
interface Kept {
  start: number
  end: number
}

export class AmendedIndex implements PublishedIndex {
  readonly key: string
  readonly charts: number
  readonly versions: number
  readonly #options: AmendedIndexOptions
  readonly #documents = new Map<IndexFormat, IndexDocument>()

  constructor(options: AmendedIndexOptions) {
    const { key, charts, base, formats, rendered } = options
    this.#options = options
    this.key = key
    this.charts = charts.length
    this.versions = charts.reduce((sum, { versions }) => sum + versions.length, 0)
    const wanted = new Set<string>()
    for (const chart of charts) {
      if (!formats.every((format) => base.places.get(format)?.has(chart.key))) wanted.add(chart.key)
    }
    for (const known of rendered.keys()) if (!wanted.has(known)) rendered.delete(known)
  }

  get plainBytes(): number {
    return Math.max(...this.#options.formats.map((format) => this.document(format).size))
  }

  /** The plain form, whatever coding is asked for. Made when somebody asks for it: more may be pushed before. */
  document(format: IndexFormat): IndexDocument {
    const known = this.#documents.get(format)
    if (known !== undefined) return known
    if (!this.#options.formats.includes(format)) throw new TypeError(`There is no index as ${format}`)
    try {
      const document = makeDocument(format, this.#options)
      this.#documents.set(format, document)
      return document
    } catch (error) {
      throw this.#options.toReadersFault(error)
    }
  }
}

/** What is to be in the place of a chart that the base does not have; rendered once. */
function renderAmended(chart: KeyedChart, format: IndexFormat, options: AmendedIndexOptions): Uint8Array<ArrayBuffer> {
  const { rendered, readEntries, urlOf } = options
  const forms = rendered.get(chart.key) ?? new Map<IndexFormat, Uint8Array<ArrayBuffer>>()
  rendered.set(chart.key, forms)
  const known = forms.get(format)
  if (known !== undefined) return known
  const parts = { readEntries: (records: readonly ChartRecord[]) => readEntries(records, format), urlOf }
  const bytes = utf8.encode([...renderChart(format, chart, parts)].join(''))
  forms.set(format, bytes)
  return bytes
}

function makeDocument(format: IndexFormat, options: AmendedIndexOptions): IndexDocument {
  const pieces = planPieces(format, options)
  const size = pieces.reduce(
    (sum, piece) => sum + ('bytes' in piece ? piece.bytes.byteLength : piece.end - piece.start),
    0,
  )
  const base = options.base.set.get(documentName(format))
  let content: Promise<Blob> | undefined
  const fill = async (parts: AsyncIterable<Uint8Array>): Promise<Blob> => {
    // One part after the other into one place: all of them beside each other would be the document once more.
    const bytes = new Uint8Array(size)
    let end = 0
    for await (const part of parts) {
      if (end + part.byteLength > size) throw new RangeError('The index has more bytes than it was planned with')
      bytes.set(part, end)
      end += part.byteLength
    }
    if (end !== size) throw new RangeError('The index has fewer bytes than it was planned with')
    return new Blob([bytes])
  }
  const assemble = async (): Promise<Blob> => {
    try {
      // Somebody has cleaned the cache directory up: the same bytes are made of the entries.
      return await fill(readPieces(pieces, base)).catch(() => fill(renderParts(format, options)))
    } catch (error) {
      content = undefined
      throw options.toReadersFault(error)
    }
  }
  const open = () => {
    content ??= assemble()
    return content
  }
  const stream = async (): Promise<ReadableStream<Uint8Array>> =>
    (await tryStream(pieces, base, size)) ?? (await open()).stream()
  return { etag: `"${options.key}.${format}"`, size, coding: undefined, open, stream }
}

/** The parts one after the other; undefined when they cannot be read. Begun at once: the file may be removed soon. */
async function tryStream(
  pieces: readonly Piece[],
  base: KeptDocument | undefined,
  size: number,
): Promise<ReadableStream<Uint8Array> | undefined> {
  return await openStream(ofSize(size, readPieces(pieces, base))).catch(() => undefined)
}

/** Ends with an error when they do not come to `size` bytes: nothing else tells the client that some are missing. */
async function* ofSize(size: number, parts: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
  let left = size
  for await (const part of parts) {
    left -= part.byteLength
    yield part
  }
  if (left !== 0) throw new RangeError('The index does not have the bytes it was planned with')
}

/**
 * The bytes of the pieces, which come in the order of the base: over one open file and little of it, because as many
 * are under way as there are slow readers. Each part holds until the next. @throws RangeError when the base is cut
 */
async function* readPieces(pieces: readonly Piece[], base: KeptDocument | undefined): AsyncGenerator<Uint8Array> {
  const kept = pieces.filter((piece) => 'end' in piece)
  const pages = readBase(base, kept[0]?.start ?? 0, kept.at(-1)?.end ?? 0)
  const turn = async (): Promise<Uint8Array> => {
    const next = await pages.next()
    if (next.done === true) throw new RangeError('The index has fewer bytes than it was planned with')
    return next.value
  }
  try {
    let position = kept[0]?.start ?? 0
    // The file is open before the first byte goes out.
    let page = kept.length > 0 ? await turn() : new Uint8Array()
    for (const piece of pieces) {
      if ('bytes' in piece) {
        yield piece.bytes
        continue
      }
      for (let at = piece.start; at < piece.end; ) {
        while (position + page.byteLength <= at) {
          position += page.byteLength
          page = await turn()
        }
        const part = page.subarray(at - position, piece.end - position)
        yield part
        at += part.byteLength
      }
    }
  } finally {
    await pages.return(undefined)
  }
}

async function* readBase(base: KeptDocument | undefined, start: number, end: number): AsyncGenerator<Uint8Array> {
  if (base?.readAhead !== undefined) return yield* base.readAhead(start, end)
  const content = await base?.open()
  for (let at = start; content !== undefined && at < end; at += limits.maxSentPieceBytes) {
    yield await content.slice(at, Math.min(at + limits.maxSentPieceBytes, end)).bytes()
  }
}

/** All of it anew. */
async function* renderParts(format: IndexFormat, options: AmendedIndexOptions): AsyncGenerator<Uint8Array> {
  const { charts, readEntries, urlOf } = options
  const { head, chartSeparator, tail } = indexNotations[format]
  const parts = { readEntries: (records: readonly ChartRecord[]) => readEntries(records, format), urlOf }
  const slices = new TimeSlices()
  yield utf8.encode(head(charts.length === 0))
  for (const [position, chart] of charts.entries()) {
    if (position > 0) yield utf8.encode(chartSeparator)
    for (const text of renderChart(format, chart, parts)) yield utf8.encode(text)
    if (slices.isOver()) await slices.next()
  }
  yield utf8.encode(tail(findNewest(charts.map(({ created }) => created))))
}

function planPieces(format: IndexFormat, options: AmendedIndexOptions): readonly Piece[] {
  const { charts, base } = options
  const { head, chartSeparator, tail } = indexNotations[format]
  const separator = utf8.encode(chartSeparator)
  const places = base.places.get(format)
  const pieces: Piece[] = [{ bytes: utf8.encode(head(charts.length === 0)) }]
  for (const [position, chart] of charts.entries()) {
    const place = places?.get(chart.key)
    const last = pieces.at(-1)
    if (place !== undefined && last !== undefined && 'end' in last && last.end + separator.byteLength === place[0]) {
      last.end = place[1]
      continue
    }
    if (position > 0 && separator.byteLength > 0) pieces.push({ bytes: separator })
    if (place !== undefined) pieces.push({ start: place[0], end: place[1] })
    else pieces.push({ bytes: renderAmended(chart, format, options) })
  }
  pieces.push({ bytes: utf8.encode(tail(findNewest(charts.map(({ created }) => created)))) })
  return pieces
}
