/**
 * What is served, all of it, at one moment: the index and the files it names. Immutable; swapped as a whole.
 */

import { sortVersions } from '../helm/version-order.ts'
import { compareText } from '../lib/compare-text.ts'
import { TimeSlices } from '../lib/time-slices.ts'
import { type CatalogListing, tagsIn } from './catalog.ts'
import type { ChartFile, ChartPicks, PlannedChart } from './chart-picks.ts'
import type { PublishedIndex } from './published-index.ts'

/** Two charts that want one place; the first repository in lexical order has it. */
export interface Collision {
  readonly file: string
  readonly repository: string
  readonly hiddenRepository: string
}

/** By `name-version.tgz`. */
export interface FileLookup {
  get(fileName: string): ChartFile | undefined
}

export interface SnapshotPlan {
  /** By name. */
  readonly charts: readonly PlannedChart[]
  readonly files: FileLookup
  readonly collisions: readonly Collision[]
  /** By the name of a chart: the repositories that have it, in lexical order. */
  readonly holders: ReadonlyMap<string, readonly string[]>
  /** Charts of different names want the same file name. */
  readonly isTangled: boolean
}

/** Made from a listing alone, so that it is known which files there are. */
export interface WholePlan extends SnapshotPlan {
  readonly files: ReadonlyMap<string, ChartFile>
}

export interface Snapshot extends Pick<SnapshotPlan, 'files'> {
  /** When the listing it was made from began, in milliseconds since the epoch. */
  readonly listedAt: number
  readonly index: PublishedIndex
  /** Made while the first crawl was under way: what is not in it may be there all the same. */
  readonly isPartial: boolean
}

/** A function of the listing's content alone: the order in which things were found does not matter. */
export async function planSnapshot(listing: CatalogListing, picks: ChartPicks): Promise<WholePlan> {
  const slices = new TimeSlices()
  const files = new Map<string, ChartFile>()
  const collisions: Collision[] = []
  const hidden = new Set<ChartFile>()
  const holders = new Map<string, string[]>()
  let isTangled = false
  for (const repository of [...listing.repositories.keys()].sort(compareText)) {
    for (const [name, versions] of picks.of(repository, tagsIn(listing, repository))) {
      for (const file of versions) {
        const holder = files.get(file.fileName)
        if (holder === undefined) files.set(file.fileName, file)
        else {
          if (holder.record.name !== name) isTangled = true
          hidden.add(file)
          collisions.push({ file: file.fileName, repository: holder.repository, hiddenRepository: repository })
        }
      }
      const others = holders.get(name)
      if (others === undefined) holders.set(name, [repository])
      else others.push(repository)
    }
    if (slices.isOver()) await slices.next()
  }
  const charts: PlannedChart[] = []
  for (const name of [...holders.keys()].sort(compareText)) {
    const lists = (holders.get(name) ?? []).map(
      (repository) => picks.of(repository, tagsIn(listing, repository)).get(name) ?? [],
    )
    const versions = merge(lists, hidden)
    if (versions.length > 0) charts.push({ name, versions })
    if (slices.isOver()) await slices.next()
  }
  return { charts, files, collisions, holders, isTangled }
}

/** The versions of one chart in several repositories, newest first; of two with one file name the first counts. */
export function mergeVersions(lists: readonly (readonly ChartFile[])[]): readonly ChartFile[] {
  const seen = new Set<string>()
  const hidden = new Set<ChartFile>()
  for (const file of lists.flat()) {
    if (seen.has(file.fileName)) hidden.add(file)
    seen.add(file.fileName)
  }
  return merge(lists, hidden)
}

function merge(lists: readonly (readonly ChartFile[])[], hidden: ReadonlySet<ChartFile>): readonly ChartFile[] {
  const [first = []] = lists
  const sorted = lists.length === 1 ? first : sortVersions(lists.flat())
  return hidden.size === 0 ? sorted : sorted.filter((file) => !hidden.has(file))
}
