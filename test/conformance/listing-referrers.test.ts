/** Distribution spec 1.1, "Listing Referrers", "Referrers Tag Schema" and "Enabling the Referrers API". */
import { describe, expect, test } from 'bun:test'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  bytesOf,
  CONFIG_TYPE,
  type Descriptor,
  describeManifest,
  digestOf,
  EMPTY_DESCRIPTOR,
  EMPTY_TYPE,
  INDEX_TYPE,
  imageOf,
  indexOf,
  type Manifest,
} from './manifest-content.ts'
import { expectError, expectStatus, openRegistryClient } from './registry-client.ts'

const registry = openRegistryClient()
const image = imageOf({ annotations: { is: 'about this' } })
const subject = describeManifest(image)
const SBOM = 'application/vnd.example.sbom.v1+json'
const SIGNATURE = 'application/vnd.example.signature'

interface Referrers {
  readonly list: readonly Descriptor[]
  readonly filters: string | null
  /** The Link header. */
  readonly link: string | null
}

async function listReferrers(repository: string, digest: string, query = ''): Promise<Referrers> {
  const answer = await registry.get(`/v2/${repository}/referrers/${digest}${query}`)
  await expectStatus(answer, 200)
  expect(answer.headers.get('content-type')).toBe(INDEX_TYPE)
  const { manifests, ...rest } = (await answer.json()) as { readonly manifests: readonly Descriptor[] }
  expect(rest as object).toEqual({ schemaVersion: 2, mediaType: INDEX_TYPE })
  return { list: manifests, filters: answer.headers.get('oci-filters-applied'), link: answer.headers.get('link') }
}

const digestsOf = ({ list }: Referrers): string[] => list.map(({ digest }) => digest).sort()
const sortedDigests = (...manifests: readonly Manifest[]): string[] => manifests.map(({ digest }) => digest).sort()

/** A repository with the image and these manifests, whatever they refer to. */
async function pushAll(...manifests: readonly Manifest[]): Promise<string> {
  const repository = registry.freshName()
  for (const manifest of [...manifests, image]) await registry.pushManifest(repository, manifest)
  return repository
}

describe('spec "Listing Referrers"', () => {
  test('a repository or a manifest that is not there has an empty list', async () => {
    const repository = await pushAll()
    for (const name of [repository, registry.freshName()]) {
      for (const digest of [image.digest, digestOf(bytesOf('x')), digestOf(bytesOf('x'), 'sha512')]) {
        expect(await listReferrers(name, digest)).toEqual({ list: [], filters: null, link: null })
      }
    }
  })

  test.each(['sha256:bad', 'latest', `md5:${'a'.repeat(32)}`])('the digest %p is 400', async (digest) => {
    await expectError(await registry.get(`/v2/${registry.freshName()}/referrers/${digest}`), 400, 'DIGEST_INVALID')
  })

  test.each([
    ['an image with an artifactType', imageOf({ subject, artifactType: SBOM }), SBOM],
    ['an image without one, by the type of its config', imageOf({ subject }), EMPTY_TYPE],
    [
      'an image with an empty one, by the type of its config',
      imageOf({ subject, artifactType: '', config: { ...EMPTY_DESCRIPTOR, mediaType: CONFIG_TYPE } }),
      CONFIG_TYPE,
    ],
    ['an index with an artifactType', indexOf([], { subject, artifactType: SIGNATURE }), SIGNATURE],
    ['an index without one', indexOf([], { subject }), undefined],
    ['an index with an empty one', indexOf([], { subject, artifactType: '' }), undefined],
  ])('%s is described so', async (_, manifest, artifactType) => {
    const { list } = await listReferrers(await pushAll(manifest), image.digest)
    const described = { ...describeManifest(manifest), ...(artifactType !== undefined && { artifactType }) }
    expect(list).toEqual([described])
  })

  test.each([
    ['an image', imageOf],
    ['an index', (fields: Readonly<Record<string, unknown>>) => indexOf([], fields)],
  ])('all annotations of %s are in its descriptor', async (_, make) => {
    const annotations = {
      'org.opencontainers.image.created': '2026-01-01T00:00:00Z',
      'org.example.ü': '漢 "字"',
      x: '',
    }
    const { list } = await listReferrers(await pushAll(make({ subject, annotations })), image.digest)
    expect(list[0]?.['annotations']).toEqual(annotations)
  })

  test('all kinds of referrers are listed, each once, and those of another subject are not', async () => {
    const other = describeManifest(imageOf({ annotations: { is: 'another' } }))
    const mine = [imageOf({ subject }), imageOf({ subject, artifactType: SBOM }), indexOf([], { subject })]
    const theirs = [imageOf({ subject: other }), indexOf([], { subject: other })]
    const repository = await pushAll(...mine, ...theirs, ...mine)
    for (const manifest of mine) await registry.pushManifest(repository, manifest, manifest.digest.slice(7, 20))
    expect(digestsOf(await listReferrers(repository, image.digest))).toEqual(sortedDigests(...mine))
    expect(digestsOf(await listReferrers(repository, other.digest))).toEqual(sortedDigests(...theirs))
  })

  test('the subject need not be there', async () => {
    const repository = registry.freshName()
    const referrer = imageOf({ subject })
    await registry.pushManifest(repository, referrer)
    expect(digestsOf(await listReferrers(repository, image.digest))).toEqual([referrer.digest])
  })

  test('a subject is meant by the digest it was named with', async () => {
    const sha512 = digestOf(image.bytes, 'sha512')
    const referrer = imageOf({ subject: { ...subject, digest: sha512 } })
    const repository = await pushAll(referrer)
    expect(digestsOf(await listReferrers(repository, sha512))).toEqual([referrer.digest])
    expect(digestsOf(await listReferrers(repository, image.digest))).toEqual([])
  })

  test('a referrer that was pushed by SHA-512 is listed by it', async () => {
    const referrer = imageOf({ subject }, 'sha512')
    const { list } = await listReferrers(await pushAll(referrer), image.digest)
    expect(list.map(({ digest }) => digest)).toEqual([referrer.digest])
  })

  test('referrers have referrers', async () => {
    const sbom = imageOf({ subject, artifactType: SBOM })
    const signature = imageOf({ subject: describeManifest(sbom), artifactType: SIGNATURE })
    const repository = await pushAll(signature, sbom)
    expect(digestsOf(await listReferrers(repository, image.digest))).toEqual([sbom.digest])
    expect(digestsOf(await listReferrers(repository, sbom.digest))).toEqual([signature.digest])
  })

  test('a referrer is listed as soon as its push was answered, and not once its deletion was', async () => {
    const referrer = imageOf({ subject })
    const repository = await pushAll()
    for (let time = 0; time < 2; time++) {
      await registry.pushManifest(repository, referrer)
      expect(digestsOf(await listReferrers(repository, image.digest))).toEqual([referrer.digest])
      await expectStatus(await registry.delete(`/v2/${repository}/manifests/${referrer.digest}`), 202)
      expect(digestsOf(await listReferrers(repository, image.digest))).toEqual([])
    }
  })

  test('a referrer stays when its subject is deleted, or its tag', async () => {
    const referrer = imageOf({ subject })
    const repository = await pushAll(referrer)
    await registry.pushManifest(repository, referrer, 'tagged')
    await expectStatus(await registry.delete(`/v2/${repository}/manifests/tagged`), 202)
    await expectStatus(await registry.delete(`/v2/${repository}/manifests/${image.digest}`), 202)
    expect(digestsOf(await listReferrers(repository, image.digest))).toEqual([referrer.digest])
  })

  test('a referrer that was deleted is not listed, although an index still names it', async () => {
    const referrer = imageOf({ subject })
    const repository = await pushAll(referrer, indexOf([describeManifest(referrer)]))
    expect(digestsOf(await listReferrers(repository, image.digest))).toEqual([referrer.digest])
    await expectStatus(await registry.delete(`/v2/${repository}/manifests/${referrer.digest}`), 202)
    expect(digestsOf(await listReferrers(repository, image.digest))).toEqual([])
  })

  test('a referrer of another repository is not listed, although an index here names it', async () => {
    const referrer = imageOf({ subject, annotations: { of: 'another repository' } })
    const index = indexOf([describeManifest(referrer)])
    const elsewhere = await pushAll(referrer, index)
    expect(digestsOf(await listReferrers(elsewhere, image.digest))).toEqual([referrer.digest])
    expect(digestsOf(await listReferrers(await pushAll(index), image.digest))).toEqual([])
  })
})

describe('spec "Listing Referrers": the filter', () => {
  const sbom = imageOf({ subject, artifactType: SBOM })
  const signature = indexOf([], { subject, artifactType: SIGNATURE })
  const byConfig = imageOf({ subject })
  const untyped = indexOf([], { subject })

  test.each([
    [encodeURIComponent(SBOM), [sbom]],
    [SBOM, [sbom]],
    [SIGNATURE, [signature]],
    [encodeURIComponent(EMPTY_TYPE), [byConfig]],
    ['application/vnd.example', []],
    ['text/plain', []],
  ])('artifactType=%s lists those of this type and no others, and says that it was applied', async (type, wanted) => {
    const repository = await pushAll(sbom, signature, byConfig, untyped)
    const listed = await listReferrers(repository, image.digest, `?artifactType=${type}`)
    expect(digestsOf(listed)).toEqual(sortedDigests(...wanted))
    expect(listed.filters).toBe('artifactType')
  })

  test('without a filter, or with an empty one, all are listed, and none was applied', async () => {
    const repository = await pushAll(sbom, signature, byConfig, untyped)
    for (const query of ['', '?artifactType=', '?other=x']) {
      const listed = await listReferrers(repository, image.digest, query)
      expect(digestsOf(listed)).toEqual(sortedDigests(sbom, signature, byConfig, untyped))
      expect(listed.filters).toBeNull()
    }
  })

  test('it is applied where there is nothing', async () => {
    const listed = await listReferrers(registry.freshName(), image.digest, `?artifactType=${SIGNATURE}`)
    expect(listed).toEqual({ list: [], filters: 'artifactType', link: null })
  })
})

/** Writes an image layout where the registry keeps the repository, as other tools do. */
async function writeLayout(
  repository: string,
  listed: readonly Manifest[],
  others: readonly Manifest[] = [],
  tag = '',
) {
  const dir = join(registry.root, repository)
  await mkdir(join(dir, 'blobs/sha256'), { recursive: true })
  for (const { digest, bytes } of [...listed, ...others])
    await writeFile(join(dir, 'blobs/sha256', digest.slice(7)), bytes)
  const annotations = tag === '' ? undefined : { 'org.opencontainers.image.ref.name': tag }
  const manifests = listed.map((manifest) => ({ ...describeManifest(manifest), annotations }))
  await writeFile(join(dir, 'index.json'), JSON.stringify({ schemaVersion: 2, mediaType: INDEX_TYPE, manifests }))
  await writeFile(join(dir, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
}

describe('spec "Listing Referrers": pages', () => {
  test('more than fit into one answer come in several, each with a Link to the next, and none is lost', async () => {
    const repository = registry.freshName()
    const all = Array.from({ length: 4_500 }, (_, place) =>
      indexOf([], {
        subject,
        artifactType: place % 3 === 0 ? SBOM : SIGNATURE,
        annotations: { place: `${place}`.padEnd(200) },
      }),
    )
    await writeLayout(repository, all)
    for (const [query, wanted, filters] of [
      ['', all, null],
      [`?artifactType=${encodeURIComponent(SIGNATURE)}`, all.filter((_, place) => place % 3 !== 0), 'artifactType'],
    ] as const) {
      const found: Descriptor[] = []
      let pages = 0
      for (let next: string | undefined = query; next !== undefined; pages++) {
        const page = await listReferrers(repository, image.digest, next)
        expect(page.filters).toBe(filters)
        found.push(...page.list)
        if (page.link !== null) expect(page.link).toMatch(/^<[^<>]+>; rel="next"$/)
        next = /^<[^?>]+(\?[^>]+)>/.exec(page.link ?? '')?.[1]
      }
      expect(pages).toBeGreaterThan(1)
      expect(found.map(({ digest }) => digest).sort()).toEqual(sortedDigests(...wanted))
    }
  })
})

describe('spec "Enabling the Referrers API"', () => {
  const referrer = imageOf({ subject, artifactType: SBOM, annotations: { a: 'b' } })
  const fallbackTag = image.digest.replace(':', '-')
  const described = { ...describeManifest(referrer), artifactType: SBOM, annotations: { a: 'b' } }

  test('what a client lists under the fallback tag besides is listed once', async () => {
    const repository = await pushAll(referrer)
    await registry.pushManifest(repository, indexOf([described]), fallbackTag)
    expect((await listReferrers(repository, image.digest)).list).toEqual([described])
  })

  test('the fallback tag is a tag as any other', async () => {
    const repository = await pushAll(referrer)
    const index = indexOf([described])
    await registry.pushManifest(repository, index, fallbackTag)
    const pulled = await registry.get(`/v2/${repository}/manifests/${fallbackTag}`)
    expect(await pulled.bytes()).toEqual(index.bytes)
    expect(await registry.getJson(`/v2/${repository}/tags/list`)).toEqual({ name: repository, tags: [fallbackTag] })
  })

  test('what is there and only the fallback tag names is listed, as its manifest says', async () => {
    const repository = registry.freshName()
    const bare = describeManifest(referrer)
    await writeLayout(repository, [indexOf([{ ...bare, annotations: { stale: 'yes' } }])], [referrer], fallbackTag)
    expect((await listReferrers(repository, image.digest)).list).toEqual([described])
  })

  test('what is not there, or about something else, is not listed, whatever the fallback tag says', async () => {
    const absent = imageOf({ subject, annotations: { not: 'pushed' } })
    const elsewhere = imageOf({ subject: { ...subject, digest: digestOf(bytesOf('x')) } })
    const named = [absent, elsewhere, imageOf(), referrer].map(describeManifest)
    const repository = await pushAll(elsewhere, imageOf(), referrer)
    await registry.pushManifest(repository, indexOf(named), fallbackTag)
    expect((await listReferrers(repository, image.digest)).list).toEqual([described])
  })

  test('a referrer that was deleted is not listed, whatever the fallback tag says', async () => {
    const repository = await pushAll(referrer)
    await registry.pushManifest(repository, indexOf([described]), fallbackTag)
    await expectStatus(await registry.delete(`/v2/${repository}/manifests/${referrer.digest}`), 202)
    expect((await listReferrers(repository, image.digest)).list).toEqual([])
  })

  test('an image under the fallback tag lists nothing', async () => {
    const repository = await pushAll()
    await registry.pushManifest(repository, imageOf(), fallbackTag)
    expect((await listReferrers(repository, image.digest)).list).toEqual([])
  })
})
