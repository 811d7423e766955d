/**
 * The directory of an embedded registry with so many chart versions, a hundred in each repository: image layouts as the
 * registry itself writes them. It is kept, as that of seeded-registry.ts is.
 *
 * Invariant: what a measurement pushed has no tag any more when the directory is opened the next time.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { OCI_INDEX_TYPE, OCI_MANIFEST_TYPE } from '../test/stand/charts.ts'
import { describeChart } from '../test/stand/many-charts.ts'
import { makeChartContent } from './chart-content.ts'
import type { PushedChart } from './pushed-charts.ts'

/** Goes up when the content changes that is seeded. */
const CONTENT = 1
const VERSIONS_EACH = 100
const TAG = 'org.opencontainers.image.ref.name'

export interface SeededLayouts extends Disposable {
  readonly dir: string
  readonly versions: number
  /** One that was in the directory at no time. */
  makeNewChart(): PushedChart & { readonly file: string }
}

interface Index {
  readonly manifests: readonly { readonly annotations: Readonly<Record<string, string>> }[]
}

export function openSeededLayouts(size: number): SeededLayouts {
  const repositories = Math.max(1, Math.round(size / VERSIONS_EACH))
  const versionsEach = Math.ceil(size / repositories)
  const dir = join(tmpdir(), 'oci-chartrepo-bench', `layouts-${CONTENT}-${repositories}x${versionsEach}`)
  if (!existsSync(dir)) {
    // Renamed when complete: a run that was broken off leaves nothing that looks whole.
    const part = `${dir}.part-${process.pid}`
    for (let repository = 0; repository < repositories; repository++) seedLayout(part, repository, versionsEach)
    renameSync(part, dir)
  }
  const removeAdded = (): void => {
    for (let repository = 0; repository < repositories; repository++) removeExtra(dir, repository, versionsEach)
  }
  removeAdded()
  let made = 0
  return {
    dir,
    versions: repositories * versionsEach,
    makeNewChart: () => {
      const described = describeChart(made % repositories, versionsEach + Math.floor(made / repositories))
      made += 1
      // Another one in every run: the blobs of earlier ones may still be there.
      const id = crypto.randomUUID()
      const content = makeChartContent({ ...described, appVersion: id }, Buffer.from(`not unpacked either: ${id}`))
      const { name, version } = described
      return { repository: `charts/${name}`, file: `${name}-${version}.tgz`, ...content }
    },
    [Symbol.dispose]: removeAdded,
  }
}

function seedLayout(root: string, repository: number, versions: number): void {
  const dir = layoutDir(root, repository)
  mkdirSync(join(dir, 'blobs', 'sha256'), { recursive: true })
  const manifests = Array.from({ length: versions }, (_, version) => {
    const { tag, config, layer, manifest } = makeChartContent(describeChart(repository, version))
    for (const { digest, bytes } of [config, layer, manifest]) {
      writeFileSync(join(dir, 'blobs', digest.replace(':', '/')), bytes)
    }
    const { digest, size } = manifest
    return { mediaType: OCI_MANIFEST_TYPE, digest, size, annotations: { [TAG]: tag } }
  })
  writeFileSync(join(dir, 'index.json'), JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX_TYPE, manifests }))
  writeFileSync(join(dir, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }))
}

/** The descriptor is what makes a tag exist; its blobs may stay. */
function removeExtra(root: string, repository: number, versions: number): void {
  const known = new Set(Array.from({ length: versions }, (_, version) => describeChart(repository, version).version))
  const path = join(layoutDir(root, repository), 'index.json')
  const index = JSON.parse(readFileSync(path, 'utf8')) as Index
  const manifests = index.manifests.filter(({ annotations }) => known.has(annotations[TAG] ?? ''))
  if (manifests.length < index.manifests.length) writeFileSync(path, JSON.stringify({ ...index, manifests }))
}

function layoutDir(root: string, repository: number): string {
  return join(root, 'charts', `app-${repository}`)
}
