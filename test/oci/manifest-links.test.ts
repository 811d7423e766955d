/** What manifests of any kind point to, and what is refused before it is stored. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { isDigest } from '../../src/oci/digest.ts'
import { parseLinks } from '../../src/oci/manifest-links.ts'
import { imageTypes, indexTypes, mediaTypes } from '../../src/oci/media-types.ts'
import { chartManifest, describeContent } from '../helm/chart-content.ts'

const config = describeContent(mediaTypes.helmConfig, 'config')
const layer = describeContent(mediaTypes.helmChart, 'package')
const provenance = describeContent(mediaTypes.helmProvenance, 'provenance', 'sha512')
const subject = describeContent(mediaTypes.ociManifest, 'subject')
const image = { schemaVersion: 2, config, layers: [layer, provenance] }
const index = { schemaVersion: 2, manifests: [subject] }
const noLinks = { subject: undefined, artifactType: undefined, annotations: undefined, blobs: [], manifests: [] }

const parse = (document: unknown, mediaType: string) => parseLinks(Buffer.from(JSON.stringify(document)), mediaType)
const invalid = expect.objectContaining({ code: 'MANIFEST_INVALID' })

describe('parseLinks of an image', () => {
  test.each(imageTypes)('(%s) are its config, which names its type, and its layers', (mediaType) => {
    const links = {
      ...noLinks,
      artifactType: config.mediaType,
      blobs: [config.digest, layer.digest, provenance.digest],
    }
    expect(parse(image, mediaType)).toEqual(links)
    expect(parse({ ...image, mediaType }, mediaType)).toEqual(links)
  })

  test('are those of a chart as Helm pushes it', () => {
    const { config, layers, annotations } = chartManifest('package', { a: 'b' })
    const pushed = { schemaVersion: 2, config, layers, annotations: Object.fromEntries(annotations) }
    expect(parse(pushed, mediaTypes.ociManifest)).toEqual({
      ...noLinks,
      artifactType: mediaTypes.helmConfig,
      annotations: { a: 'b' },
      blobs: [config, ...layers].map(({ digest }) => digest),
    })
  })

  test('has each blob as often as it is named', () => {
    const document = { ...image, layers: [config, layer, layer] }
    expect(parse(document, mediaTypes.ociManifest).blobs).toEqual([
      config.digest,
      config.digest,
      layer.digest,
      layer.digest,
    ])
  })

  test('is about its subject, whose media type may be any', () => {
    for (const mediaType of [mediaTypes.ociIndex, 'application/x', '']) {
      const links = parse({ ...image, subject: { ...subject, mediaType } }, mediaTypes.ociManifest)
      expect(links.subject).toBe(subject.digest)
      expect(links.blobs).not.toContain(subject.digest)
    }
  })

  test.each([
    ['application/x', 'application/x'],
    ['', config.mediaType],
    [undefined, config.mediaType],
  ])('with the artifact type %p is called %s', (artifactType, called) => {
    expect(parse({ ...image, artifactType }, mediaTypes.ociManifest).artifactType).toBe(called)
  })
})

describe('parseLinks of an index', () => {
  test.each(indexTypes)('(%s) are its manifests, and it has no type of its own', (mediaType) => {
    const links = { ...noLinks, manifests: [subject] }
    expect(parse(index, mediaType)).toEqual(links)
    expect(parse({ ...index, mediaType }, mediaType)).toEqual(links)
  })

  test('keep the order, the media types and nothing else of what it lists', () => {
    const first = { ...layer, platform: { os: 'linux' }, annotations: { a: 'b' }, urls: ['https://r.example'] }
    expect(parse({ ...index, manifests: [first, subject] }, mediaTypes.ociIndex).manifests).toEqual([layer, subject])
  })

  test('have a subject, a type and annotations where it says so', () => {
    const more = { subject, artifactType: 'application/x', annotations: { a: 'b' } }
    expect(parse({ ...index, ...more }, mediaTypes.ociIndex)).toEqual({
      ...more,
      subject: subject.digest,
      blobs: [],
      manifests: [subject],
    })
  })
})

test.each([
  ['layers', { ...image, layers: null }, mediaTypes.ociManifest, { blobs: [config.digest] }],
  ['an empty list of layers', { ...image, layers: [] }, mediaTypes.ociManifest, { blobs: [config.digest] }],
  ['manifests', { ...index, manifests: null }, mediaTypes.ociIndex, { manifests: [] }],
  ['an empty list of manifests', { ...index, manifests: [] }, mediaTypes.ociIndex, { manifests: [] }],
  ['annotations', { ...image, annotations: null }, mediaTypes.ociManifest, { annotations: undefined }],
  ['an empty map of annotations', { ...image, annotations: {} }, mediaTypes.ociManifest, { annotations: {} }],
  ['a subject', { ...image, subject: null }, mediaTypes.ociManifest, { subject: undefined }],
] as const)('a manifest may have null for %s, as Go writes it, or nothing in it', (_what, document, type, links) => {
  expect(parse(document, type)).toMatchObject(links)
})

test('unknown fields, types of layers and an annotation called __proto__ are left alone', () => {
  const bytes = Buffer.from(
    `{"x": {}, "annotations": {"__proto__": "a", "b": ""}, ${JSON.stringify({ ...image, layers: [{ ...layer, mediaType: '' }] }).slice(1)}`,
  )
  const { annotations, blobs } = parseLinks(bytes, mediaTypes.ociManifest)
  expect([Object.entries(annotations ?? {}), blobs]).toEqual([
    [
      ['__proto__', 'a'],
      ['b', ''],
    ],
    [config.digest, layer.digest],
  ])
})

describe('parseLinks refuses', () => {
  test.each([...imageTypes, ...indexTypes])('what is no manifest, as %s', (mediaType) => {
    for (const text of ['', '{', 'null', '1', '"x"', '[]', '{}', '<html>', '\u0000', `${JSON.stringify(image)}x`]) {
      expect(() => parseLinks(Buffer.from(text), mediaType)).toThrow(invalid)
    }
  })

  test.each([
    { ...image, schemaVersion: 1 },
    { ...image, schemaVersion: '2' },
    { ...image, schemaVersion: undefined },
    { ...image, config: undefined },
    { ...image, config: null },
    { ...image, config: { ...config, digest: undefined } },
    { ...image, layers: undefined },
    { ...image, layers: {} },
    { ...image, layers: [null] },
    { ...image, layers: [{ ...layer, size: -1 }] },
    { ...image, layers: [{ ...layer, size: 1.5 }] },
    { ...image, layers: [{ ...layer, size: '1' }] },
    { ...image, layers: [{ ...layer, mediaType: undefined }] },
    { ...image, annotations: { a: 1 } },
    { ...image, annotations: ['a'] },
    { ...image, annotations: 'a' },
    { ...image, artifactType: null },
    { ...image, artifactType: 1 },
    { ...image, mediaType: null },
    { ...image, subject: subject.digest },
    { ...image, subject: { digest: subject.digest } },
    index,
  ])('the image %j', (document) => {
    for (const type of imageTypes) expect(() => parse(document, type)).toThrow('it is no image manifest of schema')
  })

  test.each([
    { ...index, schemaVersion: 1 },
    { ...index, manifests: undefined },
    { ...index, manifests: {} },
    { ...index, manifests: [{ ...subject, size: undefined }] },
    { ...index, manifests: [subject.digest] },
    { ...index, annotations: { a: null } },
    image,
  ])('the index %j', (document) => {
    for (const type of indexTypes) expect(() => parse(document, type)).toThrow('it is no image index of schema')
  })

  test.each(['', 'x', 'sha256:', 'sha512:0', 'sha256:../../etc/passwd', config.digest.toUpperCase()])(
    'the digest %j wherever it stands',
    (digest) => {
      const odd = { ...layer, digest }
      for (const change of [{ config: odd }, { layers: [layer, odd] }, { subject: odd }]) {
        expect(() => parse({ ...image, ...change }, mediaTypes.ociManifest)).toThrow('a digest that is none')
      }
      for (const change of [{ manifests: [odd] }, { subject: odd }]) {
        expect(() => parse({ ...index, ...change }, mediaTypes.ociIndex)).toThrow('a digest that is none')
      }
    },
  )

  test('a manifest that is called otherwise than it says', () => {
    const cases = [
      [image, mediaTypes.ociManifest, mediaTypes.dockerManifest],
      [image, mediaTypes.dockerManifest, mediaTypes.ociManifest],
      [image, mediaTypes.ociManifest, mediaTypes.ociIndex],
      [image, mediaTypes.ociManifest, ''],
      [index, mediaTypes.ociIndex, mediaTypes.dockerManifestList],
      [index, mediaTypes.dockerManifestList, mediaTypes.ociManifest],
    ] as const
    for (const [document, called, mediaType] of cases) {
      expect(() => parse({ ...document, mediaType }, called)).toThrow(
        `it says that it is of type ${JSON.stringify(mediaType)}, and its Content-Type is ${called}`,
      )
    }
  })

  test.each([
    '',
    'application/json',
    'application/vnd.docker.distribution.manifest.v1+prettyjws',
    'APPLICATION/VND.OCI.IMAGE.MANIFEST.V1+JSON',
    '\u001b[31m',
  ])('manifests of type %j, which it says on one line', (mediaType) => {
    for (const document of [image, index, { ...image, mediaType }]) {
      expect(() => parse(document, mediaType)).toThrow(invalid)
      expect(() => parse(document, mediaType)).toThrow(`manifests of type ${JSON.stringify(mediaType)} are not taken`)
    }
  })

  test('any other JSON with that code, and takes none whose digests are none', () => {
    const digest = fc.oneof(fc.constantFrom(config.digest, 'x'), fc.jsonValue())
    const descriptor = fc.oneof(fc.record({ mediaType: fc.string(), digest, size: fc.nat() }), fc.jsonValue())
    const document = fc.record({
      schemaVersion: fc.constantFrom<unknown>(2, 2, 2, 1),
      config: descriptor,
      layers: fc.oneof(fc.array(descriptor), fc.jsonValue()),
      manifests: fc.oneof(fc.array(descriptor), fc.jsonValue()),
      subject: fc.option(descriptor),
    })
    fc.assert(
      fc.property(document, fc.constantFrom(...imageTypes, ...indexTypes), (each, type) => {
        try {
          const { subject: about, blobs, manifests } = parse(each, type)
          const all = [
            ...blobs,
            ...manifests.map(({ digest: child }) => child),
            ...(about === undefined ? [] : [about]),
          ]
          expect(all.filter((text) => !isDigest(text))).toEqual([])
        } catch (error) {
          expect(error).toEqual(invalid)
        }
      }),
      { numRuns: 300 },
    )
  })
})

test('parseLinks leaves out what has a digest of an algorithm that is not known here', () => {
  const odd = { ...layer, digest: `blake3:${'0'.repeat(64)}` }
  const links = parse({ ...image, layers: [layer, odd], subject: odd }, mediaTypes.ociManifest)
  expect([links.blobs, links.subject]).toEqual([[config.digest, layer.digest], undefined])
  expect(parse({ ...index, manifests: [odd, subject] }, mediaTypes.ociIndex).manifests).toHaveLength(1)
})
