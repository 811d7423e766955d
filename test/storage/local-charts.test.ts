/** The embedded registry as any other registry that charts are found in. */
import { describe, expect, test } from 'bun:test'
import { unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { limits } from '../../src/limits.ts'
import { LocalCharts } from '../../src/storage/local-charts.ts'
import { LocalRegistry } from '../../src/storage/local-registry.ts'
import { FakeClock } from '../lib/fake-clock.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { captureLog } from '../telemetry/captured-log.ts'
import { rejection } from '../upstream/fake-send.ts'
import { fillBlob, makeBlob } from './blob-content.ts'
import { blobPath, config, descriptor, makeImage, putLayout } from './layout-content.ts'

const large = fillBlob(limits.maxHotBlobBytes + 1, 'x')
const image = makeImage([large])
const MAX = { maxBytes: 10 ** 9 }
const described = ({ digest, size }: typeof large) => ({ mediaType: 'text/plain', digest, size })

async function openStage() {
  const temp = await openTempDir()
  const dir = join(temp.path, 'team', 'demo')
  await putLayout(dir, [image, large, config], [descriptor(image, 'v2'), descriptor(image, 'v1')])
  const options = { sweepIntervalMs: 0, sweepDelayMs: 0, clock: new FakeClock(), log: captureLog() }
  const registry = await LocalRegistry.open({ root: temp.path, ...options })
  return {
    dir,
    charts: new LocalCharts(registry),
    [Symbol.asyncDispose]: async () => {
      await registry.close()
      await temp[Symbol.asyncDispose]()
    },
  }
}

describe('what is there', () => {
  test('is listed completely, tags with what they point to', async () => {
    await using stage = await openStage()
    expect(await stage.charts.listRepositories()).toEqual({ names: ['team/demo'], incomplete: undefined })
    const listed = await stage.charts.listTags('team/demo')
    expect([...(listed?.names ?? [])].sort()).toEqual(['v1', 'v2'])
    expect(Object.fromEntries(listed?.digests ?? [])).toEqual({ v1: image.digest, v2: image.digest })
    expect(await stage.charts.resolveTag('team/demo', 'v1')).toBe(image.digest)
  })

  test('is read by tag and by digest, and is confirmed', async () => {
    await using stage = await openStage()
    for (const reference of ['v1', image.digest]) {
      const { bytes, ...read } = (await stage.charts.readManifest('team/demo', reference)) ?? { bytes: config.bytes }
      expect(read as unknown).toEqual({ digest: image.digest, mediaType: image.mediaType, confirmed: true })
      expect(Buffer.compare(bytes, image.bytes)).toBe(0)
    }
    const read = await stage.charts.readBlob('team/demo', described(large), MAX)
    expect(read?.byteLength).toBe(large.size)
    expect((await stage.charts.open('team/demo', large))?.size).toBe(large.size)
  })
})

test('what is not there is undefined', async () => {
  await using stage = await openStage()
  const { charts } = stage
  expect(await charts.listTags('none')).toBeUndefined()
  expect(await charts.resolveTag('none', 'v1')).toBeUndefined()
  expect(await charts.resolveTag('team/demo', 'v3')).toBeUndefined()
  expect(await charts.readManifest('none', 'v1')).toBeUndefined()
  expect(await charts.readManifest('team/demo', 'v3')).toBeUndefined()
  expect(await charts.readBlob('team/demo', described(makeBlob('none')), MAX)).toBeUndefined()
  expect(await charts.open('none', large)).toBeUndefined()
  await unlink(blobPath(stage.dir, image.digest))
  expect(await charts.readManifest('team/demo', 'v1')).toBeUndefined()
})

describe('what is wrong', () => {
  test('in size is no answer', async () => {
    await using stage = await openStage()
    const wrong = { ...described(large), size: large.size - 1 }
    for (const reading of [
      () => stage.charts.readBlob('team/demo', wrong, MAX),
      () => stage.charts.readBlob('team/demo', described(large), { maxBytes: large.size - 1 }),
      () => stage.charts.open('team/demo', wrong),
    ])
      expect(await rejection(reading())).toMatchObject({ code: 'LAYOUT_DAMAGED' })
  })

  test('in its bytes is damage, be it large or small', async () => {
    await using stage = await openStage()
    for (const { digest, size } of [large, config, image])
      await writeFile(blobPath(stage.dir, digest), Buffer.alloc(size))
    for (const reading of [
      () => stage.charts.readBlob('team/demo', described(large), MAX),
      () => stage.charts.readBlob('team/demo', described(config), MAX),
      () => stage.charts.open('team/demo', large),
      () => stage.charts.readManifest('team/demo', 'v1'),
    ])
      expect(await rejection(reading())).toMatchObject({ code: 'LAYOUT_DAMAGED' })
  })

  test('in the size of a manifest is damage', async () => {
    await using stage = await openStage()
    await writeFile(blobPath(stage.dir, image.digest), Buffer.alloc(limits.maxManifestBytes + 1))
    expect(await rejection(stage.charts.readManifest('team/demo', 'v1'))).toMatchObject({ code: 'LAYOUT_DAMAGED' })
  })
})
