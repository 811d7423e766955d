/** Where the charts are in a document of the index, kept beside it: what does not change is copied into the next one. */

import { type Static, Type } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import type { IndexFormat } from '../helm/index-entry.ts'
import { tryParseJson } from '../lib/json.ts'
import type { KeptDocument } from './ports.ts'

/** By the key of a chart: its first byte and the one behind its last. */
export type ChartPlaces = Map<string, readonly [start: number, end: number]>

const Offset = Type.Integer({ minimum: 0 })
const PlacesDocument = Type.Record(Type.String(), Type.Record(Type.String(), Type.Tuple([Offset, Offset])))
type PlacesDocument = Static<typeof PlacesDocument>
const isPlaces = TypeCompiler.Compile(PlacesDocument)

export function renderPlaces(places: ReadonlyMap<IndexFormat, ChartPlaces>): Uint8Array {
  return Buffer.from(
    JSON.stringify(Object.fromEntries([...places].map(([format, each]) => [format, Object.fromEntries(each)]))),
  )
}

/** undefined when they are not there any more, which costs time and nothing else. */
export async function readPlaces(
  document: KeptDocument | undefined,
): Promise<ReadonlyMap<string, ChartPlaces> | undefined> {
  const content = await document?.open()
  const places: PlacesDocument | undefined = content && tryReadPlaces(await content.bytes().catch(() => undefined))
  return places && new Map(Object.entries(places).map(([format, each]) => [format, new Map(Object.entries(each))]))
}

function tryReadPlaces(bytes: Uint8Array | undefined): PlacesDocument | undefined {
  const document = bytes && tryParseJson(bytes)
  return isPlaces.Check(document) ? document : undefined
}
