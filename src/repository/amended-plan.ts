/** The plan of a snapshot after a few repositories changed: worked out for the charts in them, and for no others. */

import { compareText } from '../lib/compare-text.ts'
import { type CatalogListing, tagsIn } from './catalog.ts'
import type { ChartFile, ChartPicks, PlannedChart } from './chart-picks.ts'
import { type FileLookup, mergeVersions, type SnapshotPlan } from './snapshot.ts'

/** Files by name, where a few are different from those of another look-up. */
class AmendedFiles implements FileLookup {
  readonly #base: FileLookup
  /** undefined for those that are gone. */
  readonly #changed: ReadonlyMap<string, ChartFile | undefined>

  constructor(before: FileLookup, changed: ReadonlyMap<string, ChartFile | undefined>) {
    const isAmended = before instanceof AmendedFiles
    this.#base = isAmended ? before.#base : before
    this.#changed = isAmended ? new Map([...before.#changed, ...changed]) : changed
  }

  get(fileName: string): ChartFile | undefined {
    return this.#changed.has(fileName) ? this.#changed.get(fileName) : this.#base.get(fileName)
  }
}

/**
 * What `planSnapshot` would make of `after`, where `plan` is that of `before`; `changed` are the repositories in which
 * they differ. undefined where charts of different names want one file name: then all of them have to be looked at.
 */
export function amendPlan(
  plan: SnapshotPlan,
  changed: Iterable<string>,
  {
    before,
    after,
    picks,
  }: { readonly before: CatalogListing; readonly after: CatalogListing; readonly picks: ChartPicks },
): SnapshotPlan | undefined {
  if (plan.isTangled) return undefined
  const holders = new Map(plan.holders)
  const names = new Set<string>()
  for (const repository of changed) {
    const old = picks.of(repository, tagsIn(before, repository))
    const now = picks.of(repository, tagsIn(after, repository))
    for (const name of new Set([...old.keys(), ...now.keys()])) {
      if (isSame(old.get(name), now.get(name))) continue
      names.add(name)
      const others = (holders.get(name) ?? []).filter((each) => each !== repository)
      holders.set(name, now.has(name) ? [...others, repository].sort(compareText) : others)
    }
  }
  const files = new Map<string, ChartFile | undefined>()
  const amended = new Map<string, readonly ChartFile[]>()
  for (const name of names) {
    const lists = (holders.get(name) ?? []).map(
      (repository) => picks.of(repository, tagsIn(after, repository)).get(name) ?? [],
    )
    const versions = mergeVersions(lists)
    amended.set(name, versions)
    const now = new Map(versions.map((file) => [file.fileName, file]))
    for (const { fileName } of plan.charts.find((chart) => chart.name === name)?.versions ?? []) {
      if (!now.has(fileName)) files.set(fileName, undefined)
    }
    for (const [fileName, file] of now) {
      const holder = plan.files.get(fileName)
      if (holder !== undefined && holder.record.name !== name) return undefined
      if (holder !== file) files.set(fileName, file)
    }
    if (lists.length === 0) holders.delete(name)
  }
  return { ...plan, charts: amendCharts(plan.charts, amended), files: new AmendedFiles(plan.files, files), holders }
}

function amendCharts(
  charts: readonly PlannedChart[],
  amended: ReadonlyMap<string, readonly ChartFile[]>,
): readonly PlannedChart[] {
  const left = new Map(amended)
  const kept: PlannedChart[] = []
  for (const chart of charts) {
    const versions = left.get(chart.name)
    left.delete(chart.name)
    if (versions === undefined) kept.push(chart)
    else if (versions.length > 0) kept.push({ name: chart.name, versions })
  }
  const added = [...left].filter(([, versions]) => versions.length > 0).map(([name, versions]) => ({ name, versions }))
  return added.length === 0 ? kept : [...kept, ...added].sort((a, b) => compareText(a.name, b.name))
}

function isSame(a: readonly ChartFile[] = [], b: readonly ChartFile[] = []): boolean {
  return (
    a.length === b.length && a.every((file, place) => file.record === b[place]?.record && file.tag === b[place].tag)
  )
}
