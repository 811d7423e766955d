/** Whole indexes of charts made in memory: head, charts and the separators between them, tail. */
import type { MadeChart } from '../../src/helm/chart-record.ts'
import {
  type ChartParts,
  findNewest,
  type IndexedChart,
  indexNotations,
  renderChart,
} from '../../src/helm/index-document.ts'
import { chartUrl, type IndexFormat } from '../../src/helm/index-entry.ts'
import { sortVersions } from '../../src/helm/version-order.ts'
import { compareText } from '../../src/lib/compare-text.ts'

export const INDEX_FORMATS = ['yaml', 'json'] as const satisfies readonly IndexFormat[]

/** Charts by name, versions newest first. */
export function planIndex(made: readonly MadeChart[]): IndexedChart<MadeChart>[] {
  const names = [...new Set(made.map(({ record }) => record.name))].sort(compareText)
  return names.map((name) => ({ name, versions: sortVersions(made.filter(({ record }) => record.name === name)) }))
}

/** Reads the entries of `made`, and gives their packages the usual addresses. */
export function chartParts(format: IndexFormat, made: readonly MadeChart[]): ChartParts<MadeChart> {
  const entries = new Map(made.map(({ record, entry }) => [record.manifest, entry[format]]))
  return {
    readEntries: (records) => {
      const wanted = new Set(records.map(({ manifest }) => manifest))
      return new Map([...entries].filter(([manifest]) => wanted.has(manifest)))
    },
    urlOf: ({ record }) => chartUrl(record.name, record.version),
  }
}

/** The index of `charts`, sorted by name; a piece per version. */
export function* renderIndex(
  format: IndexFormat,
  charts: readonly IndexedChart<MadeChart>[],
  parts: ChartParts<MadeChart>,
): Generator<string> {
  const { head, chartSeparator, tail } = indexNotations[format]
  yield head(charts.length === 0)
  for (const [i, chart] of charts.entries()) {
    if (i > 0) yield chartSeparator
    yield* renderChart(format, chart, parts)
  }
  yield tail(findNewest(charts.flatMap(({ versions }) => versions.map(({ record }) => record.created))))
}

export function indexText(format: IndexFormat, made: readonly MadeChart[]): string {
  return [...renderIndex(format, planIndex(made), chartParts(format, made))].join('')
}
