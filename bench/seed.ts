/**
 * Fills docker-registry's directory with chart versions, in its own layout (distribution `registry/storage/paths.go`,
 * v2), because pushing a hundred thousand over HTTP takes longer than everything that is measured afterwards.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ChartDescription } from '../test/stand/charts.ts'
import { describeChart } from '../test/stand/many-charts.ts'
import { makeChartContent, type StoredBlob } from './chart-content.ts'

export interface SeedOptions {
  readonly repositories: number
  readonly versionsEach: number
}

/** Writes `charts/app-0` … under the root of a registry that is not running yet; returns how many versions there are. */
export function seedRegistry(root: string, { repositories, versionsEach }: SeedOptions): number {
  for (let repository = 0; repository < repositories; repository++) {
    for (let version = 0; version < versionsEach; version++) seedVersion(root, describeChart(repository, version))
  }
  return repositories * versionsEach
}

/** Adds one version, which a running registry serves from then on; `archive` is its chart archive, a short text if none. */
export function seedVersion(root: string, chart: ChartDescription, archive?: Uint8Array<ArrayBuffer>): void {
  const base = join(root, 'docker', 'registry', 'v2')
  const repository = join(base, 'repositories', 'charts', chart.name)
  const content = makeChartContent(chart, archive)
  const { config, layer, manifest } = content
  for (const blob of [config, layer, manifest]) writeBlob(base, blob)
  for (const { digest } of [config, layer]) writeLink(join(repository, '_layers', digest.replace(':', '/')), digest)
  const { digest } = manifest
  writeLink(join(repository, '_manifests', 'revisions', digest.replace(':', '/')), digest)
  const tag = join(repository, '_manifests', 'tags', content.tag)
  writeLink(join(tag, 'index', digest.replace(':', '/')), digest)
  writeLink(join(tag, 'current'), digest)
}

function writeBlob(base: string, { digest, bytes }: StoredBlob): void {
  const hex = digest.slice('sha256:'.length)
  const dir = join(base, 'blobs', 'sha256', hex.slice(0, 2), hex)
  mkdirSync(dir, { recursive: true })
  writeFileSync(join(dir, 'data'), bytes)
}

function writeLink(dir: string, digest: string): void {
  mkdirSync(dir, { recursive: true })
  writeFileSync(join(dir, 'link'), digest)
}
