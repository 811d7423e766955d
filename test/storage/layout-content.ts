/** Manifests of tests, directories that are image layouts as other tools write them, and what is in a layout's files. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, digestAlgorithm, digestHex } from '../../src/oci/digest.ts'
import { mediaTypes } from '../../src/oci/media-types.ts'
import { DirectorySyncs } from '../../src/storage/directory-syncs.ts'
import { ImageLayout } from '../../src/storage/image-layout.ts'
import type { LayoutIndex } from '../../src/storage/layout-index.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { makeBlob, type TestBlob } from './blob-content.ts'

export interface TestManifest extends TestBlob {
  readonly mediaType: string
}

type Named = Pick<TestManifest, 'mediaType' | 'digest' | 'size'>

export const REF_NAME = 'org.opencontainers.image.ref.name'
export const config = makeBlob('{}')

export function describe({ mediaType, digest, size }: Named) {
  return { mediaType, digest, size }
}

/** As it stands in an index.json. */
export function descriptor(manifest: Named, tag?: string): Record<string, unknown> {
  return { ...describe(manifest), ...(tag === undefined ? {} : { annotations: { [REF_NAME]: tag } }) }
}

function makeManifest(mediaType: string, document: Record<string, unknown>): TestManifest {
  return { ...makeBlob(JSON.stringify({ schemaVersion: 2, mediaType, ...document })), mediaType }
}

export function makeImage(layers: readonly TestBlob[], rest: Record<string, unknown> = {}): TestManifest {
  const layer = ({ digest, size }: TestBlob) => describe({ mediaType: 'text/plain', digest, size })
  const [first, ...others] = [config, ...layers].map(layer)
  return makeManifest(mediaTypes.ociManifest, { config: first, layers: others, ...rest })
}

export function makeIndex(children: readonly Named[]): TestManifest {
  return makeManifest(mediaTypes.ociIndex, { manifests: children.map(describe) })
}

export function blobPath(dir: string, digest: Digest): string {
  return join(dir, 'blobs', digestAlgorithm(digest), digestHex(digest))
}

export async function putBlobs(dir: string, blobs: readonly TestBlob[]): Promise<void> {
  for (const algorithm of ['sha256', 'sha512']) await mkdir(join(dir, 'blobs', algorithm), { recursive: true })
  for (const { digest, bytes } of blobs) await writeFile(blobPath(dir, digest), bytes)
}

/** A layout as another tool writes it: descriptors as they are to stand in its index.json. */
export async function putLayout(
  dir: string,
  blobs: readonly TestBlob[],
  descriptors: readonly Record<string, unknown>[],
): Promise<void> {
  await putBlobs(dir, blobs)
  await writeFile(join(dir, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: descriptors }))
  await writeFile(join(dir, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
}

export async function readDescriptors(dir: string): Promise<readonly Record<string, unknown>[]> {
  return JSON.parse(await readFile(join(dir, 'index.json'), 'utf8')).manifests
}

/** The names of a directory, none for one that is not there. */
export async function namesIn(dir: string): Promise<readonly string[]> {
  return (await readdir(dir).catch(() => [])).sort()
}

export interface TagChange {
  readonly before: Record<string, Digest>
  readonly after: Record<string, Digest>
}

/** A layout in a directory of its own that is not made yet. */
export async function openLayoutStage() {
  const temp = await openTempDir()
  const dir = join(temp.path, 'team', 'demo')
  const draftsDir = join(temp.path, '.uploads')
  await mkdir(draftsDir)
  const heard: TagChange[] = []
  const digests = (index: LayoutIndex) => Object.fromEntries(index.digests)
  const open = () =>
    new ImageLayout({
      dir,
      draftsDir,
      syncs: new DirectorySyncs(),
      onChange: (before, after) => void heard.push({ before: digests(before), after: digests(after) }),
    })
  return { dir, draftsDir, heard, open, layout: open(), [Symbol.asyncDispose]: temp[Symbol.asyncDispose] }
}
