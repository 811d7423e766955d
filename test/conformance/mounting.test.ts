/** Distribution spec 1.1, "Mounting a blob from another repository". */
import { beforeAll, describe, expect, test } from 'bun:test'
import { digestOf, someBytes } from './manifest-content.ts'
import { type Bytes, expectError, expectStatus, locationOf, openRegistryClient } from './registry-client.ts'

const registry = openRegistryClient()
const [source, other] = [registry.freshName(), registry.freshName()]
const bytes = someBytes(3_000)
const digests = [digestOf(bytes), digestOf(bytes, 'sha512')]
const large = someBytes(2 * 1024 * 1024)

const mount = (repository: string, query: string) => registry.send('POST', `/v2/${repository}/blobs/uploads/?${query}`)

/** A plain upload has begun, which takes the blob. */
async function expectUpload(answer: Response, content: Bytes): Promise<void> {
  await expectStatus(answer, 202)
  expect(answer.headers.get('docker-content-digest')).toBeNull()
  const location = locationOf(answer)
  expect((await registry.get(location)).status).toBe(204)
  await expectStatus(await registry.finishUpload(location, digestOf(content), content), 201)
}

describe('spec "Mounting a blob from another repository"', () => {
  beforeAll(async () => {
    for (const digest of digests) await registry.pushBlob(source, bytes, digest)
    await registry.pushBlob(source, large)
    await registry.pushBlob(other, someBytes(10))
  })

  test.each(digests)('a blob that the other repository has is 201, and is where Location says: %s', async (digest) => {
    const repository = registry.freshName()
    const answer = await mount(repository, `mount=${digest}&from=${source}`)
    await expectStatus(answer, 201)
    expect(answer.headers.get('docker-content-digest')).toBe(digest)
    expect(new URL(locationOf(answer)).pathname).toBe(`/v2/${repository}/blobs/${digest}`)
    expect(await (await registry.get(locationOf(answer))).bytes()).toEqual(bytes)
    expect((await registry.head(`/v2/${repository}/blobs/${digest}`)).status).toBe(200)
  })

  test('a name whose slashes are escaped is the same name', async () => {
    const query = new URLSearchParams({ mount: digestOf(bytes), from: source })
    await expectStatus(await mount(registry.freshName(), String(query)), 201)
  })

  test('a large blob is mounted whole', async () => {
    const answer = await mount(registry.freshName(), `mount=${digestOf(large)}&from=${source}`)
    await expectStatus(answer, 201)
    expect(Buffer.from(await (await registry.get(locationOf(answer))).bytes()).equals(large)).toBe(true)
  })

  test.each(digests)('without `from` the blob is found wherever it is: %s', async (digest) => {
    const answer = await mount(registry.freshName(), `mount=${digest}`)
    await expectStatus(answer, 201)
    expect(await (await registry.get(locationOf(answer))).bytes()).toEqual(bytes)
  })

  test('mounting what is there already is 201, also from the repository itself', async () => {
    const repository = registry.freshName()
    for (const from of [source, source, repository]) {
      await expectStatus(await mount(repository, `mount=${digestOf(bytes)}&from=${from}`), 201)
    }
  })

  test.each([
    ['with `from`', `&from=${source}`],
    ['without `from`', ''],
  ])('a blob that nobody has is 202, and the upload that has begun takes it: %s', async (_, from) => {
    const content = someBytes(3_000, from.length + 2)
    const answer = await mount(registry.freshName(), `mount=${digestOf(content)}${from}`)
    await expectUpload(answer, content)
  })

  test.each([
    ['that does not have it', other],
    ['that is not there', 'conformance/absent'],
    ['whose name is none', 'Upper'],
    ['whose name leads out of the registry', '../../etc'],
    ['without a name', ''],
  ])('a blob is not mounted from a repository %s, wherever else it is', async (_, from) => {
    await expectUpload(await mount(registry.freshName(), `mount=${digestOf(bytes)}&from=${from}`), bytes)
  })

  test.each(['sha256:baddigeststring', `md5:${'a'.repeat(32)}`, ''])('the digest %p is 400', async (digest) => {
    const answer = await mount(registry.freshName(), `mount=${digest}&from=${source}`)
    await expectError(answer, 400, 'DIGEST_INVALID')
  })

  test('a mounted blob stays when the one it came from is deleted', async () => {
    const [from, to] = [registry.freshName(), registry.freshName()]
    const content = someBytes(100, 7)
    const there = await registry.pushBlob(from, content)
    const mounted = await mount(to, `mount=${digestOf(content)}&from=${from}`)
    await expectStatus(await registry.delete(there), 202)
    await expectError(await registry.get(there), 404, 'BLOB_UNKNOWN')
    expect(await (await registry.get(locationOf(mounted))).bytes()).toEqual(content)
  })
})
