/** Which chart versions the tags of one repository stand for. Worked out again only for repositories that changed. */

import type { ChartRecord } from '../helm/chart-record.ts'
import { chartFileName } from '../helm/index-entry.ts'
import { compareText } from '../helm/version.ts'
import { sortVersions } from '../helm/version-order.ts'
import { findChart, type Records, type Tags } from './catalog.ts'

/** One chart version, where the registry has it. */
export interface ChartFile {
  /** `demo-1.2.3.tgz` */
  readonly fileName: string
  readonly repository: string
  readonly tag: string
  readonly record: ChartRecord
}

/** By chart name, in that order; each newest first. */
export type RepositoryCharts = ReadonlyMap<string, readonly ChartFile[]>

/** One chart as the index has it, from whatever repositories. */
export interface PlannedChart {
  readonly name: string
  /** Newest first. */
  readonly versions: readonly ChartFile[]
}

export class ChartPicks {
  readonly #records: Records
  /** A listing of tags is never changed, so what follows from it holds as long as it is held. */
  readonly #picked = new WeakMap<Tags, RepositoryCharts>()

  constructor(records: Records) {
    this.#records = records
  }

  of(repository: string, tags: Tags): RepositoryCharts {
    const known = this.#picked.get(tags)
    if (known !== undefined) return known
    const byName = Map.groupBy(pickVersions(repository, tags, this.#records), ({ record }) => record.name)
    const names = [...byName.keys()].sort(compareText)
    const charts = new Map(names.map((name) => [name, sortVersions(byName.get(name) ?? [])]))
    this.#picked.set(tags, charts)
    return charts
  }
}

/**
 * The charts of one repository, one per name and version. Several tags of one version are one entry: the tag that is
 * the version itself counts before others, and those in lexical order.
 */
function pickVersions(repository: string, tags: Tags, records: Records): Iterable<ChartFile> {
  const picked = new Map<string, ChartFile>()
  for (const [tag, digest] of tags) {
    const record = findChart(records, digest)
    if (record === undefined) continue
    const fileName = chartFileName(record.name, record.version)
    // Two charts of one repository may have one file name (`a` 1-2.0.0 and `a-1` 2.0.0): the name tells them apart.
    const key = `${record.name}\n${fileName}`
    const holder = picked.get(key)
    if (holder === undefined || isBefore(tag, holder.tag, record.version)) {
      picked.set(key, { fileName, repository, tag, record })
    }
  }
  return picked.values()
}

function isBefore(tag: string, other: string, version: string): boolean {
  const exact = version.replaceAll('+', '_')
  return tag === exact || (other !== exact && tag < other)
}
