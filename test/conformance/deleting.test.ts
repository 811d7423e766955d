/** Distribution spec 1.1, "Content Management": tags, manifests and blobs are gone at once, and nothing else is. */
import { describe, expect, test } from 'bun:test'
import {
  bytesOf,
  describeManifest,
  descriptorOf,
  digestOf,
  imageOf,
  indexOf,
  LAYER_TYPE,
  someBytes,
} from './manifest-content.ts'
import { expectError, expectStatus, openRegistryClient } from './registry-client.ts'

const registry = openRegistryClient()
const image = imageOf({ annotations: { is: 'one' } })
const other = imageOf({ annotations: { is: 'other' } })
const ABSENT = digestOf(bytesOf('never pushed'))

/** HEAD and GET say the same. */
async function isThere(path: string): Promise<boolean> {
  const [asked, got] = [await registry.head(path), await registry.get(path)]
  await got.bytes()
  expect([200, 404]).toContain(got.status)
  expect(asked.status).toBe(got.status)
  return got.status === 200
}

async function expectTags(repository: string, tags: readonly string[]): Promise<void> {
  expect(await registry.getJson(`/v2/${repository}/tags/list`)).toEqual({ name: repository, tags })
}

describe('spec "Deleting tags"', () => {
  test('DELETE is 202, the tag is gone, and the manifest and its other tags are there', async () => {
    const repository = registry.freshName()
    for (const tag of ['one', 'two']) await registry.pushManifest(repository, image, tag)
    const answer = await registry.delete(`/v2/${repository}/manifests/one`)
    expect([answer.status, await answer.text()]).toEqual([202, ''])
    await expectError(await registry.get(`/v2/${repository}/manifests/one`), 404, 'MANIFEST_UNKNOWN')
    expect(await isThere(`/v2/${repository}/manifests/one`)).toBe(false)
    expect(await isThere(`/v2/${repository}/manifests/two`)).toBe(true)
    expect(await isThere(`/v2/${repository}/manifests/${image.digest}`)).toBe(true)
    await expectTags(repository, ['two'])
  })

  test('without its last tag the manifest is still there, and the repository too', async () => {
    const repository = registry.freshName()
    await registry.pushManifest(repository, image, 'latest')
    await expectStatus(await registry.delete(`/v2/${repository}/manifests/latest`), 202)
    expect(await isThere(`/v2/${repository}/manifests/${image.digest}`)).toBe(true)
    await expectTags(repository, [])
  })

  test('a tag that was deleted can be pushed again', async () => {
    const repository = registry.freshName()
    await registry.pushManifest(repository, image, 'latest')
    await expectStatus(await registry.delete(`/v2/${repository}/manifests/latest`), 202)
    await registry.pushManifest(repository, other, 'latest')
    expect(await (await registry.get(`/v2/${repository}/manifests/latest`)).bytes()).toEqual(other.bytes)
  })

  test('a tag that is not there, or no longer, is 404', async () => {
    const repository = registry.freshName()
    await registry.pushManifest(repository, image, 'latest')
    await expectStatus(await registry.delete(`/v2/${repository}/manifests/latest`), 202)
    for (const tag of ['latest', 'never']) {
      await expectError(await registry.delete(`/v2/${repository}/manifests/${tag}`), 404, 'MANIFEST_UNKNOWN')
    }
    await expectError(await registry.delete(`/v2/${registry.freshName()}/manifests/latest`), 404, 'NAME_UNKNOWN')
  })
})

describe('spec "Deleting Manifests"', () => {
  test('DELETE is 202, the manifest is gone with all of its tags, and others are there', async () => {
    const repository = registry.freshName()
    for (const tag of ['one', 'two']) await registry.pushManifest(repository, image, tag)
    await registry.pushManifest(repository, other, 'other')
    const answer = await registry.delete(`/v2/${repository}/manifests/${image.digest}`)
    expect([answer.status, await answer.text()]).toEqual([202, ''])
    for (const reference of [image.digest, 'one', 'two']) {
      expect(await isThere(`/v2/${repository}/manifests/${reference}`)).toBe(false)
      await expectError(await registry.get(`/v2/${repository}/manifests/${reference}`), 404, 'MANIFEST_UNKNOWN')
    }
    expect(await isThere(`/v2/${repository}/manifests/other`)).toBe(true)
    await expectTags(repository, ['other'])
  })

  test('a tag that points elsewhere by now is there', async () => {
    const repository = registry.freshName()
    await registry.pushManifest(repository, image, 'latest')
    await registry.pushManifest(repository, other, 'latest')
    await expectStatus(await registry.delete(`/v2/${repository}/manifests/${image.digest}`), 202)
    expect(await isThere(`/v2/${repository}/manifests/latest`)).toBe(true)
  })

  test('its blobs are there, and so is another manifest of them', async () => {
    const repository = registry.freshName()
    const layer = someBytes(100)
    const layers = [descriptorOf(layer, LAYER_TYPE)]
    const [one, two] = [imageOf({ layers, annotations: { is: 'one' } }), imageOf({ layers })]
    const blob = await registry.pushBlob(repository, layer)
    for (const manifest of [one, two]) await registry.pushManifest(repository, manifest)
    await expectStatus(await registry.delete(`/v2/${repository}/manifests/${one.digest}`), 202)
    expect(await isThere(blob)).toBe(true)
    expect(await isThere(`/v2/${repository}/manifests/${two.digest}`)).toBe(true)
  })

  test('deleted in one repository it is there in another', async () => {
    const [one, two] = [registry.freshName(), registry.freshName()]
    for (const repository of [one, two]) await registry.pushManifest(repository, image, 'latest')
    await expectStatus(await registry.delete(`/v2/${one}/manifests/${image.digest}`), 202)
    expect(await isThere(`/v2/${one}/manifests/latest`)).toBe(false)
    expect(await isThere(`/v2/${two}/manifests/latest`)).toBe(true)
  })

  test('by one of two digests: the other is there', async () => {
    const repository = registry.freshName()
    const sha512 = digestOf(image.bytes, 'sha512')
    for (const digest of [image.digest, sha512]) await registry.pushManifest(repository, image, digest)
    await expectStatus(await registry.delete(`/v2/${repository}/manifests/${sha512}`), 202)
    expect(await isThere(`/v2/${repository}/manifests/${sha512}`)).toBe(false)
    expect(await isThere(`/v2/${repository}/manifests/${image.digest}`)).toBe(true)
  })

  test('an index is deleted without its images, and an image although an index has it', async () => {
    const repository = registry.freshName()
    const index = indexOf([describeManifest(image), describeManifest(other)])
    for (const manifest of [image, other, index]) await registry.pushManifest(repository, manifest)
    await expectStatus(await registry.delete(`/v2/${repository}/manifests/${image.digest}`), 202)
    expect(await isThere(`/v2/${repository}/manifests/${image.digest}`)).toBe(false)
    expect(await isThere(`/v2/${repository}/manifests/${index.digest}`)).toBe(true)
    await expectStatus(await registry.delete(`/v2/${repository}/manifests/${index.digest}`), 202)
    expect(await isThere(`/v2/${repository}/manifests/${index.digest}`)).toBe(false)
    expect(await isThere(`/v2/${repository}/manifests/${other.digest}`)).toBe(true)
  })

  test('one that was deleted can be pushed again', async () => {
    const repository = registry.freshName()
    for (let time = 0; time < 2; time++) {
      await registry.pushManifest(repository, image, 'latest')
      expect(await isThere(`/v2/${repository}/manifests/latest`)).toBe(true)
      await expectStatus(await registry.delete(`/v2/${repository}/manifests/${image.digest}`), 202)
      expect(await isThere(`/v2/${repository}/manifests/${image.digest}`)).toBe(false)
    }
  })

  test('one that is not there, or no longer, is 404', async () => {
    const repository = registry.freshName()
    await registry.pushManifest(repository, image, 'latest')
    await expectStatus(await registry.delete(`/v2/${repository}/manifests/${image.digest}`), 202)
    for (const digest of [image.digest, ABSENT]) {
      await expectError(await registry.delete(`/v2/${repository}/manifests/${digest}`), 404, 'MANIFEST_UNKNOWN')
    }
    await expectError(await registry.delete(`/v2/${registry.freshName()}/manifests/${ABSENT}`), 404, 'NAME_UNKNOWN')
  })

  test('a digest that is none is 400', async () => {
    const answer = await registry.delete(`/v2/${registry.freshName()}/manifests/sha256:bad`)
    await expectError(answer, 400, 'DIGEST_INVALID')
  })
})

describe('spec "Deleting Blobs"', () => {
  test('a manifest is not deleted as a blob, and nothing is lost by trying', async () => {
    const repository = registry.freshName()
    await registry.pushManifest(repository, image, 'latest')
    await expectError(await registry.delete(`/v2/${repository}/blobs/${image.digest}`), 400, 'UNSUPPORTED')
    expect(await isThere(`/v2/${repository}/manifests/latest`)).toBe(true)
  })

  test.each([
    ['small', someBytes(100)],
    ['large', someBytes(2 * 1024 * 1024)],
    ['empty', new Uint8Array()],
  ])('DELETE of a %s blob is 202, and it is gone, also when it was just read', async (_, bytes) => {
    const repository = registry.freshName()
    for (const digest of [digestOf(bytes), digestOf(bytes, 'sha512')]) {
      const path = await registry.pushBlob(repository, bytes, digest)
      expect(await isThere(path)).toBe(true)
      const answer = await registry.delete(path)
      expect([answer.status, await answer.text()]).toEqual([202, ''])
      await expectError(await registry.get(path), 404, 'BLOB_UNKNOWN')
      expect(await isThere(path)).toBe(false)
    }
  })

  test('deleted in one repository it is there in another', async () => {
    const bytes = someBytes(200)
    const [one, two] = [
      await registry.pushBlob(registry.freshName(), bytes),
      await registry.pushBlob(registry.freshName(), bytes),
    ]
    await expectStatus(await registry.delete(one), 202)
    expect([await isThere(one), await isThere(two)]).toEqual([false, true])
  })

  test('the manifest that is made of it is there', async () => {
    const repository = registry.freshName()
    const layer = someBytes(300)
    const manifest = imageOf({ layers: [descriptorOf(layer, LAYER_TYPE)] })
    const blob = await registry.pushBlob(repository, layer)
    await registry.pushManifest(repository, manifest, 'latest')
    await expectStatus(await registry.delete(blob), 202)
    expect(await isThere(`/v2/${repository}/manifests/latest`)).toBe(true)
  })

  test('one that was deleted can be pushed again', async () => {
    const repository = registry.freshName()
    for (let time = 0; time < 2; time++) {
      const path = await registry.pushBlob(repository, someBytes(400))
      expect(await isThere(path)).toBe(true)
      await expectStatus(await registry.delete(path), 202)
    }
  })

  test('one that is not there, or no longer, is 404', async () => {
    const repository = registry.freshName()
    const path = await registry.pushBlob(repository, someBytes(500))
    await expectStatus(await registry.delete(path), 202)
    for (const absent of [path, `/v2/${repository}/blobs/${ABSENT}`, `/v2/${registry.freshName()}/blobs/${ABSENT}`]) {
      await expectError(await registry.delete(absent), 404, 'BLOB_UNKNOWN')
    }
  })

  test('a digest that is none is 400', async () => {
    await expectError(await registry.delete(`/v2/${registry.freshName()}/blobs/sha256:bad`), 400, 'DIGEST_INVALID')
  })
})
