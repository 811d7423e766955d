/**
 * Measures the compiled executable, in front of a real docker-registry and as a registry beside it, and prints one
 * table; see README.md beside.
 *
 *   bun bench/main.ts [SIZES=1000,20000] [RUNS=5] [ONLY=refresh,memory]
 */
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buildExecutable } from '../test/stand/executable.ts'
import { isPresent } from '../test/stand/programs.ts'
import { openTempDir } from '../test/stand/temp-dir.ts'
import type { Bench, StandaloneBench } from './bench.ts'
import { measureChartThroughput } from './chart-throughput.ts'
import { measureDistantCrawl, measureFirstCrawl } from './first-crawl.ts'
import { measureHelmRepoAdd } from './helm-repo-add.ts'
import { measureIndexThroughput } from './index-throughput.ts'
import { measureLatencyUnderRefresh } from './latency-under-refresh.ts'
import { describeMachine } from './machine.ts'
import { measureMemory } from './memory.ts'
import { measurePushToVisible } from './push-to-visible.ts'
import { measureRefresh } from './refresh.ts'
import { measureRegistryLargeBlob } from './registry-large-blob.ts'
import { measureRegistryPush } from './registry-push.ts'
import { measureRegistryReads } from './registry-reads.ts'
import { measureRenderStall } from './render-stall.ts'
import { measureRestart } from './restart.ts'
import { openSeededRegistry } from './seeded-registry.ts'
import { type Row, renderRow, renderTable, unmeasured } from './table.ts'

/** `serving`: what a bigger index only makes slower is measured at one size, the largest up to this. */
const SERVING_SIZE = 20_000

interface Measurement<B> {
  readonly at: 'every' | 'smallest' | 'serving'
  readonly measure: (bench: B) => Promise<readonly Row[]>
}

type Measurements<B> = Readonly<Record<string, Measurement<B>>>

/** Over the docker-registry that was seeded. */
const seeded: Measurements<Bench> = {
  'distant-crawl': { at: 'smallest', measure: measureDistantCrawl },
  'first-crawl': { at: 'every', measure: measureFirstCrawl },
  restart: { at: 'every', measure: measureRestart },
  refresh: { at: 'every', measure: measureRefresh },
  'index-throughput': { at: 'serving', measure: measureIndexThroughput },
  'chart-throughput': { at: 'serving', measure: measureChartThroughput },
  'helm-repo-add': { at: 'serving', measure: measureHelmRepoAdd },
  'latency-under-refresh': { at: 'serving', measure: measureLatencyUnderRefresh },
  'render-stall': { at: 'serving', measure: measureRenderStall },
  memory: { at: 'every', measure: measureMemory },
}

/** Of the embedded registry. What does not depend on a size is measured once, at the smallest. */
const embedded: Measurements<StandaloneBench> = {
  'registry-push': { at: 'smallest', measure: measureRegistryPush },
  'registry-large-blob': { at: 'smallest', measure: measureRegistryLargeBlob },
  'registry-reads': { at: 'smallest', measure: measureRegistryReads },
  'push-to-visible': { at: 'every', measure: measurePushToVisible },
}

const NAMES = [...Object.keys(seeded), ...Object.keys(embedded)]

/** @throws naming what is wrong with the arguments. */
function readArguments(args: readonly string[]) {
  const given = Object.fromEntries(args.map((arg) => arg.split('=', 2) as [string, string]))
  const { SIZES = '', RUNS = '', ONLY = '' } = given
  const sizes = (SIZES || '1000,20000').split(',').map(Number)
  const runs = Number(RUNS || 5)
  const names = ONLY === '' ? NAMES : ONLY.split(',')
  const unknown = names.find((name) => !NAMES.includes(name))
  if (unknown !== undefined) throw new Error(`ONLY: given "${unknown}", wanted ${NAMES.join(', ')}`)
  if (![...sizes, runs].every((n) => Number.isInteger(n) && n > 0)) {
    throw new Error('SIZES and RUNS: wanted whole numbers above 0, SIZES=1000,20000 RUNS=5')
  }
  return { sizes: sizes.toSorted((a, b) => a - b), runs, names }
}

function isMeasuredAt(size: number, at: Measurement<never>['at'], sizes: readonly number[]): boolean {
  if (at === 'every') return true
  return size === (at === 'smallest' ? sizes[0] : (sizes.findLast((each) => each <= SERVING_SIZE) ?? sizes[0]))
}

async function runAll(): Promise<boolean> {
  const { sizes, runs, names } = readArguments(Bun.argv.slice(2))
  await using temp = await openTempDir()
  // A copy: a build in the meantime must not change what is measured.
  const executable = join(temp.path, 'oci-chartrepo')
  await copyFile(await buildExecutable(), executable)
  const rows: Row[] = []
  let failed = false
  const run = async (name: string, size: number, measure: () => Promise<readonly Row[]>): Promise<void> => {
    const startedAt = performance.now()
    const before = rows.length
    try {
      rows.push(...(await measure()))
    } catch (error) {
      failed = true
      rows.push(unmeasured(size, name, '**failed**'))
      console.error(error)
    }
    // Progress, and what is left of a run that is broken off.
    console.error(`${size} versions: ${name}, ${((performance.now() - startedAt) / 1000).toFixed(0)} s`)
    for (const row of rows.slice(before)) console.error(renderRow(row))
  }
  for (const size of sizes) {
    const pick = <B>(all: Measurements<B>) =>
      names.flatMap((name) => {
        const found = all[name]
        return found !== undefined && isMeasuredAt(size, found.at, sizes) ? [{ name, measure: found.measure }] : []
      })
    const bench: StandaloneBench = { executable, size, runs }
    await measureSeeded(bench, pick(seeded), run)
    for (const { name, measure } of pick(embedded)) await run(name, size, () => measure(bench))
  }
  console.log(`${describeMachine(executable)}\n\nMedians of ${runs}.\n\n${renderTable(rows)}`)
  return !failed
}

interface Picked<B> extends Pick<Measurement<B>, 'measure'> {
  readonly name: string
}

async function measureSeeded(
  bench: StandaloneBench,
  picked: readonly Picked<Bench>[],
  run: (name: string, size: number, measure: () => Promise<readonly Row[]>) => Promise<void>,
): Promise<void> {
  const { size } = bench
  if (picked.length === 0) return
  if (!isPresent('docker-registry')) {
    const reason = 'skipped: docker-registry is not installed'
    for (const { name } of picked) await run(name, size, () => Promise.resolve([unmeasured(size, name, reason)]))
    return
  }
  console.error(`${size} versions: seeding the registry, unless that was done before`)
  await using registry = await openSeededRegistry(size)
  await using kept = await openTempDir()
  for (const { name, measure } of picked) {
    await run(name, size, () => measure({ ...bench, registry, temp: kept }))
    // A measurement that failed has left what it added.
    registry.removeAdded()
  }
}

process.exitCode = (await runAll()) ? 0 : 1
