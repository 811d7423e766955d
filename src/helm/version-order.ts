/** The order of a chart's versions in an index: newest first. */

import { compareText } from '../lib/compare-text.ts'
import type { ChartRecord } from './chart-record.ts'
import { type ChartVersion, compareVersions, tryParseVersion } from './version.ts'

/** Newest first; equal versions (they differ in build metadata alone) by creation, then by their text. */
export function sortVersions<T extends { readonly record: ChartRecord }>(items: Iterable<T>): T[] {
  const keyed = Array.from(items, (item) => ({
    item,
    text: item.record.version,
    version: parse(item.record),
    created: Date.parse(item.record.created ?? '') || 0,
  }))
  keyed.sort((a, b) => compareVersions(b.version, a.version) || b.created - a.created || compareText(b.text, a.text))
  return keyed.map(({ item }) => item)
}

function parse(record: ChartRecord): ChartVersion {
  const version = tryParseVersion(record.version)
  if (version === undefined)
    throw new TypeError(`A record of ${record.name} has the version ${record.version}, which is no SemVer`)
  return version
}
