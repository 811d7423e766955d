/** Manifests of layouts: found, stored, removed at the same time as pushed, and asked for what they are made of. */
import { describe, expect, test } from 'bun:test'
import { readFile, unlink, writeFile } from 'node:fs/promises'
import { limits } from '../../src/limits.ts'
import { LayoutBlobs } from '../../src/storage/layout-blobs.ts'
import { LayoutIndex } from '../../src/storage/layout-index.ts'
import { LayoutManifests } from '../../src/storage/layout-manifests.ts'
import { FakeClock } from '../lib/fake-clock.ts'
import { rejection } from '../upstream/fake-send.ts'
import { makeBlob } from './blob-content.ts'
import {
  blobPath,
  config,
  descriptor,
  makeImage,
  makeIndex,
  namesIn,
  openLayoutStage,
  putBlobs,
  putLayout,
  readDescriptors,
  type TestManifest,
} from './layout-content.ts'

async function openStage() {
  const stage = await openLayoutStage()
  const { layout, draftsDir } = stage
  const clock = new FakeClock({ now: Date.now() })
  const open = () => new LayoutManifests(new LayoutBlobs({ draftsDir, touchIntervalMs: 1000, clock }))
  const manifests = open()
  const index = async () => (await layout.read()) ?? LayoutIndex.empty
  return {
    ...stage,
    open,
    manifests,
    index,
    push: (manifest: TestManifest, ...tags: readonly string[]) =>
      manifests.write(layout, { ...manifest, digest: undefined, tags }),
    find: async (reference: string) => (await manifests.find(layout, await index(), reference))?.digest,
    remove: async ({ digest }: TestManifest) => await manifests.remove(layout, await index(), digest),
    used: async () => [...(await open().findUsed(layout, await index()))].sort(),
    referrers: async ({ digest }: TestManifest) =>
      await Array.fromAsync(manifests.referrers(layout, await index(), digest)),
  }
}

const layers = ['1', '2', '3'].map((text) => makeBlob(`layer ${text}`))
const [l1 = config, l2 = config, l3 = config] = layers
const [one, two, three] = [makeImage([l1]), makeImage([l2]), makeImage([l3])]

describe('write', () => {
  test('stores a manifest under its tags, all of them or none', async () => {
    await using stage = await openStage()
    expect(await stage.push(one, 'v1', 'latest')).toEqual({ digest: one.digest, subject: undefined })
    expect(await Promise.all(['v1', 'latest', one.digest, 'v2'].map(stage.find))).toEqual([
      one.digest,
      one.digest,
      one.digest,
      undefined,
    ])
    await unlink(`${stage.dir}/index.json`)
    await writeFile(`${stage.dir}/index.json`, 'x')
    expect(await rejection(stage.push(two, 'v1', 'v2'))).toMatchObject({ code: 'LAYOUT_DAMAGED' })
    await putLayout(stage.dir, [], [descriptor(one, 'v1')])
    expect([await stage.find('v1'), await stage.find('v2')]).toEqual([one.digest, undefined])
  })

  test('hashes by the algorithm of the digest that is promised, and refuses others', async () => {
    await using stage = await openStage()
    const long = makeBlob(one.bytes, 'sha512').digest
    const { manifests, layout } = stage
    expect((await manifests.write(layout, { ...one, digest: long, tags: ['v1'] })).digest).toBe(long)
    expect(await stage.find('v1')).toBe(long)
    const wrong = manifests.write(layout, { ...one, digest: two.digest, tags: ['v2'] })
    expect(await rejection(wrong)).toMatchObject({ code: 'DIGEST_INVALID' })
    expect(await stage.find('v2')).toBeUndefined()
  })

  test('what is no manifest leaves nothing', async () => {
    await using stage = await openStage()
    for (const [text, mediaType] of [
      ['{', one.mediaType],
      ['{}', one.mediaType],
      [one.bytes, makeIndex([]).mediaType],
      ['{}', 'text/plain'],
    ] as const) {
      const writing = stage.push({ ...makeBlob(text), mediaType }, 'v1')
      expect(await rejection(writing)).toMatchObject({ code: 'MANIFEST_INVALID' })
    }
    expect(await namesIn(stage.dir)).toEqual([])
  })

  test('mends the file of the same manifest that is damaged, as long as before or not', async () => {
    for (const damage of [Buffer.alloc(one.size), Buffer.alloc(3)]) {
      await using stage = await openStage()
      await putLayout(stage.dir, [one], [descriptor(one, 'v1')])
      await writeFile(blobPath(stage.dir, one.digest), damage)
      await stage.push(one, 'v1')
      expect(Buffer.compare(await readFile(blobPath(stage.dir, one.digest)), one.bytes)).toBe(0)
    }
  })
})

describe('remove', () => {
  test('takes the tags and the bytes, and says whether it was there', async () => {
    await using stage = await openStage()
    await stage.push(one, 'v1', 'v2')
    expect(await stage.remove(one)).toBe(true)
    expect(await readDescriptors(stage.dir)).toEqual([])
    expect(await stage.layout.listBlobs()).toEqual([])
    expect(await stage.remove(one)).toBe(false)
  })

  test('of what an index names leaves it gone', async () => {
    await using stage = await openStage()
    await stage.push(one)
    await stage.push(makeIndex([one]), 'all')
    expect(await stage.remove(one)).toBe(true)
    expect([await stage.find(one.digest), await stage.find('all')]).toEqual([undefined, makeIndex([one]).digest])
  })

  test('of what only an index names takes the bytes', async () => {
    await using stage = await openStage()
    await putLayout(stage.dir, [one, makeIndex([one])], [descriptor(makeIndex([one]), 'all')])
    expect(await stage.find(one.digest)).toBe(one.digest)
    expect(await stage.remove(one)).toBe(true)
    expect(await stage.find(one.digest)).toBeUndefined()
  })

  test('of what the index names, and whose bytes are gone, takes it from the index', async () => {
    await using stage = await openStage()
    await putLayout(stage.dir, [], [descriptor(one, 'v1')])
    expect(await stage.find('v1')).toBeUndefined()
    expect(await stage.remove(one)).toBe(true)
    expect(await readDescriptors(stage.dir)).toEqual([])
  })

  test('while the same is pushed leaves all of it or nothing', async () => {
    await using stage = await openStage()
    for (let round = 0; round < 60; round++) {
      await stage.push(one, 'v1')
      const removing = stage.remove(one)
      for (let turn = 0; turn < round % 12; turn++) await new Promise((resolve) => setImmediate(resolve))
      await Promise.all([removing, stage.push(one, 'v1')])
      const isListed = (await readDescriptors(stage.dir)).length > 0
      const isThere = (await stage.layout.listBlobs()).length > 0
      expect({ round, isThere: isListed ? isThere : true }).toEqual({ round, isThere: true })
    }
  })
})

describe('find', () => {
  test('knows what other manifests name, at any depth, also in circles and of bytes that are gone', async () => {
    await using stage = await openStage()
    const inner = makeIndex([two, three])
    const outer = makeIndex([one, inner])
    await putLayout(stage.dir, [one, two, inner, outer], [descriptor(outer, 'all')])
    expect(await Promise.all([one, two, inner, outer, three].map(({ digest }) => stage.find(digest)))).toEqual([
      one.digest,
      two.digest,
      inner.digest,
      outer.digest,
      undefined,
    ])
  })

  test('is not kept from it by an index that cannot be read', async () => {
    await using stage = await openStage()
    const bad = { ...makeBlob('no json'), mediaType: makeIndex([]).mediaType }
    const good = makeIndex([one])
    await putLayout(stage.dir, [bad, good, one], [descriptor(bad, 'bad'), descriptor(good, 'good')])
    expect(await stage.find(one.digest)).toBe(one.digest)
    expect(await stage.find('bad')).toBe(bad.digest)
  })
})

describe('findUsed', () => {
  const blobsOf = (...all: readonly { readonly digest: string }[]) => all.map(({ digest }) => digest).sort() as never

  test('is everything that any manifest is made of', async () => {
    await using stage = await openStage()
    const inner = makeIndex([two])
    const outer = makeIndex([inner])
    await putLayout(
      stage.dir,
      [one, two, inner, outer, l1, l2, l3, config],
      [descriptor(outer, 'all'), descriptor(one)],
    )
    expect(await stage.used()).toEqual(blobsOf(one, two, inner, outer, l1, l2, config))
  })

  test.each([0, 1])(
    'is also what a manifest is made of that is the layer of another one, in either order: %p',
    async (first) => {
      await using stage = await openStage()
      const around = makeImage([one])
      const descriptors = [descriptor(one, 'v1'), descriptor(around, 'around')]
      await putLayout(stage.dir, [one, around, l1, config], first === 0 ? descriptors : descriptors.reverse())
      expect(await stage.used()).toEqual(blobsOf(one, around, l1, config))
    },
  )

  test('is what a manifest is made of by each of its types', async () => {
    await using stage = await openStage()
    const { config: theirConfig, layers: theirLayers } = JSON.parse(Buffer.from(one.bytes).toString())
    const both = { schemaVersion: 2, config: theirConfig, layers: theirLayers, manifests: [] }
    const blob = makeBlob(JSON.stringify(both))
    const types = [one.mediaType, makeIndex([]).mediaType]
    await putLayout(
      stage.dir,
      [blob, l1, config],
      types.map((mediaType, i) => descriptor({ ...blob, mediaType }, `v${i}`)),
    )
    expect(await stage.used()).toEqual(blobsOf(blob, l1, config))
  })

  test('has a manifest whose bytes are gone', async () => {
    await using stage = await openStage()
    await putLayout(stage.dir, [], [descriptor(one, 'v1')])
    expect(await stage.used()).toEqual(blobsOf(one))
  })

  test('is not known where a manifest cannot be read', async () => {
    const odd = { ...makeBlob('{"layers":[]}'), mediaType: 'application/vnd.example' }
    const cut = { ...one, bytes: one.bytes.subarray(1) }
    const huge = { ...makeBlob(Buffer.alloc(limits.maxManifestBytes + 1, 32)), mediaType: one.mediaType }
    const unknown = { ...descriptor(one), digest: `blake3:${'0'.repeat(64)}` }
    for (const [blobs, listed, code] of [
      [[odd], descriptor(odd), 'MANIFEST_INVALID'],
      [[cut], descriptor(one), 'LAYOUT_DAMAGED'],
      [[huge], descriptor(huge), 'LAYOUT_DAMAGED'],
      [[], unknown, 'MANIFEST_INVALID'],
    ] as const) {
      await using stage = await openStage()
      await putLayout(stage.dir, [...blobs, two, l2], [descriptor(two, 'good'), listed])
      expect(await rejection(stage.used())).toMatchObject({ code })
    }
  })

  test('has whatever is named by what an index names, be that a manifest or not', async () => {
    const named = {
      ...makeBlob(JSON.stringify({ blobs: [{ digest: l1.digest }, ['x', null, 1]] })),
      mediaType: 'application/vnd.example',
    }
    const plain = { ...makeBlob('no JSON'), mediaType: 'text/plain' }
    const index = makeIndex([named, plain])
    await using stage = await openStage()
    await putLayout(stage.dir, [index, named, plain, l1, l2], [descriptor(index)])
    const kept = [index, named, plain, l1].map(({ digest }) => digest)
    expect((await stage.used()).toSorted()).toEqual(kept.toSorted())
  })

  test('is not known where a manifest too large for memory is damaged, although it can be parsed', async () => {
    await using stage = await openStage()
    const padded = (layer: typeof l1) =>
      makeImage([layer], { annotations: { pad: 'x'.repeat(limits.maxHotBlobBytes) } })
    await putLayout(stage.dir, [padded(l1)], [descriptor(padded(l1), 'v1')])
    await writeFile(blobPath(stage.dir, padded(l1).digest), padded(l2).bytes)
    expect(await rejection(stage.used())).toMatchObject({ code: 'LAYOUT_DAMAGED' })
  })
})

describe('referrers', () => {
  const about = ({ mediaType, digest, size }: TestManifest) => ({ subject: { mediaType, digest, size } })

  test('are the manifests about another one, be that there or not, by digest', async () => {
    await using stage = await openStage()
    const [sbom, signature] = [
      makeImage([l2], { ...about(one), artifactType: 'sbom', annotations: { by: 'us' } }),
      makeImage([l3], { ...about(one) }),
    ]
    await stage.push(sbom, 'sbom')
    await stage.push(signature)
    const found = await stage.referrers(one)
    expect(found.map(({ digest }) => digest)).toEqual([sbom.digest, signature.digest].sort())
    expect(found.find(({ digest }) => digest === sbom.digest)).toMatchObject({
      artifactType: 'sbom',
      annotations: { by: 'us' },
      size: sbom.size,
    })
    expect(await stage.referrers(two)).toEqual([])
    await stage.remove(sbom)
    expect((await stage.referrers(one)).map(({ digest }) => digest)).toEqual([signature.digest])
  })

  test('are also those that clients listed under a tag, once each', async () => {
    await using stage = await openStage()
    const [listed, both, other] = [l1, l2, l3].map((layer) =>
      makeImage([layer], layer === l3 ? about(two) : about(one)),
    ) as [TestManifest, TestManifest, TestManifest]
    const list = makeIndex([listed, both, other])
    await putBlobs(stage.dir, [listed, both, other, list])
    await putLayout(stage.dir, [], [descriptor(list, one.digest.replace(':', '-')), descriptor(both)])
    const found = await stage.referrers(one)
    expect(found.map(({ digest }) => digest)).toEqual([listed.digest, both.digest].sort())
  })
})
