/** Distribution spec 1.1, "Determining Support" and "Pull", but for ranges. */
import { beforeAll, describe, expect, test } from 'bun:test'
import { requestRaw } from '../faults/raw-request.ts'
import { bytesOf, digestOf, IMAGE_TYPE, imageOf, someBytes } from './manifest-content.ts'
import { expectError, expectStatus, openRegistryClient } from './registry-client.ts'

const registry = openRegistryClient()
const ABSENT = digestOf(bytesOf('never pushed'))

describe('spec "Determining Support"', () => {
  test.each(['/v2/', '/v2'])('GET %s is 200', async (path) => {
    expect(await registry.getJson(path)).toEqual({})
  })

  test('it names the protocol as clients of Docker know it', async () => {
    expect((await registry.get('/v2/')).headers.get('docker-distribution-api-version')).toBe('registry/2.0')
  })

  test('other methods are 405, and the answer says which are served', async () => {
    const answer = await registry.send('POST', '/v2/')
    expect(answer.headers.get('allow')).toBe('GET, HEAD')
    await expectError(answer, 405, 'UNSUPPORTED')
  })
})

describe('spec "Pulling manifests"', () => {
  const repository = registry.freshName()
  const image = imageOf({ annotations: { is: 'pulled' } })

  beforeAll(async () => {
    await registry.pushManifest(repository, image, 'latest')
  })

  test.each([
    ['tag', 'latest'],
    ['digest', image.digest],
  ])('GET by %s is 200 with the bytes, their type and their digest', async (_, reference) => {
    const answer = await registry.get(`/v2/${repository}/manifests/${reference}`, { accept: IMAGE_TYPE })
    await expectStatus(answer, 200)
    expect(await answer.bytes()).toEqual(image.bytes)
    expect(answer.headers.get('content-type')).toBe(IMAGE_TYPE)
    expect(answer.headers.get('docker-content-digest')).toBe(image.digest)
    expect(answer.headers.get('content-length')).toBe(String(image.bytes.length))
  })

  test('GET without Accept, or of another type, gives what is there', async () => {
    for (const accept of ['*/*', 'application/vnd.docker.distribution.manifest.v2+json', 'text/html']) {
      const answer = await registry.get(`/v2/${repository}/manifests/latest`, { accept })
      expect([accept, answer.status, answer.headers.get('content-type')]).toEqual([accept, 200, IMAGE_TYPE])
      await answer.bytes()
    }
    const { status, headers } = await requestRaw(new URL(registry.url).host, `/v2/${repository}/manifests/latest`)
    expect([status, headers['content-type']]).toEqual([200, IMAGE_TYPE])
  })

  test.each([
    ['a tag', 'absent'],
    ['a tag of 128 characters', 'x'.repeat(128)],
    ['a digest', ABSENT],
    ['a SHA-512 digest', digestOf(bytesOf('never pushed'), 'sha512')],
  ])('%s that is not there is 404', async (_, reference) => {
    await expectError(await registry.get(`/v2/${repository}/manifests/${reference}`), 404, 'MANIFEST_UNKNOWN')
  })

  test('a repository that is not there is 404', async () => {
    for (const reference of ['latest', ABSENT]) {
      const answer = await registry.get(`/v2/${registry.freshName()}/manifests/${reference}`)
      await expectError(answer, 404, 'NAME_UNKNOWN')
    }
  })

  test('a manifest is in the repository that it was pushed to and in no other', async () => {
    const other = registry.freshName()
    await registry.pushManifest(other, imageOf({ annotations: { is: 'another' } }), 'latest')
    await expectError(await registry.get(`/v2/${other}/manifests/${image.digest}`), 404, 'MANIFEST_UNKNOWN')
    await expectError(await registry.get(`/v2/${repository}/other/manifests/latest`), 404, 'NAME_UNKNOWN')
  })

  test.each([
    'sha256:baddigeststring',
    'sha256:',
    ':',
    `sha256:${'A'.repeat(64)}`,
    `sha256:${'a'.repeat(63)}`,
    `sha256:${'a'.repeat(65)}`,
    `sha512:${'a'.repeat(64)}`,
    `md5:${'a'.repeat(32)}`,
    `SHA256:${'a'.repeat(64)}`,
  ])('the digest %p is 400', async (digest) => {
    await expectError(await registry.get(`/v2/${repository}/manifests/${digest}`), 400, 'DIGEST_INVALID')
  })

  test.each([
    ['with a leading dot', '.latest'],
    ['with a leading dash', '-latest'],
    ['with a plus', '1.0.0%2Bbuild'],
    ['with a blank', 'la%20test'],
    ['of 129 characters', 'x'.repeat(129)],
  ])('a tag %s is 400', async (_, tag) => {
    await expectError(await registry.get(`/v2/${repository}/manifests/${tag}`), 400, 'NAME_INVALID')
  })

  test.each(['a', '0', 'a.b', 'a_b', 'a__b', 'a---b', 'a/b/c/d/e/f', 'manifests/blobs-1/tags', `x/${'y'.repeat(200)}`])(
    'a repository may be called %s',
    async (name) => {
      await registry.pushManifest(name, image, 'latest')
      const answer = await registry.get(`/v2/${name}/manifests/latest`)
      expect(await answer.bytes()).toEqual(image.bytes)
    },
  )

  test.each(['A', 'a..b', 'a___b', 'a-', '-a', '_a', 'a/', 'a//b', 'a/-b', 'a.-b', 'ä', 'a%2F..%2Fb', 'x'.repeat(256)])(
    'no repository can be called %s',
    async (name) => {
      const path = `/v2/${name}/manifests/latest`
      await expectError(await registry.get(path), 400, 'NAME_INVALID')
      const headers = { 'content-type': image.mediaType }
      await expectError(await registry.send('PUT', path, { body: image.bytes, headers }), 400, 'NAME_INVALID')
    },
  )
})

describe('spec "Pulling blobs"', () => {
  const repository = registry.freshName()
  const bytes = someBytes(5_000)

  beforeAll(async () => {
    await registry.pushBlob(repository, bytes)
  })

  test.each([
    ['small', someBytes(100)],
    ['of one byte', bytesOf('x')],
    ['empty', new Uint8Array()],
    ['of 3 MiB', someBytes(3 * 1024 * 1024)],
  ])('GET of a blob that is %s is 200 with the bytes and their digest', async (_, content) => {
    const answer = await registry.get(await registry.pushBlob(repository, content))
    await expectStatus(answer, 200)
    expect(answer.headers.get('docker-content-digest')).toBe(digestOf(content))
    expect(answer.headers.get('content-length')).toBe(String(content.length))
    expect(answer.headers.get('content-type')).toBe('application/octet-stream')
    expect(Buffer.from(await answer.bytes()).equals(content)).toBe(true)
  })

  test('a blob that is not there is 404, and so is one of a repository that is not there', async () => {
    await expectError(await registry.get(`/v2/${repository}/blobs/${ABSENT}`), 404, 'BLOB_UNKNOWN')
    await expectError(await registry.get(`/v2/${registry.freshName()}/blobs/${ABSENT}`), 404, 'BLOB_UNKNOWN')
  })

  test('a blob is in the repository that it was pushed to and in no other', async () => {
    const other = registry.freshName()
    await registry.pushBlob(other, someBytes(10))
    await expectError(await registry.get(`/v2/${other}/blobs/${digestOf(bytes)}`), 404, 'BLOB_UNKNOWN')
  })

  test.each(['sha256:baddigeststring', `md5:${'a'.repeat(32)}`, 'latest'])('the digest %p is 400', async (digest) => {
    await expectError(await registry.get(`/v2/${repository}/blobs/${digest}`), 400, 'DIGEST_INVALID')
  })
})

describe('spec "Checking if content exists in the registry"', () => {
  const repository = registry.freshName()
  const image = imageOf({ annotations: { is: 'looked for' } })
  const large = someBytes(2 * 1024 * 1024, 2)
  const small = someBytes(700, 3)

  beforeAll(async () => {
    await registry.pushManifest(repository, image, 'latest')
    for (const bytes of [large, small, new Uint8Array()]) await registry.pushBlob(repository, bytes)
  })

  test.each([
    ['a manifest by tag', 'manifests/latest', image.bytes],
    ['a manifest by digest', `manifests/${image.digest}`, image.bytes],
    ['a blob', `blobs/${digestOf(small)}`, small],
    ['a large blob', `blobs/${digestOf(large)}`, large],
    ['an empty blob', `blobs/${digestOf(new Uint8Array())}`, new Uint8Array()],
  ])('HEAD of %s is 200 with length and digest, and no body', async (_, path, bytes) => {
    const answer = await requestRaw(new URL(registry.url).host, `/v2/${repository}/${path}`, { method: 'HEAD' })
    expect(answer.status).toBe(200)
    expect(answer.headers['content-length']).toBe(String(bytes.length))
    expect(answer.headers['docker-content-digest']).toBe(digestOf(bytes))
    expect(answer.body).toBe('')
  })

  test('HEAD and GET say the same of it', async () => {
    for (const path of ['manifests/latest', `blobs/${digestOf(small)}`]) {
      const [asked, got] = [
        await registry.head(`/v2/${repository}/${path}`),
        await registry.get(`/v2/${repository}/${path}`),
      ]
      await got.bytes()
      for (const name of ['content-type', 'content-length', 'docker-content-digest', 'accept-ranges', 'etag']) {
        expect([name, asked.headers.get(name)]).toEqual([name, got.headers.get(name)])
      }
    }
  })

  test.each([
    ['a tag', 'manifests/absent'],
    ['a manifest', `manifests/${ABSENT}`],
    ['a blob', `blobs/${ABSENT}`],
  ])('HEAD of %s that is not there is 404 without a body', async (_, path) => {
    for (const name of [repository, registry.freshName()]) {
      const answer = await requestRaw(new URL(registry.url).host, `/v2/${name}/${path}`, { method: 'HEAD' })
      expect([answer.status, answer.body]).toEqual([404, ''])
    }
  })
})
