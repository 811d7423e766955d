/** Distribution spec 1.1, "Pushing Manifests" and "Pushing Manifests with Subject": references, tags, sizes, answers. */
import { describe, expect, test } from 'bun:test'
import { requestRaw } from '../faults/raw-request.ts'
import {
  bytesOf,
  describeManifest,
  digestOf,
  EMPTY_DESCRIPTOR,
  IMAGE_TYPE,
  imageOf,
  indexOf,
  type Manifest,
} from './manifest-content.ts'
import { expectError, expectStatus, locationOf, openRegistryClient, streamOf } from './registry-client.ts'

const registry = openRegistryClient()
const image = imageOf({ annotations: { is: 'one' } })
const other = imageOf({ annotations: { is: 'other' } })
const MAX_BYTES = 4 * 1024 * 1024

/** What a tag, or a digest, stands for. */
async function digestAt(repository: string, reference: string): Promise<string | null> {
  const answer = await registry.head(`/v2/${repository}/manifests/${reference}`)
  expect(answer.status).toBe(200)
  return answer.headers.get('docker-content-digest')
}

describe('spec "Pushing Manifests"', () => {
  test('a push by tag is 201, its digest is the SHA-256, and Location is by digest', async () => {
    const repository = registry.freshName()
    const answer = await registry.sendManifest(repository, 'latest', image)
    expect([answer.status, await answer.text()]).toEqual([201, ''])
    expect(answer.headers.get('docker-content-digest')).toBe(image.digest)
    expect(new URL(locationOf(answer)).pathname).toBe(`/v2/${repository}/manifests/${image.digest}`)
    expect(answer.headers.get('oci-tag')).toBeNull()
    expect(answer.headers.get('oci-subject')).toBeNull()
    expect(await digestAt(repository, image.digest)).toBe(image.digest)
  })

  test('a push by digest makes no tag', async () => {
    const repository = registry.freshName()
    await registry.pushManifest(repository, image)
    expect(await registry.getJson(`/v2/${repository}/tags/list`)).toEqual({ name: repository, tags: [] })
  })

  test('a tag moves, and what it pointed to stays', async () => {
    const repository = registry.freshName()
    await registry.pushManifest(repository, image, 'latest')
    await registry.pushManifest(repository, other, 'latest')
    expect(await digestAt(repository, 'latest')).toBe(other.digest)
    expect(await digestAt(repository, image.digest)).toBe(image.digest)
    await registry.pushManifest(repository, image, 'latest')
    expect(await digestAt(repository, 'latest')).toBe(image.digest)
  })

  test('pushing the same again is 201 and changes nothing', async () => {
    const repository = registry.freshName()
    for (const reference of ['latest', 'latest', image.digest, image.digest]) {
      await expectStatus(await registry.sendManifest(repository, reference, image), 201)
    }
    expect(await registry.getJson(`/v2/${repository}/tags/list`)).toEqual({ name: repository, tags: ['latest'] })
  })

  test('parameters of Content-Type are left out', async () => {
    const repository = registry.freshName()
    for (const parameters of ['; charset=utf-8', ';charset=UTF-8;x=y', ' ; a="b"']) {
      await registry.pushManifest(repository, { ...image, mediaType: IMAGE_TYPE + parameters }, 'latest')
      for (const reference of ['latest', image.digest]) {
        const answer = await registry.head(`/v2/${repository}/manifests/${reference}`)
        expect(answer.headers.get('content-type')).toBe(IMAGE_TYPE)
      }
    }
  })

  test('a body without a length is taken', async () => {
    const headers = { 'content-type': IMAGE_TYPE }
    const path = `/v2/${registry.freshName()}/manifests/latest`
    const body = streamOf(image.bytes.slice(0, 50), image.bytes.slice(50))
    await expectStatus(await registry.send('PUT', path, { body, headers }), 201)
    expect(await (await registry.get(path)).bytes()).toEqual(image.bytes)
  })

  test.each(['sha256', 'sha512'] as const)('bytes that are not what the %s digest says are 400', async (algorithm) => {
    const repository = registry.freshName()
    await registry.pushManifest(repository, image, 'latest')
    const digest = digestOf(other.bytes, algorithm)
    await expectError(await registry.sendManifest(repository, digest, image), 400, 'DIGEST_INVALID')
    await expectError(await registry.get(`/v2/${repository}/manifests/${digest}`), 404, 'MANIFEST_UNKNOWN')
  })

  test.each(['sha256:baddigeststring', `md5:${'a'.repeat(32)}`, `sha512:${'a'.repeat(64)}`])(
    'the digest %p is 400',
    async (digest) => {
      await expectError(await registry.sendManifest(registry.freshName(), digest, image), 400, 'DIGEST_INVALID')
    },
  )

  test.each(['.latest', '-latest', 'x'.repeat(129), '1.0.0%2Bbuild'])('the tag %p is 400', async (tag) => {
    await expectError(await registry.sendManifest(registry.freshName(), tag, image), 400, 'NAME_INVALID')
  })

  test.each(['1', '_', 'A', 'v1.2.3-rc.1_build.5', 'x'.repeat(128)])('the tag %p is taken', async (tag) => {
    const repository = registry.freshName()
    await registry.pushManifest(repository, image, tag)
    expect(await digestAt(repository, tag)).toBe(image.digest)
  })

  test('tags that differ in case are two', async () => {
    const repository = registry.freshName()
    await registry.pushManifest(repository, image, 'latest')
    await registry.pushManifest(repository, other, 'Latest')
    expect([await digestAt(repository, 'latest'), await digestAt(repository, 'Latest')]).toEqual([
      image.digest,
      other.digest,
    ])
  })

  test('a manifest under both digests is one of each, and a tag keeps the one it was pushed with', async () => {
    const repository = registry.freshName()
    const sha512 = digestOf(image.bytes, 'sha512')
    await expectStatus(await registry.sendManifest(repository, sha512, image, '?tag=long'), 201)
    await expectStatus(await registry.sendManifest(repository, image.digest, image, '?tag=short'), 201)
    for (const reference of ['long', sha512]) expect(await digestAt(repository, reference)).toBe(sha512)
    for (const reference of ['short', image.digest]) expect(await digestAt(repository, reference)).toBe(image.digest)
  })

  test('tags pushed by many clients at once are all there', async () => {
    const repository = registry.freshName()
    const tags = Array.from({ length: 40 }, (_, place) => `v${place + 10}`)
    const push = async (tag: string) => (await registry.sendManifest(repository, tag, imageOf({ tag }))).status
    expect(await Promise.all(tags.map(push))).toEqual(Array(40).fill(201))
    expect(await registry.getJson(`/v2/${repository}/tags/list`)).toEqual({ name: repository, tags })
  })
})

describe('spec "Pushing Manifests": tag parameters', () => {
  test.each([
    ['SHA-256', image.digest],
    ['SHA-512', digestOf(image.bytes, 'sha512')],
  ])('tags of a push by %s are set, and OCI-Tag names them', async (_, digest) => {
    const repository = registry.freshName()
    const tags = ['1.2.3', '1.2', '1', 'latest', 'a', 'b', 'c', 'd', 'e', 'f']
    const query = `?${tags.map((tag) => `tag=${tag}`).join('&')}`
    const answer = await registry.sendManifest(repository, digest, image, query)
    await expectStatus(answer, 201)
    expect((answer.headers.get('oci-tag') ?? '').split(',').map((tag) => tag.trim())).toEqual(tags)
    expect(answer.headers.get('docker-content-digest')).toBe(digest)
    for (const reference of [...tags, digest]) expect(await digestAt(repository, reference)).toBe(digest)
    const listed = { name: repository, tags: tags.toSorted() }
    expect(await registry.getJson(`/v2/${repository}/tags/list`)).toEqual(listed)
  })

  test('tags of a push by digest move, too, and others stay', async () => {
    const repository = registry.freshName()
    await registry.pushManifest(repository, other, 'latest')
    await registry.pushManifest(repository, other, 'stable')
    await expectStatus(await registry.sendManifest(repository, image.digest, image, '?tag=latest&tag=new'), 201)
    expect(await digestAt(repository, 'latest')).toBe(image.digest)
    expect(await digestAt(repository, 'stable')).toBe(other.digest)
  })

  test('one that is no tag is 400, and none of them is set', async () => {
    const repository = registry.freshName()
    for (const query of ['?tag=good&tag=-bad', '?tag=', `?tag=good&tag=${'x'.repeat(129)}`]) {
      const answer = await registry.sendManifest(repository, image.digest, image, query)
      await expectError(answer, 400, 'NAME_INVALID')
    }
    await expectError(await registry.get(`/v2/${repository}/tags/list`), 404, 'NAME_UNKNOWN')
  })

  test('a hundred tags are taken, more are 414', async () => {
    const repository = registry.freshName()
    const query = (count: number) => `?${Array.from({ length: count }, (_, place) => `tag=t${place}`).join('&')}`
    await expectStatus(await registry.sendManifest(repository, image.digest, image, query(100)), 201)
    const answer = await registry.sendManifest(repository, other.digest, other, query(101))
    await expectError(answer, 414, 'UNSUPPORTED')
    expect(await digestAt(repository, 't0')).toBe(image.digest)
  })
})

describe('spec "Pushing Manifests": sizes', () => {
  /** An image manifest of this many bytes. */
  function imageOfSize(length: number): Manifest {
    const annotation = 'x'.repeat(length - imageOf({ annotations: { a: '' } }).bytes.length)
    return imageOf({ annotations: { a: annotation } })
  }

  test('3.9 MB in 390 annotations are taken, and come back', async () => {
    const repository = registry.freshName()
    const annotations = Object.fromEntries(Array.from({ length: 390 }, (_, place) => [`a${place}`, 'x'.repeat(10_000)]))
    const large = imageOf({ annotations })
    for (const reference of ['large', large.digest]) {
      await expectStatus(await registry.sendManifest(repository, reference, large), 201)
      const pulled = await registry.get(`/v2/${repository}/manifests/${reference}`)
      expect(Buffer.from(await pulled.bytes()).equals(large.bytes)).toBe(true)
      expect(pulled.headers.get('content-length')).toBe(String(large.bytes.length))
    }
  })

  test('4 MiB are taken, one byte more is 413', async () => {
    const repository = registry.freshName()
    await registry.pushManifest(repository, imageOfSize(MAX_BYTES), 'whole')
    const answer = await registry.sendManifest(repository, 'larger', imageOfSize(MAX_BYTES + 1))
    await expectError(answer, 413, 'SIZE_INVALID')
    await expectError(await registry.get(`/v2/${repository}/manifests/larger`), 404, 'MANIFEST_UNKNOWN')
  })

  test('413 is answered before the body has come', async () => {
    const headers = [`Content-Length: ${MAX_BYTES + 1}`, `Content-Type: ${IMAGE_TYPE}`]
    const path = `/v2/${registry.freshName()}/manifests/latest`
    const answer = await requestRaw(new URL(registry.url).host, path, { method: 'PUT', headers })
    expect(answer.status).toBe(413)
    expect(JSON.parse(answer.body)).toMatchObject({ errors: [{ code: 'SIZE_INVALID' }] })
  })

  test('a body without a length is 413 once it is too long', async () => {
    const piece = bytesOf('x'.repeat(1024 * 1024))
    const path = `/v2/${registry.freshName()}/manifests/latest`
    const body = streamOf(piece, piece, piece, piece, piece)
    const answer = await registry.send('PUT', path, { body, headers: { 'content-type': IMAGE_TYPE } })
    await expectError(answer, 413, 'SIZE_INVALID')
  })
})

describe('spec "Pushing Manifests with Subject"', () => {
  const subject = describeManifest(imageOf({ annotations: { is: 'about' } }))
  const long = { ...subject, digest: digestOf(bytesOf('not pushed'), 'sha512') }

  test.each([
    ['an image', imageOf({ subject }), subject.digest],
    [
      'an artifact',
      imageOf({ subject, artifactType: 'application/vnd.example', layers: [EMPTY_DESCRIPTOR] }),
      subject.digest,
    ],
    ['an index', indexOf([], { subject }), subject.digest],
    ['an image about a SHA-512', imageOf({ subject: long }), long.digest],
  ])('%s is taken while its subject is not there, and OCI-Subject names it', async (_, manifest, digest) => {
    const repository = registry.freshName()
    for (const reference of ['latest', manifest.digest, digestOf(manifest.bytes, 'sha512')]) {
      const answer = await registry.sendManifest(repository, reference, manifest)
      await expectStatus(answer, 201)
      expect(answer.headers.get('oci-subject')).toBe(digest)
    }
    await expectError(await registry.get(`/v2/${repository}/manifests/${digest}`), 404, 'MANIFEST_UNKNOWN')
  })

  test('the subject may come first', async () => {
    const repository = registry.freshName()
    await registry.pushManifest(repository, image)
    const answer = await registry.pushManifest(repository, imageOf({ subject: describeManifest(image) }))
    expect(answer.headers.get('oci-subject')).toBe(image.digest)
  })

  test('no subject, and a subject of null, are no subject', async () => {
    for (const manifest of [imageOf(), imageOf({ subject: null }), indexOf([])]) {
      const answer = await registry.pushManifest(registry.freshName(), manifest)
      expect(answer.headers.get('oci-subject')).toBeNull()
    }
  })

  test('a subject whose digest is none is 400', async () => {
    for (const bad of [{ ...subject, digest: 'sha256:bad' }, { digest: subject.digest }, 'text']) {
      const answer = await registry.sendManifest(registry.freshName(), 'latest', imageOf({ subject: bad }))
      await expectError(answer, 400, 'MANIFEST_INVALID')
    }
  })
})
