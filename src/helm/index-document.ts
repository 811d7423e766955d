/**
 * The document /index.yaml is (Helm 4.2 `pkg/repo/v1`, IndexFile), as YAML or as JSON: a head, the charts by name with a
 * separator between them, and a tail.
 *
 * Invariant: the bytes are a function of the charts alone. No clock, no map order, no host name goes in: consumers
 * take the hash of the bytes as the repository's revision, and replicas must agree on it.
 */

import type { Digest } from '../oci/digest.ts'
import type { ChartRecord } from './chart-record.ts'
import { type IndexFormat, renderUrls } from './index-entry.ts'
import { renderJson, renderScalar } from './yaml-writer.ts'

export interface IndexedChart<T extends { readonly record: ChartRecord }> {
  readonly name: string
  /** Newest first; at least one. */
  readonly versions: readonly T[]
}

export interface ChartParts<T extends { readonly record: ChartRecord }> {
  /** What was rendered for some records, by the manifest it was made of. Whatever it throws ends the document. */
  readonly readEntries: (records: readonly ChartRecord[]) => ReadonlyMap<Digest, string>
  /** The address of its package. */
  readonly urlOf: (version: T) => string
}

/** Goes up when the same entries make other bytes than before. */
export const RENDERER_VERSION = 1

/** Entries that are read in one go: reading them one by one takes twice as long. */
const VERSIONS_AT_ONCE = 64

interface Notation {
  readonly head: (isEmpty: boolean) => string
  /** Between two charts. */
  readonly chartSeparator: string
  readonly beginChart: (name: string) => string
  /** Between two versions of a chart. */
  readonly versionSeparator: string
  readonly endChart: string
  /** `generated` is the newest creation there is. */
  readonly tail: (generated: string | undefined) => string
}

/** helm cm-push reads the prefix of the upload route from `serverInfo.contextPath`. */
export const indexNotations: Readonly<Record<IndexFormat, Notation>> = {
  yaml: {
    head: (isEmpty) => `apiVersion: v1\n${isEmpty ? 'entries: {}\n' : 'entries:\n'}`,
    chartSeparator: '',
    beginChart: (name) => `  ${renderScalar(name)}:\n`,
    versionSeparator: '',
    endChart: '',
    tail: (generated) =>
      `${generated === undefined ? '' : `generated: "${generated}"\n`}serverInfo:\n  contextPath: ""\n`,
  },
  json: {
    head: () => '{"apiVersion":"v1","entries":{\n',
    chartSeparator: ',\n',
    beginChart: (name) => `${renderJson(name)}:[\n`,
    versionSeparator: ',\n',
    endChart: ']',
    tail: (generated) =>
      `},\n${generated === undefined ? '' : `"generated":"${generated}",`}"serverInfo":{"contextPath":""}}\n`,
  },
}

/**
 * One chart of the index; a piece per version.
 * @throws TypeError when an entry is not there
 */
export function* renderChart<T extends { readonly record: ChartRecord }>(
  format: IndexFormat,
  { name, versions }: IndexedChart<T>,
  { readEntries, urlOf }: ChartParts<T>,
): Generator<string> {
  const { beginChart, versionSeparator, endChart } = indexNotations[format]
  let before = beginChart(name)
  for (let start = 0; start < versions.length; start += VERSIONS_AT_ONCE) {
    const some = versions.slice(start, start + VERSIONS_AT_ONCE)
    const entries = readEntries(some.map(({ record }) => record))
    for (const version of some) {
      const entry = entries.get(version.record.manifest)
      if (entry === undefined) throw new TypeError(`There is no entry of ${version.record.manifest}`)
      yield before + entry + renderUrls[format](urlOf(version))
      before = versionSeparator
    }
  }
  yield endChart
}

/** The newest of some times of creation; undefined when there is none. */
export function findNewest(times: Iterable<string | undefined>): string | undefined {
  let newest: string | undefined
  let newestMs = Number.NEGATIVE_INFINITY
  for (const time of times) {
    if (time === undefined || time === newest) continue
    const ms = Date.parse(time)
    if (newest !== undefined && ms <= newestMs) continue
    newest = time
    newestMs = ms
  }
  return newest
}
