/** The blob cache on a disk that cannot be written: memory takes its place, bounded, and it is said once. */
import { describe, expect, test } from 'bun:test'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { limits } from '../../src/limits.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { BlobCache } from '../../src/storage/blob-cache.ts'
import { BlobFiles } from '../../src/storage/blob-files.ts'
import { FakeClock } from '../lib/fake-clock.ts'
import { runCommand } from '../stand/child.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { captureLog } from '../telemetry/captured-log.ts'
import { rejection } from '../upstream/fake-send.ts'
import { brokenStream, fillBlob, makeBlob, noSource, openSource, type TestBlob } from './blob-content.ts'

const UNUSABLE = 'cache directory cannot be used; charts are served from memory'

/** A cache whose directory is to be below a regular file: no right to write helps there, not even root's. */
async function openStage() {
  const temp = await openTempDir()
  const parent = join(temp.path, 'cache')
  const dir = join(parent, 'blobs')
  const log = captureLog()
  const clock = new FakeClock({ now: Date.now() })
  return {
    dir,
    log,
    path: (blob: { readonly digest: Digest }) => new BlobFiles(dir).path(blob.digest),
    block: () => writeFile(parent, 'in the way'),
    unblock: () => rm(parent),
    open: () => BlobCache.open({ dir, maxBytes: 10 ** 9, clock, log }),
    [Symbol.asyncDispose]: temp[Symbol.asyncDispose],
  }
}

async function expectServed(cache: BlobCache, blob: TestBlob, fetch = noSource): Promise<void> {
  const bytes = await (await cache.open(blob, fetch))?.bytes()
  expect(bytes === undefined ? 'nothing' : Buffer.compare(bytes, blob.bytes)).toBe(0)
}

describe('a cache directory that cannot be', () => {
  test('costs a second fetch and a warning; then blobs come from memory', async () => {
    await using stage = await openStage()
    await stage.block()
    const cache = await stage.open()
    for (const blob of [makeBlob('hello'), fillBlob(limits.maxHotBlobBytes + 1, 'x')]) {
      const source = openSource(blob.bytes)
      await expectServed(cache, blob, source.fetch)
      expect(source.calls).toBe(2)
      await expectServed(cache, blob)
    }
    expect(stage.log.messages()).toEqual([UNUSABLE])
  })

  test('lets nothing unverified through', async () => {
    await using stage = await openStage()
    await stage.block()
    const cache = await stage.open()
    const source = openSource(Buffer.from('hellO'))
    expect(await rejection(cache.open(makeBlob('hello'), source.fetch))).toMatchObject({ code: 'DIGEST_MISMATCH' })
  })

  test('does not keep a blob that breaks off from being asked for again', async () => {
    await using stage = await openStage()
    await stage.block()
    const cache = await stage.open()
    const blob = makeBlob('hello')
    await expectServed(cache, blob, openSource(brokenStream(), brokenStream(), blob.bytes).fetch)
  })

  test('has no room for a blob that is too large for memory', async () => {
    await using stage = await openStage()
    await stage.block()
    const cache = await stage.open()
    const huge = { digest: makeBlob('huge').digest, size: limits.maxHotBytes }
    const source = openSource(Buffer.from('the beginning'))
    expect(await rejection(cache.open(huge, source.fetch))).toMatchObject({ code: 'STORAGE_FULL' })
    expect(source.calls).toBe(1)
  })

  test('keeps no more in memory than its bound', async () => {
    await using stage = await openStage()
    await stage.block()
    const cache = await stage.open()
    const blobs = [1, 2, 3].map((i) => fillBlob(limits.maxHotBytes / 2 - 1000, String(i)))
    for (const blob of blobs) await expectServed(cache, blob, openSource(blob.bytes).fetch)
    const [first, second, third] = blobs.map((blob) => openSource(blob.bytes))
    for (const [i, source] of [third, second, first].entries())
      await expectServed(cache, blobs[2 - i] ?? makeBlob(''), source?.fetch)
    expect([first?.calls, second?.calls, third?.calls]).toEqual([2, 0, 0])
  })

  test('is used as soon as it can be', async () => {
    await using stage = await openStage()
    await stage.block()
    const cache = await stage.open()
    const [first, second] = [makeBlob('first'), makeBlob('second')]
    await expectServed(cache, first, openSource(first.bytes).fetch)
    await stage.unblock()
    const source = openSource(second.bytes)
    await expectServed(cache, second, source.fetch)
    expect(source.calls).toBe(1)
    expect(stage.log.messages()).toEqual([UNUSABLE, 'cache directory can be written again'])
    expect(await Bun.file(stage.path(second)).text()).toBe('second')
  })

  test('that comes to be in the way while the server runs is said once, and once more when it happens again', async () => {
    await using stage = await openStage()
    const cache = await stage.open()
    const blobs = ['a', 'b', 'c', 'd'].map((text) => makeBlob(text))
    for (const [i, blob] of blobs.entries()) {
      await rm(dirname(stage.dir), { recursive: true, force: true })
      if (i !== 2) await stage.block()
      await expectServed(cache, blob, openSource(blob.bytes).fetch)
    }
    expect(stage.log.messages()).toEqual([UNUSABLE, 'cache directory can be written again', UNUSABLE])
  })
})

describe('things that are in the way of one blob', () => {
  const blob = makeBlob('hello')

  test.each([
    ['a file in place of its directory', (path: string) => writeFile(dirname(path), 'in the way')],
    ['a directory in its own place', (path: string) => mkdir(join(path, 'in the way'), { recursive: true })],
  ])('do not keep it from being served: %s', async (_what, block) => {
    await using stage = await openStage()
    await mkdir(dirname(dirname(stage.path(blob))), { recursive: true })
    await block(stage.path(blob))
    for (let start = 0; start < 2; start++) {
      const cache = await stage.open()
      await expectServed(cache, blob, openSource(blob.bytes).fetch)
      await expectServed(cache, blob)
    }
  })
})

test('a disk that refuses in the middle of a blob: it is served from memory, nothing unfinished is left, small ones are kept', async () => {
  await using temp = await openTempDir()
  const script = join(import.meta.dir, 'limited-disk.ts')
  // 1 MiB at most, and the signal that comes with going over it ignored, so that the write itself fails.
  const command = `trap '' XFSZ; ulimit -f 1024; exec "$0" "$1" "$2"`
  const { code, stdout, stderr } = await runCommand(['bash', '-c', command, process.execPath, script, temp.path])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(JSON.parse(stdout)).toEqual({
    results: [
      { isRight: [true, true], fetches: 2 },
      { isRight: [true, true], fetches: 1 },
    ],
    log: [
      ['warn', UNUSABLE, 'EFBIG'],
      ['info', 'cache directory can be written again', null],
    ],
  })
  const left = await readdir(temp.path, { recursive: true, withFileTypes: true })
  expect(left.filter((each) => each.isFile()).map(({ name }) => name)).toEqual([makeBlob('small').digest.slice(7)])
})
