/**
 * What is served, all of it, at one moment: the index and the files it names. Immutable; swapped as a whole.
 */

import type { ChartRecord } from '../helm/chart-record.ts'
import { type IndexDocument, renderIndex } from '../helm/index-document.ts'
import { chartFileName } from '../helm/index-entry.ts'
import { compareText } from '../helm/version.ts'
import { type CatalogListing, findChart, type Records, type Tags } from './catalog.ts'

export interface ChartFile {
  /** Where the registry has it. */
  readonly repository: string
  readonly record: ChartRecord
}

/** Two charts that want one place; the first repository in lexical order has it. */
export interface Collision {
  readonly file: string
  readonly repository: string
  readonly hiddenRepository: string
}

export interface Snapshot {
  /** When the listing it was made from began, in milliseconds since the epoch. */
  readonly listedAt: number
  readonly index: IndexDocument
  /** By `name-version.tgz`. */
  readonly files: ReadonlyMap<string, ChartFile>
  readonly collisions: readonly Collision[]
}

/** A function of the listing's content alone: the order in which things were found does not matter. */
export function buildSnapshot(listing: CatalogListing, records: Records): Snapshot {
  const files = new Map<string, ChartFile>()
  const collisions: Collision[] = []
  for (const repository of [...listing.repositories.keys()].sort(compareText)) {
    const tags = listing.repositories.get(repository)?.tags ?? new Map()
    for (const record of pickVersions(tags, records).values()) {
      const file = chartFileName(record.name, record.version)
      const holder = files.get(file)
      if (holder === undefined) files.set(file, { repository, record })
      else collisions.push({ file, repository: holder.repository, hiddenRepository: repository })
    }
  }
  const index = renderIndex([...files.values()].map(({ record }) => record))
  return { listedAt: listing.listedAt, index, files, collisions }
}

/**
 * The charts of one repository, one per name and version. Several tags of one version are one entry: the tag that is
 * the version itself counts before others, and those in lexical order.
 */
function pickVersions(tags: Tags, records: Records): ReadonlyMap<string, ChartRecord> {
  const picked = new Map<string, { readonly record: ChartRecord; readonly exact: boolean }>()
  for (const tag of [...tags.keys()].sort(compareText)) {
    const record = findChart(records, tags.get(tag) ?? null)
    if (record === undefined) continue
    const key = `${record.name}\n${record.version}`
    const exact = tag === record.version.replaceAll('+', '_')
    const holder = picked.get(key)
    if (holder === undefined || (exact && !holder.exact)) picked.set(key, { record, exact })
  }
  return new Map([...picked].map(([key, { record }]) => [key, record]))
}
