/**
 * One document of the index in pages. Charts that are as they were in the document before are copied from it, others are
 * put together from their entries: what a change costs is what changed, and the copying.
 */

import type { ChartRecord } from '../helm/chart-record.ts'
import { findNewest, indexNotations, renderChart } from '../helm/index-document.ts'
import type { IndexFormat } from '../helm/index-entry.ts'
import type { Pages } from '../lib/compression.ts'
import { collectGarbage } from '../lib/memory-trim.ts'
import { PageWriter } from '../lib/page-writer.ts'
import { TimeSlices } from '../lib/time-slices.ts'
import { limits } from '../limits.ts'
import type { Digest } from '../oci/digest.ts'
import type { ChartFile } from './chart-picks.ts'
import type { ChartPlaces } from './chart-places.ts'

/** A chart as the index has it. */
export interface KeyedChart {
  /** Two charts with one key have the same bytes in any document of one format. */
  readonly key: string
  readonly name: string
  readonly versions: readonly ChartFile[]
  /** The newest creation among them; undefined when none has one. */
  readonly created: string | undefined
}

/** A document that is at hand, to copy from. */
export interface EarlierDocument {
  readonly places: ReadonlyMap<string, readonly [start: number, end: number]>
  readonly read: (start: number, end: number) => Pages
}

export interface PagesOptions {
  readonly format: IndexFormat
  /** By name. */
  readonly charts: readonly KeyedChart[]
  readonly readEntries: (records: readonly ChartRecord[]) => ReadonlyMap<Digest, string>
  readonly urlOf: (file: ChartFile) => string
  readonly earlier: EarlierDocument | undefined
  /** Gets the places in the new document. */
  readonly places: ChartPlaces
  readonly signal: AbortSignal | undefined
}

/** Charts that stand one behind the other in the earlier document too, or one that does not stand there. */
type Step =
  | {
      readonly kind: 'copy'
      readonly places: [key: string, start: number, end: number][]
      readonly earlier: EarlierDocument
    }
  | { readonly kind: 'render'; readonly chart: KeyedChart }

/** Each page holds until the next is asked for. */
export async function* renderPages(options: PagesOptions): AsyncGenerator<Uint8Array> {
  const { format, charts, earlier, places, signal } = options
  const { head, chartSeparator, tail } = indexNotations[format]
  const slices = new TimeSlices()
  let renderedBytes = 0
  const page = new PageWriter(limits.documentPageBytes)
  function* put(text: string): Generator<Uint8Array> {
    if (!page.hasRoomFor(text)) yield page.take()
    // Only what is longer than a page has no room now.
    if (page.hasRoomFor(text)) page.add(text)
    else yield page.pass(Buffer.from(text))
  }
  yield* put(head(charts.length === 0))
  for (const [position, step] of planSteps(charts, earlier, chartSeparator.length).entries()) {
    signal?.throwIfAborted()
    if (position > 0) yield* put(chartSeparator)
    const start = page.position
    if (step.kind === 'copy') {
      const [from, to] = spanOf(step.places)
      yield page.take()
      for await (const copied of readEarlier(step.earlier, from, to)) yield page.pass(copied)
      for (const [key, first, end] of step.places) places.set(key, [start + first - from, start + end - from])
    }
    if (step.kind === 'render') {
      for (const piece of renderChart(format, step.chart, options)) {
        yield* put(piece)
        if (slices.isOver()) await slices.next()
      }
      places.set(step.chart.key, [start, page.position])
      // Every entry was a text of its own on its way into a page.
      renderedBytes += page.position - start
      if (renderedBytes > limits.collectAfterBytes) {
        collectGarbage()
        renderedBytes = 0
      }
    }
    if (slices.isOver()) await slices.next()
  }
  yield* put(tail(findNewest(charts.map(({ created }) => created))))
  yield page.take()
}

function planSteps(
  charts: readonly KeyedChart[],
  earlier: EarlierDocument | undefined,
  separatorBytes: number,
): readonly Step[] {
  const steps: Step[] = []
  for (const chart of charts) {
    const place = earlier?.places.get(chart.key)
    const last = steps.at(-1)
    if (earlier === undefined || place === undefined) steps.push({ kind: 'render', chart })
    else if (last?.kind === 'copy' && spanOf(last.places)[1] + separatorBytes === place[0]) {
      last.places.push([chart.key, ...place])
    } else steps.push({ kind: 'copy', places: [[chart.key, ...place]], earlier })
  }
  return steps
}

/** From the first byte of the first chart to the one behind the last byte of the last. */
function spanOf(places: readonly (readonly [key: string, start: number, end: number])[]): readonly [number, number] {
  return [places[0]?.[1] ?? 0, places.at(-1)?.[2] ?? 0]
}

/** @throws EarlierDocumentGone */
async function* readEarlier(earlier: EarlierDocument, start: number, end: number): AsyncGenerator<Uint8Array> {
  let rest = end - start
  try {
    for await (const page of earlier.read(start, end)) {
      rest -= page.byteLength
      yield page
    }
  } catch (cause) {
    throw new EarlierDocumentGone({ cause })
  }
  if (rest !== 0) throw new EarlierDocumentGone()
}

/** What was to be copied from cannot be read any more: everything is to be made from its entries. */
export class EarlierDocumentGone extends Error {
  constructor(options?: ErrorOptions) {
    super('The document that was to be copied from cannot be read any more', options)
  }
}
