/** What an image layout writes is durable in the order in which it is named: blobs, then the index.json that names them. */
import { afterEach, expect, spyOn, test } from 'bun:test'
import { existsSync, readlinkSync } from 'node:fs'
import { type FileHandle, mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import { limits } from '../../src/limits.ts'
import { digestBytes } from '../../src/oci/digest.ts'
import { DirectorySyncs } from '../../src/storage/directory-syncs.ts'
import { ImageLayout } from '../../src/storage/image-layout.ts'
import { LayoutBlobs } from '../../src/storage/layout-blobs.ts'
import { LayoutIndex } from '../../src/storage/layout-index.ts'
import { LayoutManifests } from '../../src/storage/layout-manifests.ts'
import { LocalRegistry } from '../../src/storage/local-registry.ts'
import { FakeClock } from '../lib/fake-clock.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { captureLog } from '../telemetry/captured-log.ts'
import { rejection } from '../upstream/fake-send.ts'
import { makeBlob, streamOf } from './blob-content.ts'
import { makeImage } from './layout-content.ts'

const restore: (() => void)[] = []
afterEach(() => {
  for (const each of restore.splice(0)) each()
})

/** Paths below `root` in the order in which they were synced; drafts have names of their own. */
async function watchSyncs(root: string): Promise<string[]> {
  const synced: string[] = []
  await using some = await open(root)
  const prototype = Object.getPrototypeOf(some) as FileHandle
  const sync = prototype.sync
  const spy = spyOn(prototype, 'sync').mockImplementation(async function (this: FileHandle) {
    await sync.call(this)
    const path = readlinkSync(`/proc/self/fd/${this.fd}`).slice(root.length + 1)
    synced.push(path.replace(/^\.uploads\/.+/, 'draft'))
  })
  restore.push(() => spy.mockRestore())
  return synced
}

test('a push is on the disk before it is answered: each file, its directory, and only then what names it', async () => {
  await using temp = await openTempDir()
  const root = join(temp.path, 'data')
  const layer = makeBlob('layer')
  const image = makeImage([layer])
  const options = { root, sweepIntervalMs: 0, sweepDelayMs: 0, clock: new FakeClock(), log: captureLog() }
  const registry = await LocalRegistry.open(options)
  const push = (tag: string) => registry.writeManifest('demo', { ...image, digest: undefined, tags: [tag] })
  await push('v1')
  const synced = await watchSyncs(root)
  const { id } = await registry.beginUpload('demo', 'sha256')
  const { bytes, digest } = layer
  await registry.finishUpload('demo', id, { body: streamOf(bytes), start: 0, length: undefined, digest })
  expect(synced.splice(0)).toEqual(['draft', 'demo/blobs/sha256'])
  await push('v2')
  // Its manifest was there.
  expect(synced.splice(0)).toEqual(['draft', 'demo'])
  const other = makeImage([makeBlob('another layer')])
  await registry.writeManifest('demo', { ...other, digest: undefined, tags: ['v3'] })
  expect(synced.splice(0)).toEqual(['draft', 'demo/blobs/sha256', 'draft', 'demo'])
  await registry.writeManifest('new', { ...other, digest: undefined, tags: ['v1'] })
  const made = synced.splice(0)
  expect([made[0], ...made.slice(-3)]).toEqual(['draft', 'new/blobs/sha256', 'draft', 'new'])
  expect(made).toContain('new/blobs')
  await registry.close()
})

test('a disk that fails while a large upload still comes is not taken for one that has it', async () => {
  await using temp = await openTempDir()
  const options = { root: temp.path, sweepIntervalMs: 0, sweepDelayMs: 0, clock: new FakeClock(), log: captureLog() }
  const registry = await LocalRegistry.open(options)
  await using some = await open(temp.path)
  const prototype = Object.getPrototypeOf(some) as FileHandle
  const fault = Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO', syscall: 'fdatasync' })
  const spy = spyOn(prototype, 'datasync').mockRejectedValueOnce(fault)
  restore.push(() => spy.mockRestore())
  const bytes = new Uint8Array(limits.syncAheadBytes + 1)
  const push = async () => {
    const { id } = await registry.beginUpload('demo', 'sha256')
    const end = { body: new Blob([bytes]).stream(), start: 0, length: undefined, digest: digestBytes(bytes) }
    await registry.finishUpload('demo', id, end)
  }
  expect(await rejection(push())).toMatchObject({ code: 'STORAGE_DENIED', cause: fault })
  expect(await registry.statBlob('demo', digestBytes(bytes)).catch(() => undefined)).toBeUndefined()
  await push()
  expect([spy.mock.calls.length, await registry.statBlob('demo', digestBytes(bytes))]).toEqual([2, bytes.length])
  await registry.close()
})

test('no index.json names a manifest that is not there, also when it is pushed while it is deleted', async () => {
  await using temp = await openTempDir()
  const [dir, draftsDir] = [join(temp.path, 'demo'), join(temp.path, '.uploads')]
  await mkdir(draftsDir)
  const missing: string[] = []
  const layout = new ImageLayout({
    dir,
    draftsDir,
    syncs: new DirectorySyncs(),
    onChange: (_, after) => {
      for (const digest of after.manifests.keys()) if (!existsSync(layout.blobPath(digest))) missing.push(digest)
    },
  })
  const clock = new FakeClock({ now: Date.now() })
  const blobs = new LayoutBlobs({ draftsDir, touchIntervalMs: 1000, clock })
  const manifests = new LayoutManifests(blobs)
  const image = makeImage([makeBlob('layer')])
  const push = () => manifests.write(layout, { ...image, digest: undefined, tags: ['v1'] })
  await push()
  // It is pushed again when it has been found unlisted, and is about to go.
  const removeBlob = blobs.remove.bind(blobs)
  const pushing = Promise.withResolvers<unknown>()
  const spy = spyOn(blobs, 'remove').mockImplementation(async (...args) => {
    pushing.resolve(push())
    await Bun.sleep(0)
    return await removeBlob(...args)
  })
  restore.push(() => spy.mockRestore())
  expect(await manifests.remove(layout, (await layout.read()) ?? LayoutIndex.empty, image.digest)).toBe(true)
  await pushing.promise
  expect((await layout.read())?.tags.get('v1')?.digest).toBe(image.digest)
  expect(missing).toEqual([])
})
