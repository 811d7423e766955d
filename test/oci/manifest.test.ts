/** Manifests and indexes: tolerant of what is not used, strict on what is. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { digestBytes } from '../../src/oci/digest.ts'
import { parseManifest } from '../../src/oci/manifest.ts'
import { mediaTypes } from '../../src/oci/media-types.ts'

const digest = digestBytes(Buffer.from('x'))
const descriptor = { mediaType: 'application/x', digest, size: 1 }
const image = { schemaVersion: 2, config: descriptor, layers: [descriptor] }
const index = { schemaVersion: 2, manifests: [descriptor] }
const encode = (document: unknown) => Buffer.from(JSON.stringify(document))
const parse = (document: unknown, mediaType: string = mediaTypes.ociManifest) =>
  parseManifest(encode(document), mediaType)

describe('parseManifest', () => {
  test('reads an image manifest as Helm pushes it, without a type of its own', () => {
    const annotations = { a: 'x', b: 1, __proto__x: 'y' }
    expect(parse({ ...image, annotations })).toEqual({
      kind: 'image',
      config: descriptor,
      layers: [descriptor],
      annotations: new Map([
        ['a', 'x'],
        ['__proto__x', 'y'],
      ]),
    })
  })

  test('knows an index by its content or by its type', () => {
    const wanted = { kind: 'index', children: [descriptor] } as const
    expect(parse(index)).toEqual(wanted)
    expect(parse(index, mediaTypes.ociIndex)).toEqual(wanted)
    expect(parse({ ...image, ...index }, mediaTypes.ociIndex)).toEqual(wanted)
    expect(parse({ ...image, ...index }, mediaTypes.dockerManifestList)).toEqual(wanted)
    expect(parse({ ...image, ...index }, mediaTypes.dockerManifest)).toMatchObject({ kind: 'image' })
  })

  test('leaves the children of an index out that are for a platform', () => {
    const manifests = [{ ...descriptor, platform: { os: 'linux' } }, descriptor]
    expect(parse({ manifests })).toEqual({ kind: 'index', children: [descriptor] })
  })

  test.each([`md5:${'0'.repeat(32)}`, 'blake3:x', 'x'])(
    'leaves out a layer or child whose digest is %s, which nobody here can verify',
    (unknown) => {
      const odd = { ...descriptor, digest: unknown }
      expect(parse({ ...image, layers: [odd, descriptor, odd] })).toMatchObject({ kind: 'image', layers: [descriptor] })
      expect(parse({ ...index, manifests: [odd, descriptor] })).toEqual({ kind: 'index', children: [descriptor] })
    },
  )

  test.each([{}, 'x', 1, null, ['a']])(
    'takes annotations that are %j for none, or for their strings',
    (annotations) => {
      expect(parse({ ...image, annotations })).toMatchObject({ kind: 'image', config: descriptor })
    },
  )

  test.each([
    ...[
      null,
      1,
      'x',
      [[]],
      {},
      { schemaVersion: 1, fsLayers: [] },
      { config: descriptor },
      { layers: [] },
      { manifests: {} },
    ],
    { ...image, config: { ...descriptor, digest: undefined } },
    { ...image, config: { ...descriptor, digest: `md5:${'0'.repeat(32)}` } },
    { ...image, config: { ...descriptor, digest: 'sha256:../../etc/passwd' } },
    { ...image, layers: [{ ...descriptor, size: -1 }] },
    { ...image, layers: [{ ...descriptor, size: 1.5 }] },
    { ...image, layers: [{ ...descriptor, size: '1' }] },
    { ...image, layers: [{ ...descriptor, mediaType: 1 }] },
    { ...image, layers: [null] },
  ])('refuses %j', (document) => {
    expect(() => parse(document)).toThrow('Cannot read the manifest')
  })

  test('refuses an image manifest that comes as an index', () => {
    expect(() => parse(image, mediaTypes.ociIndex)).toThrow('neither an image manifest nor an index')
  })

  test('refuses bytes that are no JSON, with a code of its own', () => {
    for (const bytes of ['', '{', '\u0000', '<html>']) {
      expect(() => parseManifest(Buffer.from(bytes), mediaTypes.ociManifest)).toThrow(
        expect.objectContaining({ code: 'UPSTREAM_MALFORMED' }),
      )
    }
  })

  test('reads any JSON or fails with that code', () => {
    fc.assert(
      fc.property(
        fc.jsonValue(),
        fc.jsonValue(),
        fc.constantFrom(...Object.values(mediaTypes)),
        (config, layers, type) => {
          try {
            parse({ config, layers, manifests: layers }, type)
          } catch (error) {
            expect(error).toMatchObject({ code: 'UPSTREAM_MALFORMED' })
          }
        },
      ),
    )
  })
})
