/**
 * A docker-registry with so many chart versions, a hundred in each repository. Its directory is kept under the system's
 * directory for temporary files: seeding 100,000 versions takes longer than most measurements.
 *
 * Invariant: what a measurement adds is gone again when the registry is opened the next time.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeChart } from '../test/stand/many-charts.ts'
import { openQuietRegistry, type QuietRegistry } from './quiet-registry.ts'
import { seedRegistry, seedVersion } from './seed.ts'

/** Goes up when the content changes that is seeded. */
const CONTENT = 1
const VERSIONS_EACH = 100

export interface SeededRegistry extends QuietRegistry {
  readonly repositories: number
  /** How many chart versions there are at the moment. */
  versions(): number
  /** Adds versions that never were there, spread over the repositories; returns their file names. */
  addVersions(count: number): readonly string[]
  /** Takes away what was added. */
  removeAdded(): void
}

export async function openSeededRegistry(size: number): Promise<SeededRegistry> {
  const repositories = Math.max(1, Math.round(size / VERSIONS_EACH))
  const versionsEach = Math.ceil(size / repositories)
  const root = join(tmpdir(), 'oci-chartrepo-bench', `${CONTENT}-${repositories}x${versionsEach}`)
  if (!existsSync(root)) {
    // Renamed when complete: a run that was broken off leaves nothing that looks whole.
    const part = `${root}.part-${process.pid}`
    mkdirSync(part, { recursive: true })
    seedRegistry(part, { repositories, versionsEach })
    renameSync(part, root)
  }
  removeExtra(root, repositories, versionsEach)
  const registry = await openQuietRegistry(root)
  let added = 0
  let present = 0
  const removeAdded = (): void => {
    removeExtra(root, repositories, versionsEach)
    present = 0
  }
  return {
    host: registry.host,
    repositories,
    versions: () => repositories * versionsEach + present,
    addVersions: (count) =>
      Array.from({ length: count }, () => {
        const chart = describeChart(added % repositories, versionsEach + Math.floor(added / repositories))
        seedVersion(root, chart)
        added += 1
        present += 1
        return `${chart.name}-${chart.version}.tgz`
      }),
    removeAdded,
    [Symbol.asyncDispose]: async () => {
      await registry[Symbol.asyncDispose]()
      removeAdded()
    },
  }
}

/** A tag's directory is what makes it exist; its blobs may stay. */
function removeExtra(root: string, repositories: number, versionsEach: number): void {
  const known = new Set(Array.from({ length: versionsEach }, (_, version) => describeChart(0, version).version))
  for (let repository = 0; repository < repositories; repository++) {
    const tags = join(root, 'docker/registry/v2/repositories/charts', `app-${repository}`, '_manifests', 'tags')
    for (const tag of readdirSync(tags)) {
      if (!known.has(tag)) rmSync(join(tags, tag), { recursive: true, force: true })
    }
  }
}
