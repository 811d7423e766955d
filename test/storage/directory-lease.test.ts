/** The embedded registry's directory, removed by somebody while the server runs. */
import { expect, test } from 'bun:test'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { LocalRegistry } from '../../src/storage/local-registry.ts'
import { FakeClock } from '../lib/fake-clock.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { captureLog } from '../telemetry/captured-log.ts'
import { rejection } from '../upstream/fake-send.ts'
import { makeBlob, streamOf } from './blob-content.ts'
import { makeImage } from './layout-content.ts'

const layer = makeBlob('layer')
const image = makeImage([layer])

test.each(['.uploads', '.lock', '.'])(
  'takes pushes again after %s was removed, and keeps others out',
  async (removed) => {
    await using temp = await openTempDir()
    const root = join(temp.path, 'data')
    const options = { root, sweepIntervalMs: 0, sweepDelayMs: 0, clock: new FakeClock(), log: captureLog() }
    const registry = await LocalRegistry.open(options)
    const push = (tag: string) => registry.writeManifest('demo', { ...image, digest: undefined, tags: [tag] })
    await push('v1')
    const { id } = await registry.beginUpload('demo', 'sha256')
    await rm(join(root, removed), { recursive: true })
    await push('v2')
    expect(await registry.sortedTags('demo')).toEqual(removed === '.' ? ['v2'] : ['v1', 'v2'])
    // What it had of uploads may be gone.
    const chunk = { body: streamOf(layer.bytes), start: 0, length: undefined }
    expect(await rejection(registry.appendChunk('demo', id, chunk))).toMatchObject({ code: 'UPLOAD_UNKNOWN' })
    expect(await rejection(LocalRegistry.open(options))).toMatchObject({ code: 'CONFIG_INVALID' })
    await registry.close()
  },
)

test("sweeps nothing in a directory that is another server's by now", async () => {
  await using temp = await openTempDir()
  const clock = new FakeClock({ now: Date.now() })
  const options = { root: temp.path, sweepIntervalMs: 0, sweepDelayMs: 1000, clock, log: captureLog() }
  const first = await LocalRegistry.open(options)
  const { id } = await first.beginUpload('demo', 'sha256')
  const end = { body: streamOf(layer.bytes), start: 0, length: undefined, digest: layer.digest }
  await first.finishUpload('demo', id, end)
  await clock.advance(2000)
  await rm(join(temp.path, '.lock'))
  const second = await LocalRegistry.open(options)
  expect(await rejection(first.sweep())).toMatchObject({ code: 'STORAGE_DENIED' })
  expect((await second.statBlob('demo', layer.digest)) ?? 0).toBe(layer.size)
  await second.close()
  // It was just asked for.
  await clock.advance(2000)
  await first.sweep()
  expect(await first.statBlob('demo', layer.digest)).toBeUndefined()
  await first.close()
})
