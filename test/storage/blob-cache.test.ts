/** The blob cache: filled once, verified always, and the least recently used out first. */
import { describe, expect, spyOn, test } from 'bun:test'
import { mkdir, readdir, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { ChartRepoError } from '../../src/errors.ts'
import { limits } from '../../src/limits.ts'
import { type Digest, digestHex } from '../../src/oci/digest.ts'
import { BlobCache } from '../../src/storage/blob-cache.ts'
import { BlobFiles } from '../../src/storage/blob-files.ts'
import { defer, FakeClock, settle } from '../lib/fake-clock.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { waitFor } from '../stand/wait-for.ts'
import { captureLog } from '../telemetry/captured-log.ts'
import { rejection } from '../upstream/fake-send.ts'
import { brokenStream, fillBlob, makeBlob, noSource, openSource, streamOf, type TestBlob } from './blob-content.ts'

const LARGE = limits.maxHotBlobBytes + 1

async function openStage() {
  const temp = await openTempDir()
  const dir = join(temp.path, 'blobs')
  // Files get the time stamps of the machine, so the clock of the test begins there.
  const clock = new FakeClock({ now: Date.now() })
  const log = captureLog()
  return {
    dir,
    clock,
    log,
    path: (blob: { readonly digest: Digest }) => new BlobFiles(dir).path(blob.digest),
    open: (maxBytes = 10 ** 9) => BlobCache.open({ dir, maxBytes, clock, log }),
    /** The files of the cache, as the first six digits of their digests. */
    files: async () => {
      const found = await readdir(dir, { recursive: true, withFileTypes: true }).catch(() => [])
      return found
        .filter((file) => file.isFile())
        .map(({ name }) => name.slice(0, 6))
        .sort()
    },
    [Symbol.asyncDispose]: temp[Symbol.asyncDispose],
  }
}

const shortNames = (...blobs: readonly TestBlob[]) => blobs.map(({ digest }) => digestHex(digest).slice(0, 6)).sort()

async function expectServed(cache: BlobCache, blob: TestBlob, fetch = noSource): Promise<void> {
  const bytes = await (await cache.open(blob, fetch))?.bytes()
  expect(bytes === undefined ? 'nothing' : Buffer.compare(bytes, blob.bytes)).toBe(0)
}

describe('a miss', () => {
  test.each([
    ['a small blob', makeBlob('hello')],
    ['a large blob', fillBlob(LARGE, 'x')],
    ['an empty blob', makeBlob('')],
    ['a sha512 blob', makeBlob('hello', 'sha512')],
  ])('is fetched once and kept: %s', async (_what, blob) => {
    await using stage = await openStage()
    const cache = await stage.open()
    const source = openSource(blob.bytes)
    for (let i = 0; i < 3; i++) await expectServed(cache, blob, source.fetch)
    expect(source.calls).toBe(1)
    expect(Buffer.compare(await Bun.file(stage.path(blob)).bytes(), blob.bytes)).toBe(0)
    expect(dirname(stage.path(blob))).toEndWith(join(blob.digest.slice(0, 6), digestHex(blob.digest).slice(0, 2)))
    await expectServed(await stage.open(), blob)
  })

  test('is nothing when the registry has none, and asked for again the next time', async () => {
    await using stage = await openStage()
    const cache = await stage.open()
    const blob = makeBlob('hello')
    const source = openSource(undefined, blob.bytes)
    expect(await cache.open(blob, source.fetch)).toBeUndefined()
    await expectServed(cache, blob, source.fetch)
  })

  test('is fetched once for all who ask at the same time', async () => {
    await using stage = await openStage()
    const cache = await stage.open()
    const blob = fillBlob(LARGE, 'x')
    const gate = defer()
    const source = openSource(blob.bytes)
    const asked = Array.from({ length: 20 }, () =>
      expectServed(cache, blob, async () => {
        await gate.promise
        return await source.fetch()
      }),
    )
    gate.resolve()
    await Promise.all(asked)
    expect(source.calls).toBe(1)
  })

  test('fails for all who ask at the same time, and is fetched again afterwards', async () => {
    await using stage = await openStage()
    const cache = await stage.open()
    const blob = makeBlob('hello')
    const failure = new ChartRepoError('UPSTREAM_DENIED', 'no')
    const source = openSource(failure, blob.bytes)
    const ends = await Promise.all([1, 2, 3].map(() => rejection(cache.open(blob, source.fetch))))
    expect(ends).toEqual([failure, failure, failure])
    await expectServed(cache, blob, source.fetch)
    expect(source.calls).toBe(2)
  })

  test('waits for a place when many are filled, and none is left out', async () => {
    await using stage = await openStage()
    const cache = await stage.open()
    const blobs = Array.from({ length: limits.maxBlobFills + 4 }, (_, i) => makeBlob(`blob ${i}`))
    const gate = defer()
    let running = 0
    const fetch = (blob: TestBlob) => async () => {
      running += 1
      await gate.promise
      return streamOf(blob.bytes)
    }
    const all = blobs.map((blob) => expectServed(cache, blob, fetch(blob)))
    await waitFor('all places to be taken', () => running === limits.maxBlobFills)
    await settle()
    expect(running).toBe(limits.maxBlobFills)
    gate.resolve()
    await Promise.all(all)
  })

  test('goes on when nobody waits for it any more', async () => {
    await using stage = await openStage()
    const cache = await stage.open()
    const blob = makeBlob('hello')
    void cache.open(blob, openSource(blob.bytes).fetch)
    await waitFor('the file', async () => (await stage.files()).includes(shortNames(blob)[0] ?? ''))
    await expectServed(cache, blob)
  })
})

describe('what is fetched', () => {
  const blob = makeBlob('hello')

  test.each([
    ['other bytes', Buffer.from('hellO')],
    ['more bytes', Buffer.from('hello, world')],
  ])('is never kept nor served when it is %s', async (_what, bytes) => {
    await using stage = await openStage()
    const cache = await stage.open()
    const source = openSource(bytes)
    expect(await rejection(cache.open(blob, source.fetch))).toMatchObject({ code: 'DIGEST_MISMATCH' })
    expect([source.calls, await stage.files()]).toEqual([1, []])
  })

  test('is asked for again when it breaks off, up to a limit, and leaves nothing behind', async () => {
    await using stage = await openStage()
    const cache = await stage.open()
    const half = () => brokenStream(blob.bytes.subarray(0, 2))
    const mended = openSource(half(), blob.bytes.subarray(0, 4), blob.bytes)
    await expectServed(cache, blob, mended.fetch)
    expect(mended.calls).toBe(3)
    const other = makeBlob('other')
    const broken = openSource(...Array.from({ length: 9 }, half))
    expect(await rejection(cache.open(other, broken.fetch))).toMatchObject({ code: 'UPSTREAM_UNAVAILABLE' })
    expect([broken.calls, await stage.files()]).toEqual([limits.maxBlobAttempts, shortNames(blob)])
  })

  test('is not asked for again when fetching itself fails: that was tried often enough', async () => {
    await using stage = await openStage()
    const cache = await stage.open()
    const source = openSource(new ChartRepoError('UPSTREAM_UNAVAILABLE', 'down', { retryable: true }))
    expect(await rejection(cache.open(blob, source.fetch))).toMatchObject({ message: 'down' })
    expect(source.calls).toBe(1)
  })
})

describe('what is on disk', () => {
  const damages: readonly (readonly [string, (bytes: Uint8Array) => Uint8Array])[] = [
    ['with other bytes', (bytes) => Buffer.from(bytes).fill(0, 1, 3)],
    ['cut', (bytes) => bytes.slice(0, -1)],
    ['with bytes too many', (bytes) => Buffer.concat([bytes, Buffer.from('x')])],
    ['emptied', () => new Uint8Array()],
  ]
  test.each(damages)('is fetched again when it is found %s at the next start', async (_what, damage) => {
    await using stage = await openStage()
    for (const blob of [makeBlob('hello'), fillBlob(LARGE, 'x')]) {
      await expectServed(await stage.open(), blob, openSource(blob.bytes).fetch)
      await writeFile(stage.path(blob), damage(blob.bytes))
      const source = openSource(blob.bytes)
      await expectServed(await stage.open(), blob, source.fetch)
      expect(source.calls).toBe(1)
      expect(Buffer.compare(await Bun.file(stage.path(blob)).bytes(), blob.bytes)).toBe(0)
    }
  })

  test('is fetched again when it is damaged or gone while the server runs', async () => {
    await using stage = await openStage()
    const cache = await stage.open()
    const blob = fillBlob(LARGE, 'x')
    await expectServed(cache, blob, openSource(blob.bytes).fetch)
    await writeFile(stage.path(blob), Buffer.from(blob.bytes).fill(0, 10, 20))
    await expectServed(cache, blob, openSource(blob.bytes).fetch)
    await Bun.file(stage.path(blob)).delete()
    await expectServed(cache, blob, openSource(blob.bytes).fetch)
    expect(stage.log.messages('warn')).toEqual(['cached blob was damaged; it is fetched again'])
  })

  test('may be gone when it is held in memory', async () => {
    await using stage = await openStage()
    const cache = await stage.open()
    const blob = makeBlob('hello')
    await expectServed(cache, blob, openSource(blob.bytes).fetch)
    await Bun.file(stage.path(blob)).delete()
    await expectServed(cache, blob)
  })

  test('loses what a dead process left unfinished, not what a live one may be writing, nor what is not ours', async () => {
    await using stage = await openStage()
    const shard = join(stage.dir, 'sha256', 'ab')
    await mkdir(shard, { recursive: true })
    const hex = 'ab'.repeat(32)
    const age = (ms: number) => new Date(stage.clock.now() - ms)
    for (const [name, ms] of [
      [`.${hex}.1.part`, limits.stalePartFileMs + 1000],
      [`.${hex}.2.part`, limits.stalePartFileMs - 60_000],
      ['README', 10 ** 10],
    ] as const) {
      await writeFile(join(shard, name), 'x')
      await utimes(join(shard, name), age(ms), age(ms))
    }
    await stage.open(0)
    expect((await readdir(shard)).sort()).toEqual([`.${hex}.2.part`, 'README'])
  })

  test('is swept of unfinished files while the server runs, too', async () => {
    await using stage = await openStage()
    const cache = await stage.open()
    const blob = makeBlob('hello')
    await expectServed(cache, blob, openSource(blob.bytes).fetch)
    const part = join(dirname(stage.path(blob)), `.${digestHex(blob.digest)}.1.part`)
    await writeFile(part, 'x')
    await stage.clock.advance(2 * limits.stalePartFileMs)
    const other = makeBlob('other')
    await expectServed(cache, other, openSource(other.bytes).fetch)
    expect(await Bun.file(part).exists()).toBe(false)
  })

  test('is not given to who was told another size of it, and stays for those who know the right one', async () => {
    await using stage = await openStage()
    for (const blob of [makeBlob('hello'), fillBlob(LARGE, 'x')]) {
      const cache = await stage.open()
      await expectServed(cache, blob, openSource(blob.bytes).fetch)
      for (const opened of [cache, await stage.open()]) {
        for (const size of [blob.size - 1, blob.size + 1, 0]) {
          const lied = opened.open({ digest: blob.digest, size }, noSource)
          expect(await rejection(lied)).toMatchObject({ code: 'DIGEST_MISMATCH' })
        }
        await expectServed(opened, blob)
      }
    }
    expect(stage.log.lines).toEqual([])
  })

  test('is readable by its owner alone', async () => {
    await using stage = await openStage()
    const blob = makeBlob('hello')
    await expectServed(await stage.open(), blob, openSource(blob.bytes).fetch)
    expect((await stat(stage.path(blob))).mode & 0o77).toBe(0)
    expect((await stat(dirname(stage.path(blob)))).mode & 0o77).toBe(0)
  })
})

describe('the size limit', () => {
  const blobs = ['a', 'b', 'c', 'd', 'e'].map((seed) => fillBlob(100, seed)) as [
    TestBlob,
    TestBlob,
    TestBlob,
    TestBlob,
    TestBlob,
  ]
  const [a, b, c, d, e] = blobs
  const fill = async (cache: BlobCache, ...wanted: readonly TestBlob[]) => {
    for (const blob of wanted) await expectServed(cache, blob, openSource(blob.bytes).fetch)
  }

  test('is kept by removing the least recently used first', async () => {
    await using stage = await openStage()
    const cache = await stage.open(350)
    await fill(cache, a, b, c)
    expect(await stage.files()).toEqual(shortNames(a, b, c))
    await expectServed(cache, a)
    await fill(cache, d)
    expect(await stage.files()).toEqual(shortNames(a, c, d))
    await fill(cache, e)
    expect(await stage.files()).toEqual(shortNames(a, d, e))
  })

  test('is kept at the start, too, in the order of use of the run before', async () => {
    await using stage = await openStage()
    const cache = await stage.open()
    await fill(cache, a, b, c)
    // Time stamps of one run of this test are milliseconds apart at best.
    for (const [i, blob] of [a, b, c].entries()) {
      const at = new Date(stage.clock.now() + i * 1000)
      await utimes(stage.path(blob), at, at)
    }
    await stage.clock.advance(limits.touchIntervalMs + 1000)
    await expectServed(cache, a)
    const usedAt = stage.clock.now()
    await waitFor('the new time stamp', async () => Math.abs((await stat(stage.path(a))).mtimeMs - usedAt) < 2)
    await stage.open(250)
    expect(await stage.files()).toEqual(shortNames(a, c))
  })

  test('writes the use of a blob down at most every ten minutes', async () => {
    await using stage = await openStage()
    const cache = await stage.open()
    await fill(cache, a)
    const { mtimeMs } = await stat(stage.path(a))
    await stage.clock.advance(limits.touchIntervalMs - 1000)
    await expectServed(cache, a)
    await settle()
    expect((await stat(stage.path(a))).mtimeMs).toBe(mtimeMs)
  })

  test('waits for files that were lent a moment ago', async () => {
    await using stage = await openStage()
    const cache = await stage.open(LARGE + 150)
    const first = fillBlob(LARGE, '1')
    const second = fillBlob(LARGE, '2')
    await fill(cache, first, second)
    expect(await stage.files()).toEqual(shortNames(first, second))
    await stage.clock.advance(limits.evictionGraceMs + 1)
    await fill(cache, a)
    expect(await stage.files()).toEqual(shortNames(second, a))
  })

  test('is kept beside a link that leads nowhere', async () => {
    await using stage = await openStage()
    await fill(await stage.open(), a, b, c)
    await mkdir(dirname(stage.path(d)), { recursive: true })
    await symlink('nowhere', stage.path(d))
    const cache = await stage.open(250)
    expect(stage.log.lines).toEqual([])
    await fill(cache, e)
    const blobs = (await readdir(stage.dir, { recursive: true, withFileTypes: true })).filter((file) => file.isFile())
    expect(blobs).toHaveLength(2)
    await expectServed(cache, e)
    await fill(cache, d)
  })

  test('does not keep a blob from being served that is larger', async () => {
    await using stage = await openStage()
    const cache = await stage.open(50)
    await fill(cache, a)
    expect(await stage.files()).toEqual([])
    const large = fillBlob(LARGE, 'x')
    const lent = await cache.open(large, openSource(large.bytes).fetch)
    expect(Buffer.compare((await lent?.bytes()) ?? Buffer.alloc(0), large.bytes)).toBe(0)
  })

  test('never takes a file away from a reader that it was just verified for', async () => {
    await using stage = await openStage()
    const checked = fillBlob(LARGE, 'x')
    await expectServed(await stage.open(), checked, openSource(checked.bytes).fetch)
    const cache = await stage.open(checked.size + 50)
    const verify = BlobFiles.prototype.verify
    const hashed = defer()
    const gate = defer()
    using _spy = spyOn(BlobFiles.prototype, 'verify').mockImplementation(async function (this: BlobFiles, digest) {
      const isRight = await verify.call(this, digest)
      hashed.resolve()
      await gate.promise
      return isRight
    })
    const opening = cache.open(checked, openSource(checked.bytes).fetch)
    await hashed.promise
    await fill(cache, a)
    gate.resolve()
    const bytes = await (await opening)?.bytes()
    expect(bytes === undefined ? 'nothing' : Buffer.compare(bytes, checked.bytes)).toBe(0)
  })
})
