/** Distribution spec 1.1, "Pushing Manifests": what may be in a manifest, and that it comes back byte for byte. */
import { beforeAll, describe, expect, test } from 'bun:test'
import {
  bytesOf,
  CONFIG_TYPE,
  describeManifest,
  descriptorOf,
  digestOf,
  EMPTY_BLOB,
  EMPTY_DESCRIPTOR,
  EMPTY_TYPE,
  IMAGE_TYPE,
  imageOf,
  indexOf,
  LAYER_TYPE,
  type Manifest,
  manifestOf,
  someBytes,
} from './manifest-content.ts'
import { expectError, expectStatus, locationOf, openRegistryClient } from './registry-client.ts'

const registry = openRegistryClient()
const repository = registry.freshName()
const config = bytesOf(JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [] } }))
const layer = someBytes(2_000)
const configDescriptor = descriptorOf(config, CONFIG_TYPE)
const layerDescriptor = descriptorOf(layer, LAYER_TYPE)
const absent = descriptorOf(bytesOf('never pushed'), LAYER_TYPE)
const image = imageOf({ config: configDescriptor, layers: [layerDescriptor] })
const artifact = imageOf({ artifactType: 'application/vnd.example.sbom', layers: [EMPTY_DESCRIPTOR] })
const platform = { architecture: 'arm64', os: 'linux', variant: 'v8' }
const index = indexOf([{ ...describeManifest(image), platform }, describeManifest(artifact)])
const OCTETS = 'application/octet-stream'
const DOCKER_IMAGE = 'application/vnd.docker.distribution.manifest.v2+json'
const DOCKER_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json'

const kinds: readonly (readonly [name: string, manifest: Manifest])[] = [
  ['an image', image],
  ['an image without layers', imageOf({ config: configDescriptor, layers: [] })],
  ['an image with the empty config', imageOf({ layers: [layerDescriptor] })],
  ['an image with the same layer twice', imageOf({ layers: [layerDescriptor, layerDescriptor] })],
  ['an image of which a layer is not there', imageOf({ layers: [layerDescriptor, absent] })],
  ['an image of which the config is not there', imageOf({ config: { ...absent, mediaType: CONFIG_TYPE } })],
  ['an image that says nothing of its type', { ...imageOf({ mediaType: undefined }), mediaType: IMAGE_TYPE }],
  [
    'an image with layers that are not to be distributed',
    imageOf({
      layers: ['application/vnd.oci.image.layer.nondistributable.v1.tar+gzip', LAYER_TYPE].map((mediaType) => ({
        ...absent,
        mediaType,
        urls: ['https://example.org/layer', 'https://example.com/layer'],
      })),
    }),
  ],
  [
    'an image with content in its descriptors',
    imageOf({
      config: { ...EMPTY_DESCRIPTOR, data: 'e30=' },
      layers: [{ ...layerDescriptor, data: Buffer.from(layer).toString('base64') }],
    }),
  ],
  [
    'an image with fields that no spec has',
    imageOf({
      config: { ...EMPTY_DESCRIPTOR, 'org.example.extra': [1, null, { deep: true }] },
      'org.example.custom': { list: [1.5, -0, 1e21], nothing: null, text: 'é\u0000\u2028' },
      'x-zero': 0,
    }),
  ],
  ['an image with annotations', imageOf({ annotations: { '': '', 'org.example.unicode': 'ü 漢字 🚀' } })],
  ['an artifact', artifact],
  ['an artifact that is known by its config', imageOf({ config: { ...EMPTY_DESCRIPTOR, mediaType: 'text/x-y+json' } })],
  ['an artifact with an empty artifactType', imageOf({ artifactType: '', layers: [EMPTY_DESCRIPTOR] })],
  ['an artifact without content', imageOf({ artifactType: EMPTY_TYPE, layers: [] })],
  ['an index', index],
  ['an empty index', indexOf([])],
  ['an index of an index', indexOf([describeManifest(index), describeManifest(indexOf([]))])],
  ['an index of nothing that is there', indexOf([describeManifest(imageOf({ annotations: { not: 'pushed' } }))])],
  [
    'an index of which one image is not there',
    indexOf([describeManifest(image), { ...absent, mediaType: IMAGE_TYPE }]),
  ],
  ['an index of the same image twice', indexOf([describeManifest(image), { ...describeManifest(image), platform }])],
  ['an index of what is no manifest', indexOf([layerDescriptor])],
  ['an index with an artifactType', indexOf([describeManifest(artifact)], { artifactType: 'application/vnd.example' })],
  ['an index with annotations', indexOf([describeManifest(image)], { annotations: { a: 'b' } })],
  ['an index with content in a descriptor', indexOf([{ ...describeManifest(artifact), data: 'e30=' }])],
  ['an index with fields that no spec has', indexOf([], { 'org.example.custom': { a: [] } })],
  ['an image of Docker', { ...imageOf({ mediaType: DOCKER_IMAGE }) }],
  ['a manifest list of Docker', manifestOf({ schemaVersion: 2, mediaType: DOCKER_LIST, manifests: [] })],
]

beforeAll(async () => {
  for (const bytes of [config, layer, EMPTY_BLOB]) await registry.pushBlob(repository, bytes)
  for (const manifest of [image, artifact, index]) await registry.pushManifest(repository, manifest)
})

describe('spec "Pushing Manifests": what may be pushed', () => {
  test.each(kinds)('%s is taken by tag and by digest, and comes back byte for byte', async (name, manifest) => {
    const tag = name.replaceAll(/\W/g, '-')
    const sha512 = digestOf(manifest.bytes, 'sha512')
    for (const reference of [tag, manifest.digest, sha512]) {
      const pushed = await registry.sendManifest(repository, reference, manifest)
      await expectStatus(pushed, 201)
      const digest = reference === tag ? manifest.digest : reference
      expect(pushed.headers.get('docker-content-digest')).toBe(digest)
      for (const address of [locationOf(pushed), `/v2/${repository}/manifests/${reference}`]) {
        const pulled = await registry.get(address)
        await expectStatus(pulled, 200)
        expect(await pulled.bytes()).toEqual(manifest.bytes)
        expect(pulled.headers.get('content-type')).toBe(manifest.mediaType)
        expect(pulled.headers.get('docker-content-digest')).toBe(digest)
      }
    }
  })

  test('what is spaced and ordered in an odd way comes back as it was sent', async () => {
    const text = ` {\r\n\t"layers" : [ ],"mediaType":"${IMAGE_TYPE}", "config":${JSON.stringify(EMPTY_DESCRIPTOR)},
      "schemaVersion":2.0e0, "annotations":{"b":"\\u00e9","a":"\\/"} }\n\n`
    const bytes = bytesOf(text)
    const digest = digestOf(bytes)
    const answer = await registry.pushManifest(repository, { bytes, mediaType: IMAGE_TYPE, digest }, 'odd')
    expect(answer.headers.get('docker-content-digest')).toBe(digest)
    expect(await (await registry.get(`/v2/${repository}/manifests/odd`)).bytes()).toEqual(bytes)
  })

  test('children of an index that are not there are 404, and the others are there', async () => {
    const child = imageOf({ annotations: { is: 'missing' } })
    const sparse = indexOf([describeManifest(image), describeManifest(child)])
    await registry.pushManifest(repository, sparse, 'sparse')
    const missing = await registry.get(`/v2/${repository}/manifests/${child.digest}`)
    await expectError(missing, 404, 'MANIFEST_UNKNOWN')
    expect((await registry.head(`/v2/${repository}/manifests/${image.digest}`)).status).toBe(200)
    await registry.pushManifest(repository, child)
    expect((await registry.head(`/v2/${repository}/manifests/${child.digest}`)).status).toBe(200)
  })

  test.each([
    ['a b', OCTETS],
    ['a\r\nX-Evil: 1', OCTETS],
    ['\u0000', OCTETS],
    ['é€', OCTETS],
    ['', OCTETS],
    [`application/${'x'.repeat(128)}`, OCTETS],
    ['text/html', 'text/html'],
    ['application/vnd.example.v1+json', 'application/vnd.example.v1+json'],
  ])('a child that its index calls %j is sent as %s, and not for a browser to show', async (mediaType, expected) => {
    const child = imageOf({ annotations: { called: mediaType } })
    const named = registry.freshName()
    await registry.pushBlob(named, child.bytes)
    await registry.pushManifest(named, indexOf([{ ...describeManifest(child), mediaType }]), 'list')
    for (const method of ['GET', 'HEAD'] as const) {
      const answer = await registry.send(method, `/v2/${named}/manifests/${child.digest}`)
      expect([answer.status, answer.headers.get('content-type')]).toEqual([200, expected])
      expect(answer.headers.get('content-disposition')).toBe('attachment')
    }
  })
})

const text = (value: unknown) => JSON.stringify(value)
const { size: _, ...withoutSize } = layerDescriptor
const badImages: readonly (readonly [name: string, body: string])[] = [
  ['nothing', ''],
  ['no JSON', '{"schemaVersion":2'],
  ['a list', '[]'],
  ['null', 'null'],
  ['an empty object', '{}'],
  ['of schema version 1', text({ schemaVersion: 1, config: EMPTY_DESCRIPTOR, layers: [] })],
  ['without a config', text({ schemaVersion: 2, layers: [] })],
  ['with layers that are no list', text({ schemaVersion: 2, config: EMPTY_DESCRIPTOR, layers: {} })],
  ['with a layer without a size', text({ schemaVersion: 2, config: EMPTY_DESCRIPTOR, layers: [withoutSize] })],
  [
    'with a layer whose digest is none',
    text({ schemaVersion: 2, config: EMPTY_DESCRIPTOR, layers: [{ ...layerDescriptor, digest: 'sha256:bad' }] }),
  ],
  [
    'that says it is an index',
    text({ schemaVersion: 2, mediaType: index.mediaType, config: EMPTY_DESCRIPTOR, layers: [] }),
  ],
]

describe('spec "Pushing Manifests": what is no manifest', () => {
  test.each(badImages)('an image manifest that is %s is 400', async (_, body) => {
    const manifest = { bytes: bytesOf(body), mediaType: IMAGE_TYPE, digest: digestOf(bytesOf(body)) }
    const answer = await registry.sendManifest(repository, 'bad', manifest)
    await expectError(answer, 400, 'MANIFEST_INVALID')
    await expectError(await registry.get(`/v2/${repository}/manifests/bad`), 404, 'MANIFEST_UNKNOWN')
  })

  test.each(['', 'text/plain', 'application/json', 'application/vnd.docker.distribution.manifest.v1+prettyjws'])(
    'a manifest that is called %p is 400',
    async (mediaType) => {
      await expectError(
        await registry.sendManifest(repository, 'bad', { ...image, mediaType }),
        400,
        'MANIFEST_INVALID',
      )
    },
  )

  test('an index that is called an image, and an image that is called an index, are 400', async () => {
    const swapped = [
      { ...index, mediaType: IMAGE_TYPE },
      { ...image, mediaType: index.mediaType },
    ]
    for (const manifest of swapped) {
      await expectError(await registry.sendManifest(repository, 'bad', manifest), 400, 'MANIFEST_INVALID')
    }
  })
})
