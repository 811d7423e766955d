/** Blobs of layouts: the file is the truth, whoever wrote it; who was told of a blob can count on it. */
import { describe, expect, test } from 'bun:test'
import { mkdir, stat, unlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { limits } from '../../src/limits.ts'
import { DirectorySyncs } from '../../src/storage/directory-syncs.ts'
import { ImageLayout } from '../../src/storage/image-layout.ts'
import { LayoutBlobs } from '../../src/storage/layout-blobs.ts'
import { FakeClock } from '../lib/fake-clock.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { rejection } from '../upstream/fake-send.ts'
import { fillBlob, makeBlob } from './blob-content.ts'
import { blobPath, namesIn, putBlobs, putLayout } from './layout-content.ts'

const TOUCH_INTERVAL_MS = 1000
const small = makeBlob('hello')
const large = fillBlob(limits.maxHotBlobBytes + 1, 'x')

async function openStage() {
  const temp = await openTempDir()
  const draftsDir = join(temp.path, '.uploads')
  await mkdir(draftsDir)
  const syncs = new DirectorySyncs()
  const open = (name: string) => {
    const dir = join(temp.path, name)
    return { dir, layout: new ImageLayout({ dir, draftsDir, syncs, onChange: () => undefined }) }
  }
  const clock = new FakeClock({ now: Date.now() })
  const blobs = new LayoutBlobs({ draftsDir, touchIntervalMs: TOUCH_INTERVAL_MS, clock })
  const here = open('here')
  await putLayout(here.dir, [small, large], [])
  return { ...here, other: open('other'), blobs, clock, draftsDir, [Symbol.asyncDispose]: temp[Symbol.asyncDispose] }
}

async function setAge(path: string, now: number, ageMs: number): Promise<void> {
  await utimes(path, (now - ageMs) / 1000, (now - ageMs) / 1000)
}

const ageOf = async (path: string, now: number) => Math.round(now - (await stat(path)).mtimeMs)

describe('open', () => {
  test.each([small, large, makeBlob('', 'sha512')])('gives the bytes of a blob: %#', async (blob) => {
    await using stage = await openStage()
    await putBlobs(stage.dir, [blob])
    for (let use = 0; use < 2; use++) {
      const opened = await stage.blobs.openVerified(stage.layout, blob.digest)
      expect(Buffer.compare(blob.bytes, (await opened?.bytes()) ?? Buffer.of(0))).toBe(0)
      expect(stage.blobs.size(stage.layout, blob.digest)).toBe(blob.size)
    }
  })

  test('gives nothing of what only another layout has, although its bytes are in memory', async () => {
    await using stage = await openStage()
    await stage.blobs.open(stage.layout, small.digest)
    expect(await stage.blobs.open(stage.other.layout, small.digest)).toBeUndefined()
    expect(stage.blobs.size(stage.other.layout, small.digest)).toBeUndefined()
  })

  test('gives nothing once the file is gone, although its bytes are in memory', async () => {
    await using stage = await openStage()
    const blob = await stage.blobs.open(stage.layout, small.digest)
    expect(await stage.blobs.open(stage.layout, small.digest)).toBe(blob as Blob)
    await unlink(blobPath(stage.dir, small.digest))
    expect(await stage.blobs.open(stage.layout, small.digest)).toBeUndefined()
    expect(await stage.blobs.openVerified(stage.layout, small.digest)).toBeUndefined()
  })

  test.each(['', 'hell', 'hellO', 'hello!'])(
    'a file that has %p where it should have hello is damaged',
    async (text) => {
      await using stage = await openStage()
      await writeFile(blobPath(stage.dir, small.digest), text)
      for (const open of [stage.blobs.open, stage.blobs.openVerified]) {
        const opening = open.call(stage.blobs, stage.layout, small.digest)
        expect(await rejection(opening)).toMatchObject({ code: 'LAYOUT_DAMAGED' })
      }
    },
  )

  test('a large file that is damaged is found out, also when it was whole before', async () => {
    await using stage = await openStage()
    expect((await stage.blobs.openVerified(stage.layout, large.digest))?.size).toBe(large.size)
    await writeFile(blobPath(stage.dir, large.digest), Buffer.alloc(large.size))
    const opening = stage.blobs.openVerified(stage.layout, large.digest)
    expect(await rejection(opening)).toMatchObject({ code: 'LAYOUT_DAMAGED' })
  })

  test('a directory in the place of a blob is damage', async () => {
    await using stage = await openStage()
    await unlink(blobPath(stage.dir, small.digest))
    await mkdir(blobPath(stage.dir, small.digest))
    expect(await rejection(stage.blobs.open(stage.layout, small.digest))).toMatchObject({ code: 'LAYOUT_DAMAGED' })
  })
})

describe('touch', () => {
  test('renews a time stamp that is old enough, and leaves a younger one', async () => {
    await using stage = await openStage()
    const path = blobPath(stage.dir, small.digest)
    const now = stage.clock.now()
    for (const [age, expected] of [
      [TOUCH_INTERVAL_MS - 10, TOUCH_INTERVAL_MS - 10],
      [TOUCH_INTERVAL_MS, 0],
      [10_000_000, 0],
      [-5000, -5000],
    ] as const) {
      await setAge(path, now, age)
      stage.blobs.touch(stage.layout, small.digest)
      expect(await ageOf(path, now)).toBe(expected)
    }
  })

  test('does not have a large file hashed again', async () => {
    await using stage = await openStage()
    const path = blobPath(stage.dir, large.digest)
    await utimes(path, 0, 0)
    await stage.blobs.openVerified(stage.layout, large.digest)
    stage.blobs.touch(stage.layout, large.digest)
    const touchedAt = stage.clock.now() / 1000
    // Only who reads it again could tell.
    await writeFile(path, Buffer.alloc(large.size))
    await utimes(path, touchedAt, touchedAt)
    expect((await stage.blobs.openVerified(stage.layout, large.digest))?.size).toBe(large.size)
  })

  test('of what is not there does nothing', async () => {
    await using stage = await openStage()
    stage.blobs.touch(stage.other.layout, small.digest)
    expect(await namesIn(stage.other.dir)).toEqual([])
  })
})

describe('mount', () => {
  test.each([small, large])('gives the other layout the same file: %#', async (blob) => {
    await using stage = await openStage()
    expect(await stage.blobs.mount(stage.layout, stage.other.layout, blob.digest)).toBe(true)
    const [from, to] = await Promise.all([stage, stage.other].map(({ dir }) => stat(blobPath(dir, blob.digest))))
    expect(to?.ino).toBe(from?.ino as number)
    expect(await namesIn(stage.draftsDir)).toEqual([])
  })

  test('outlives the file it came from', async () => {
    await using stage = await openStage()
    await stage.blobs.mount(stage.layout, stage.other.layout, small.digest)
    expect(await stage.blobs.remove(stage.layout, small.digest)).toBe(true)
    expect(await (await stage.blobs.open(stage.other.layout, small.digest))?.text()).toBe('hello')
  })

  test('of an old blob looks used at every instant, and not only at the end', async () => {
    await using stage = await openStage()
    const now = stage.clock.now()
    await setAge(blobPath(stage.dir, small.digest), now, 10_000_000)
    const removed: boolean[] = []
    const adopt = stage.other.layout.adopt.bind(stage.other.layout)
    stage.other.layout.adopt = async (path, digest) => {
      await adopt(path, digest)
      removed.push(stage.blobs.removeUnused(stage.other.layout, digest, now - TOUCH_INTERVAL_MS))
    }
    expect(await stage.blobs.mount(stage.layout, stage.other.layout, small.digest)).toBe(true)
    expect(removed).toEqual([false])
    expect(stage.blobs.size(stage.other.layout, small.digest)).toBe(small.size)
  })

  test('of what is not there is false, and makes nothing', async () => {
    await using stage = await openStage()
    expect(await stage.blobs.mount(stage.other.layout, stage.layout, makeBlob('none').digest)).toBe(false)
    expect(await stage.blobs.mount(stage.other.layout, stage.other.layout, small.digest)).toBe(false)
    expect(await namesIn(stage.other.dir)).toEqual([])
  })

  test('into the layout it is in already counts as a use', async () => {
    await using stage = await openStage()
    const now = stage.clock.now()
    await setAge(blobPath(stage.dir, small.digest), now, 10_000_000)
    expect(await stage.blobs.mount(stage.layout, stage.layout, small.digest)).toBe(true)
    expect(await ageOf(blobPath(stage.dir, small.digest), now)).toBe(0)
  })

  test('many times at once leaves one file and no drafts', async () => {
    await using stage = await openStage()
    const mounts = Array.from({ length: 20 }, () => stage.blobs.mount(stage.layout, stage.other.layout, small.digest))
    expect(new Set(await Promise.all(mounts))).toEqual(new Set([true]))
    expect(await stage.other.layout.listBlobs()).toEqual([small.digest])
    expect(await namesIn(stage.draftsDir)).toEqual([])
  })
})

describe('remove', () => {
  test('says whether it was there', async () => {
    await using stage = await openStage()
    expect(await stage.blobs.remove(stage.layout, small.digest)).toBe(true)
    expect(await stage.blobs.remove(stage.layout, small.digest)).toBe(false)
  })

  test('of the unused spares what is as young as the bound', async () => {
    await using stage = await openStage()
    const [path, now] = [blobPath(stage.dir, small.digest), Math.floor(stage.clock.now() / 1000) * 1000]
    await setAge(path, now, 5000)
    expect(stage.blobs.removeUnused(stage.layout, small.digest, now - 5000)).toBe(false)
    expect(stage.blobs.removeUnused(stage.layout, small.digest, now - 4999)).toBe(true)
    expect(stage.blobs.removeUnused(stage.layout, small.digest, now)).toBe(false)
  })
})
