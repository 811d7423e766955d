/**
 * Fills docker-registry's directory with chart versions, in its own layout (distribution `registry/storage/paths.go`,
 * v2), because pushing a hundred thousand over HTTP takes longer than everything that is measured afterwards.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CHART_LAYER_TYPE, type ChartDescription, CONFIG_TYPE, OCI_MANIFEST_TYPE } from '../test/stand/charts.ts'
import { describeChart } from '../test/stand/many-charts.ts'

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

/** Adds one version, which a running registry serves from then on; `content` is its chart archive, a short text if none. */
export function seedVersion(root: string, chart: ChartDescription, content?: Uint8Array): void {
  const base = join(root, 'docker', 'registry', 'v2')
  const repository = join(base, 'repositories', 'charts', chart.name)
  const config = writeBlob(base, JSON.stringify(chart))
  const layer = writeBlob(base, content ?? `not unpacked by anybody here: ${chart.name} ${chart.version}`)
  const manifest = writeBlob(
    base,
    JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST_TYPE,
      config: { mediaType: CONFIG_TYPE, ...config },
      layers: [{ mediaType: CHART_LAYER_TYPE, ...layer }],
      annotations: { 'org.opencontainers.image.created': '2026-03-01T12:00:00Z' },
    }),
  )
  for (const { digest } of [config, layer]) writeLink(join(repository, '_layers', digest.replace(':', '/')), digest)
  const { digest } = manifest
  writeLink(join(repository, '_manifests', 'revisions', digest.replace(':', '/')), digest)
  const tag = join(repository, '_manifests', 'tags', chart.version.replaceAll('+', '_'))
  writeLink(join(tag, 'index', digest.replace(':', '/')), digest)
  writeLink(join(tag, 'current'), digest)
}

function writeBlob(base: string, content: string | Uint8Array): { digest: string; size: number } {
  const hex = Bun.CryptoHasher.hash('sha256', content, 'hex')
  const dir = join(base, 'blobs', 'sha256', hex.slice(0, 2), hex)
  mkdirSync(dir, { recursive: true })
  writeFileSync(join(dir, 'data'), content)
  return { digest: `sha256:${hex}`, size: Buffer.byteLength(content) }
}

function writeLink(dir: string, digest: string): void {
  mkdirSync(dir, { recursive: true })
  writeFileSync(join(dir, 'link'), digest)
}
