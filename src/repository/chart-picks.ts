/** Which chart versions the tags of one repository stand for. Worked out again only for repositories that changed. */

import type { ChartRecord } from '../helm/chart-record.ts'
import { chartFileName } from '../helm/index-entry.ts'
import { sortVersions } from '../helm/version-order.ts'
import { compareText } from '../lib/compare-text.ts'
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
    const picked = pickVersions(repository, tags, this.#records)
    const byName = [...picked].sort(([a], [b]) => compareText(a, b))
    const charts = new Map(byName.map(([name, versions]) => [name, sortVersions(versions.values())]))
    this.#picked.set(tags, charts)
    return charts
  }
}

/**
 * The charts of one repository by name and version. Several tags of one version are one entry: the tag that is
 * the version itself counts before others, and those in lexical order.
 */
function pickVersions(
  repository: string,
  tags: Tags,
  records: Records,
): ReadonlyMap<string, ReadonlyMap<string, ChartFile>> {
  const picked = new Map<string, Map<string, ChartFile>>()
  for (const [tag, digest] of tags) {
    const record = findChart(records, digest)
    if (record === undefined) continue
    const { name, version } = record
    const versions = picked.get(name) ?? new Map<string, ChartFile>()
    picked.set(name, versions)
    const holder = versions.get(version)
    if (holder === undefined || isBefore(tag, holder.tag, version)) {
      versions.set(version, { fileName: chartFileName(name, version), repository, tag, record })
    }
  }
  return picked
}

function isBefore(tag: string, other: string, version: string): boolean {
  const exact = version.replaceAll('+', '_')
  return tag === exact || (other !== exact && tag < other)
}
