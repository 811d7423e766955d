/** The sweep removes what nobody needs, and nothing else. */
import { describe, expect, test } from 'bun:test'
import { stat, utimes } from 'node:fs/promises'
import { LayoutBlobs } from '../../src/storage/layout-blobs.ts'
import { LayoutManifests } from '../../src/storage/layout-manifests.ts'
import { sweepLayout } from '../../src/storage/layout-sweep.ts'
import { FakeClock } from '../lib/fake-clock.ts'
import { rejection } from '../upstream/fake-send.ts'
import { makeBlob, type TestBlob } from './blob-content.ts'
import {
  blobPath,
  config,
  descriptor,
  makeImage,
  makeIndex,
  openLayoutStage,
  putBlobs,
  putLayout,
} from './layout-content.ts'

const DELAY_MS = 3_600_000
const layer = makeBlob('layer')
const image = makeImage([layer])

async function openStage(blobs: readonly TestBlob[], descriptors: readonly Record<string, unknown>[]) {
  const stage = await openLayoutStage()
  const { layout, draftsDir, dir } = stage
  await putLayout(dir, blobs, descriptors)
  const clock = new FakeClock({ now: Date.now() })
  const contents = { blobs: new LayoutBlobs({ draftsDir, touchIntervalMs: DELAY_MS / 6, clock }) }
  const manifests = new LayoutManifests(contents.blobs)
  const age = async (ageMs: number, ...aged: readonly TestBlob[]) => {
    const at = (clock.now() - ageMs) / 1000
    for (const { digest } of aged) await utimes(blobPath(dir, digest), at, at)
  }
  await age(2 * DELAY_MS, ...blobs)
  return {
    ...stage,
    age,
    blobs: contents.blobs,
    manifests,
    sweep: () => sweepLayout(layout, { ...contents, manifests }, clock.now() - DELAY_MS),
    has: async (...wanted: readonly TestBlob[]) => {
      const there = new Set(await layout.listBlobs())
      return wanted.map(({ digest }) => there.has(digest))
    },
  }
}

describe('sweepLayout', () => {
  test('removes what no manifest is made of, of both algorithms, and says how much', async () => {
    const unused = [makeBlob('a'), makeBlob('b', 'sha512'), makeImage([makeBlob('a')])]
    await using stage = await openStage([image, layer, config, ...unused], [descriptor(image, 'v1')])
    expect(await stage.sweep()).toBe(3)
    expect(await stage.has(image, layer, config, ...unused)).toEqual([true, true, true, false, false, false])
    expect(await stage.sweep()).toBe(0)
  })

  test('leaves what manifests without a tag and in other manifests are made of', async () => {
    const inner = makeIndex([image])
    const outer = makeIndex([inner])
    const bare = makeImage([makeBlob('bare')])
    const all = [image, layer, config, inner, outer, bare, makeBlob('bare')]
    await using stage = await openStage(all, [descriptor(outer, 'all'), descriptor(bare)])
    expect(await stage.sweep()).toBe(0)
  })

  test('leaves what is younger than the delay', async () => {
    const [young, old] = [makeBlob('young'), makeBlob('old')]
    await using stage = await openStage([young, old], [])
    await stage.age(DELAY_MS - 1000, young)
    await stage.age(DELAY_MS + 1000, old)
    expect(await stage.sweep()).toBe(1)
    expect(await stage.has(young, old)).toEqual([true, false])
  })

  test('leaves what somebody was just told of, and what was just mounted', async () => {
    const [asked, mounted, other] = [makeBlob('asked'), makeBlob('mounted'), makeBlob('other')]
    await using stage = await openStage([asked, mounted, other], [])
    stage.blobs.touch(stage.layout, asked.digest)
    await stage.blobs.mount(stage.layout, stage.layout, mounted.digest)
    expect(await stage.sweep()).toBe(1)
    expect(await stage.has(asked, mounted, other)).toEqual([true, true, false])
  })

  test.each([
    ['a manifest of a kind that is not known', { ...makeBlob('{}'), mediaType: 'application/vnd.example' }],
    ['a manifest that is damaged', { ...image, bytes: image.bytes.subarray(1) }],
  ])('removes nothing beside %s', async (_what, manifest) => {
    const unused = makeBlob('unused')
    await using stage = await openStage([manifest, layer, unused], [descriptor(manifest, 'v1')])
    expect(await rejection(stage.sweep())).toMatchObject({
      code: expect.stringMatching(/^(MANIFEST_INVALID|LAYOUT_DAMAGED)$/),
    })
    expect(await stage.has(layer, unused)).toEqual([true, true])
  })

  test('is not stopped by an index that names what is no manifest, and leaves that', async () => {
    const unused = makeBlob('unused')
    const index = makeIndex([{ ...layer, mediaType: 'text/plain' }])
    await using stage = await openStage([index, layer, unused], [descriptor(index, 'v1')])
    expect(await stage.sweep()).toBe(1)
    expect(await stage.has(index, layer, unused)).toEqual([true, true, false])
  })

  test('removes nothing beside a manifest whose digest is of an unknown kind', async () => {
    const unused = makeBlob('unused')
    await using stage = await openStage([unused], [{ ...descriptor(image), digest: `blake3:${'0'.repeat(64)}` }])
    expect(await rejection(stage.sweep())).toMatchObject({ code: 'MANIFEST_INVALID' })
    expect(await stage.has(unused)).toEqual([true])
  })

  test('leaves a manifest that is the layer of another one, and what it is made of', async () => {
    const around = makeImage([image])
    const all = [around, image, layer, config]
    await using stage = await openStage(all, [descriptor(image, 'v1'), descriptor(around, 'v2')])
    expect(await stage.sweep()).toBe(0)
  })

  test('of what is no layout does nothing', async () => {
    await using stage = await openLayoutStage()
    await putBlobs(stage.dir, [layer])
    const clock = new FakeClock()
    const blobs = new LayoutBlobs({ draftsDir: stage.draftsDir, touchIntervalMs: 1, clock })
    const contents = { blobs, manifests: new LayoutManifests(blobs) }
    expect(await sweepLayout(stage.layout, contents, Number.MAX_SAFE_INTEGER)).toBe(0)
    expect(await stage.layout.listBlobs()).toEqual([layer.digest])
  })

  test('while others push loses nothing of what they push', async () => {
    const pushed = Array.from({ length: 30 }, (_, i) => ({ layer: makeBlob(`l${i}`), tag: `v${i}` }))
    const manifests = pushed.map((each) => makeImage([each.layer]))
    // All of it is there already, and old: what a client that is told so does not send.
    await using stage = await openStage([config, ...pushed.map((each) => each.layer), ...manifests], [])
    const pushes = pushed.map(async (each, i) => {
      for (let turn = 0; turn < i; turn++) await new Promise((resolve) => setImmediate(resolve))
      for (const { digest, bytes } of [config, each.layer]) {
        stage.blobs.touch(stage.layout, digest)
        if (stage.blobs.size(stage.layout, digest) === undefined) await stage.layout.writeBlob(digest, bytes)
      }
      const manifest = manifests[i] ?? image
      await stage.manifests.write(stage.layout, { ...manifest, digest: undefined, tags: [each.tag] })
    })
    for (let round = 0; round < 10; round++) await stage.sweep()
    await Promise.all(pushes)
    await stage.sweep()
    const all = [config, ...pushed.map((each) => each.layer), ...manifests]
    expect(await stage.has(...all)).toEqual(all.map(() => true))
    expect((await stage.layout.read())?.tags.size).toBe(30)
  })

  test('does not take a file that has another name too from there', async () => {
    await using stage = await openStage([layer], [])
    await using other = await openLayoutStage()
    const drafts = new LayoutBlobs({ draftsDir: other.draftsDir, touchIntervalMs: 1, clock: new FakeClock() })
    await drafts.mount(stage.layout, other.layout, layer.digest)
    await stage.age(2 * DELAY_MS, layer)
    expect(await stage.sweep()).toBe(1)
    expect((await stat(blobPath(other.dir, layer.digest))).nlink).toBe(1)
  })
})
