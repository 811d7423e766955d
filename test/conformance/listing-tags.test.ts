/** Distribution spec 1.1, "Listing Tags", and the catalog of CNCF distribution, which pages as tags do. */
import { beforeAll, describe, expect, test } from 'bun:test'
import { imageOf, someBytes } from './manifest-content.ts'
import { expectError, expectStatus, openRegistryClient } from './registry-client.ts'

const registry = openRegistryClient()
const image = imageOf()

interface Page {
  readonly names: readonly string[]
  /** The address of the next page. */
  readonly next: string | undefined
}

/** One page of a list whose names are in `field`. */
async function getPage(path: string, field: 'tags' | 'repositories'): Promise<Page> {
  const answer = await registry.get(path)
  await expectStatus(answer, 200)
  expect(answer.headers.get('content-type')).toMatch(/^application\/json/)
  const body = (await answer.json()) as Readonly<Record<string, readonly string[]>>
  const link = answer.headers.get('link')
  if (link !== null) expect(link).toMatch(/^<[^<>]+>; rel="next"$/)
  const target = /^<([^>]+)>/.exec(link ?? '')?.[1]
  return { names: body[field] ?? [], next: target && new URL(target, answer.url).href }
}

/** All pages, from `path` on along the links. */
async function followPages(path: string, field: 'tags' | 'repositories'): Promise<readonly (readonly string[])[]> {
  const pages: (readonly string[])[] = []
  for (let next: string | undefined = path; next !== undefined; ) {
    const page: Page = await getPage(next, field)
    pages.push(page.names)
    next = page.next
  }
  return pages
}

describe('spec "Listing Tags"', () => {
  const repository = registry.freshName()
  const path = `/v2/${repository}/tags/list`
  /** In byte order. */
  const tags = ['0', '1.0.0', '1.0.0-rc.1', '1.10.0', '1.2.0', 'A', 'B', 'Z', '_', 'a', 'a-b', 'a.b', 'a_b', 'b', 'z']

  beforeAll(async () => {
    for (const tag of tags.toReversed()) await registry.pushManifest(repository, image, tag)
  })

  test('all tags in byte order, with the name of the repository', async () => {
    const answer = await registry.get(path)
    expect(answer.headers.get('link')).toBeNull()
    expect(await answer.json()).toEqual({ name: repository, tags })
  })

  test.each([1, 2, 4, 7, 14])('n=%d gives so many, and Link leads through all of them', async (n) => {
    const pages = await followPages(`${path}?n=${n}`, 'tags')
    expect(pages.flat()).toEqual(tags)
    expect(pages.slice(0, -1).every((page) => page.length === n)).toBe(true)
    expect(pages.at(-1)).toHaveLength(tags.length % n || n)
  })

  test.each([15, 16, 1_000, 999_999_999])('n=%d, which is all of them or more, gives all and no Link', async (n) => {
    expect(await getPage(`${path}?n=${n}`, 'tags')).toEqual({ names: tags, next: undefined })
  })

  test('n=0 gives none and no Link', async () => {
    for (const query of ['?n=0', '?n=0&last=A']) {
      expect(await getPage(path + query, 'tags')).toEqual({ names: [], next: undefined })
    }
    expect(await registry.getJson(`${path}?n=0`)).toEqual({ name: repository, tags: [] })
  })

  test.each(tags)('last=%s gives those behind it', async (last) => {
    const behind = tags.slice(tags.indexOf(last) + 1)
    expect((await getPage(`${path}?last=${last}`, 'tags')).names).toEqual(behind)
    expect((await getPage(`${path}?n=3&last=${last}`, 'tags')).names).toEqual(behind.slice(0, 3))
  })

  test.each([
    ['-', tags],
    ['1.0.1', tags.slice(3)],
    ['C', tags.slice(7)],
    ['zz', []],
    ['', tags],
  ])('last=%p, which is no tag there, gives those that would come behind it', async (last, behind) => {
    expect(await getPage(`${path}?last=${last}`, 'tags')).toEqual({ names: behind, next: undefined })
  })

  test('a page that ends with the last tag has no Link', async () => {
    expect(await getPage(`${path}?n=2&last=a_b`, 'tags')).toEqual({ names: ['b', 'z'], next: undefined })
    expect(await getPage(`${path}?n=2&last=z`, 'tags')).toEqual({ names: [], next: undefined })
  })

  test.each(['-1', 'x', '1.5', '', '1e3', '0x10', ' ', '99999999999999999999'])('n=%p is 400', async (n) => {
    await expectError(await registry.get(`${path}?n=${n}`), 400, 'UNSUPPORTED')
  })

  test('a repository that has no tags has an empty list', async () => {
    const [blobs, manifests] = [registry.freshName(), registry.freshName()]
    await registry.pushBlob(blobs, someBytes(10))
    await registry.pushManifest(manifests, image)
    for (const name of [blobs, manifests]) {
      expect(await registry.getJson(`/v2/${name}/tags/list`)).toEqual({ name, tags: [] })
    }
  })

  test('a repository that is not there is 404', async () => {
    await expectError(await registry.get(`/v2/${registry.freshName()}/tags/list`), 404, 'NAME_UNKNOWN')
    await expectError(await registry.get(`/v2/conformance/tags/list`), 404, 'NAME_UNKNOWN')
    await expectError(await registry.get('/v2/Upper/tags/list'), 400, 'NAME_INVALID')
  })

  test('a tag is in the list as soon as its push was answered, and not once its deletion was', async () => {
    const name = registry.freshName()
    for (const tag of ['c', 'a', 'b']) {
      await registry.pushManifest(name, image, tag)
      expect((await getPage(`/v2/${name}/tags/list`, 'tags')).names).toContain(tag)
    }
    for (const tag of ['b', 'c', 'a']) {
      await expectStatus(await registry.delete(`/v2/${name}/manifests/${tag}`), 202)
      expect((await getPage(`/v2/${name}/tags/list`, 'tags')).names).not.toContain(tag)
    }
  })
})

describe('the catalog of repositories', () => {
  const names = ['catalog/0', 'catalog/a', 'catalog/a-b', 'catalog/a.b', 'catalog/a/b', 'catalog/a_b', 'catalog/b']

  beforeAll(async () => {
    for (const name of names.toReversed()) await registry.pushManifest(name, image, 'latest')
  })

  test('all repositories in byte order', async () => {
    const { names: all } = await getPage('/v2/_catalog', 'repositories')
    expect(all).toEqual(all.toSorted())
    expect(all.filter((name) => name.startsWith('catalog/'))).toEqual(names)
  })

  test.each([1, 3, 5])('n=%d gives so many, and Link leads through all of them', async (n) => {
    const { names: all } = await getPage('/v2/_catalog', 'repositories')
    const pages = await followPages(`/v2/_catalog?n=${n}`, 'repositories')
    expect(pages.flat()).toEqual([...all])
    expect(pages.slice(0, -1).every((page) => page.length === n)).toBe(true)
  })

  test('n=0 gives none, last those behind it, whether it is there or not', async () => {
    expect(await getPage('/v2/_catalog?n=0', 'repositories')).toEqual({ names: [], next: undefined })
    const { names: behind } = await getPage('/v2/_catalog?last=catalog/a.b&n=2', 'repositories')
    expect(behind).toEqual(['catalog/a/b', 'catalog/a_b'])
    const { names: others } = await getPage('/v2/_catalog?last=catalog/a.c&n=1', 'repositories')
    expect(others).toEqual(['catalog/a/b'])
  })

  test.each(['-1', 'x', ''])('n=%p is 400', async (n) => {
    await expectError(await registry.get(`/v2/_catalog?n=${n}`), 400, 'UNSUPPORTED')
  })

  test('a repository that is only asked for, or whose upload only began, is not in it', async () => {
    const [asked, begun] = [registry.freshName(), registry.freshName()]
    await registry.get(`/v2/${asked}/tags/list`)
    await registry.beginUpload(begun)
    const { names: all } = await getPage('/v2/_catalog', 'repositories')
    expect(all).not.toContain(asked)
    expect(all).not.toContain(begun)
  })
})
