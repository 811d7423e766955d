/** OCI image layouts under a directory, read as any other tool would (image spec 1.1, image-layout.md). */
import type { Dirent } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { digestOf } from './charts.ts'

export interface ReadLayout {
  /** Below the directory: `team/app`. */
  readonly repository: string
  readonly dir: string
  /** By tag: the digest of its manifest. */
  readonly tags: ReadonlyMap<string, string>
  /** Of everything that index.json names. */
  readonly manifests: ReadonlySet<string>
  /** Of all files below blobs/, each of which has the bytes of its name. */
  readonly blobs: ReadonlySet<string>
}

interface Descriptor {
  readonly digest: string
  readonly size: number
  readonly annotations?: Readonly<Record<string, string>>
}

interface Manifest {
  readonly config?: Descriptor
  readonly layers?: readonly Descriptor[]
  readonly manifests?: readonly Descriptor[]
}

/**
 * All layouts below `root`, in any order.
 * @throws when one is not valid, names what it has not, or has bytes that are not what their name says
 */
export async function readLayouts(root: string): Promise<readonly ReadLayout[]> {
  const layouts: ReadLayout[] = []
  const waiting = [root]
  for (let dir = waiting.pop(); dir !== undefined; dir = waiting.pop()) {
    const entries = await readdir(dir, { withFileTypes: true })
    if (has(entries, 'oci-layout')) layouts.push(await readLayout(root, dir))
    for (const entry of entries) {
      if (entry.isDirectory() && entry.name !== 'blobs') waiting.push(join(dir, entry.name))
    }
  }
  return layouts
}

function has(entries: readonly Dirent[], name: string): boolean {
  return entries.some((entry) => entry.isFile() && entry.name === name)
}

async function readLayout(root: string, dir: string): Promise<ReadLayout> {
  const fail = (fault: string): never => {
    throw new Error(`The image layout ${dir}: ${fault}`)
  }
  const parse = (text: string, name: string): unknown => {
    try {
      return JSON.parse(text)
    } catch (cause) {
      throw new Error(`The image layout ${dir}: ${name} is ${JSON.stringify(text.slice(0, 100))}`, { cause })
    }
  }
  const readJson = async (name: string): Promise<unknown> => parse(await readFile(join(dir, name), 'utf8'), name)

  const version = (await readJson('oci-layout')) as { readonly imageLayoutVersion?: string }
  if (version.imageLayoutVersion !== '1.0.0') fail(`its version is ${JSON.stringify(version)}`)
  const index = (await readJson('index.json')) as { readonly schemaVersion: number; readonly manifests: Descriptor[] }
  if (index.schemaVersion !== 2) fail(`the schemaVersion is ${index.schemaVersion}`)

  const sizes = new Map<string, number>()
  const hex = await readdir(join(dir, 'blobs', 'sha256'))
  for (const name of hex) {
    const bytes = await readFile(join(dir, 'blobs', 'sha256', name))
    if (digestOf(bytes) !== `sha256:${name}`) fail(`blob ${name} has other bytes than its name says`)
    sizes.set(`sha256:${name}`, bytes.byteLength)
  }
  const tags = new Map<string, string>()
  const manifests = new Set<string>()
  const check = ({ digest, size }: Descriptor, of: string): void => {
    if (sizes.get(digest) !== size) fail(`${of} names ${digest} of ${size} bytes, and there are ${sizes.get(digest)}`)
  }
  const waiting = index.manifests.map((descriptor) => ({ descriptor, of: 'index.json' }))
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { descriptor, of } = next
    check(descriptor, of)
    const tag = descriptor.annotations?.['org.opencontainers.image.ref.name']
    if (of === 'index.json' && tag !== undefined) {
      if (tags.has(tag)) fail(`index.json names the tag ${tag} twice`)
      tags.set(tag, descriptor.digest)
    }
    if (manifests.has(descriptor.digest)) continue
    manifests.add(descriptor.digest)
    const file = join('blobs', descriptor.digest.replace(':', '/'))
    const { config, layers = [], manifests: children = [] } = (await readJson(file)) as Manifest
    for (const blob of config === undefined ? layers : [config, ...layers]) check(blob, descriptor.digest)
    for (const child of children) waiting.push({ descriptor: child, of: descriptor.digest })
  }
  return { repository: relative(root, dir), dir, tags, manifests, blobs: new Set(sizes.keys()) }
}
