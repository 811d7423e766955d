/** A set of documents while it is written: in memory or in a directory that has no name yet. */
import { expect, test } from 'bun:test'
import { mkdir, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { limits } from '../../src/limits.ts'
import { DocumentDraft } from '../../src/storage/document-draft.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { rejection } from '../upstream/fake-send.ts'
import { fill, inPages, keyOf, LARGE, sha256 } from './document-content.ts'

const bytes = async (draft: DocumentDraft, name: string) => {
  const pages: Uint8Array[] = []
  // A page holds until the next one is asked for.
  for await (const page of draft.read(name)) pages.push(Buffer.from(page))
  return Buffer.concat(pages)
}
const text = async (draft: DocumentDraft, name: string) => (await bytes(draft, name)).toString()

async function openPlace() {
  const temp = await openTempDir()
  return { dir: temp.path, path: join(temp.path, keyOf('set')), [Symbol.asyncDispose]: temp[Symbol.asyncDispose] }
}

test('DocumentDraft keeps small documents in memory and touches no disk for them', async () => {
  await using place = await openPlace()
  const draft = new DocumentDraft(join(place.path, 'nowhere', 'set'), () => false)
  for (const [name, content] of [
    ['empty', ''],
    ['small', 'hello'],
    ['at the limit', fill(limits.maxSmallDocumentBytes, 'x')],
  ] as const) {
    await draft.add(name, inPages(content))
    expect(draft.documents.get(name)).toMatchObject({ size: content.length, sha256: sha256(content) })
    expect(await text(draft, name)).toBe(content.toString())
  }
  expect(await draft.commit(async () => true)).toBe(false)
  expect(await readdir(place.dir)).toEqual([])
})

test('DocumentDraft keeps a document of any size in memory when it has no place', async () => {
  const draft = new DocumentDraft(undefined, () => false)
  await draft.add('large', inPages(fill(LARGE, 'x')))
  expect(await text(draft, 'large')).toBe(fill(LARGE, 'x').toString())
  expect(await draft.commit(async () => true)).toBe(false)
})

test('DocumentDraft writes all documents of a set with a large one, and the list of them, readable by their owner', async () => {
  await using place = await openPlace()
  const draft = new DocumentDraft(place.path, () => false)
  const contents = { first: Buffer.from('small'), large: fill(LARGE, 'x'), last: Buffer.from('small too') }
  for (const [name, content] of Object.entries(contents)) {
    await draft.add(name, inPages(content))
    expect(Buffer.compare(await bytes(draft, name), content)).toBe(0)
  }
  expect(draft.documents.get('large')?.content).toBeUndefined()
  const [part] = await readdir(place.dir)
  expect(part).toMatch(/^\.[0-9a-f-]{36}\.part$/)
  expect(await draft.commit(async () => true)).toBe(true)
  expect(await readdir(place.dir)).toEqual([keyOf('set')])
  for (const [name, content] of Object.entries(contents)) {
    const path = join(place.path, name)
    expect(Buffer.compare(await Bun.file(path).bytes(), content)).toBe(0)
    expect((await stat(path)).mode & 0o77).toBe(0)
  }
  const list = Object.entries(contents).map(([name, content]) => [
    name,
    { size: content.length, sha256: sha256(content) },
  ])
  expect(await Bun.file(join(place.path, 'documents.json')).json()).toEqual(Object.fromEntries(list))
})

test('DocumentDraft writes pages of any size one behind the other', async () => {
  await using place = await openPlace()
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: LARGE }), fc.nat(200_000), async (pageBytes, more) => {
      // Pages of a few bytes would take minutes and show nothing new.
      const content = fill(LARGE + more, String(pageBytes))
      const draft = new DocumentDraft(place.path, () => false)
      await draft.add('large', inPages(content, Math.max(pageBytes, 50_000)))
      expect(Buffer.compare(await bytes(draft, 'large'), content)).toBe(0)
      expect(draft.documents.get('large')).toMatchObject({ size: content.length, sha256: sha256(content) })
      await draft.abandon()
    }),
    { numRuns: 10 },
  )
  expect(await readdir(place.dir)).toEqual([])
})

test('DocumentDraft takes each page in before it asks for the next one', async () => {
  await using place = await openPlace()
  for (const path of [undefined, place.path]) {
    const draft = new DocumentDraft(path, () => false)
    const pages = async function* () {
      const page = Buffer.alloc(1_000_000)
      for (const letter of 'abcdefg') yield page.fill(letter)
    }
    await draft.add('large', pages())
    const wanted = Buffer.concat(Array.from('abcdefg', (letter) => Buffer.alloc(1_000_000, letter)))
    expect(Buffer.compare(await bytes(draft, 'large'), wanted)).toBe(0)
    await draft.abandon()
  }
})

test('DocumentDraft has nothing of a document that was never written', async () => {
  expect(await rejection(bytes(new DocumentDraft(undefined, () => false), 'index.yaml'))).toBeInstanceOf(TypeError)
})

test('DocumentDraft leaves nothing behind when it is abandoned, twice too', async () => {
  await using place = await openPlace()
  const draft = new DocumentDraft(place.path, () => false)
  await draft.add('large', inPages(fill(LARGE, 'x')))
  await draft.abandon()
  await draft.abandon()
  expect(await readdir(place.dir)).toEqual([])
})

test('DocumentDraft passes on what a source throws, and closes what it wrote to', async () => {
  await using place = await openPlace()
  const draft = new DocumentDraft(place.path, () => false)
  const broken = async function* () {
    yield* inPages(fill(LARGE, 'x'))
    throw new Error('no more')
  }
  expect(await rejection(draft.add('large', broken()))).toMatchObject({ message: 'no more' })
  await draft.abandon()
  expect([draft.documents.size, await readdir(place.dir)]).toEqual([0, []])
})

test('DocumentDraft gives way to a set that got its name before it', async () => {
  await using place = await openPlace()
  const drafts = [new DocumentDraft(place.path, () => false), new DocumentDraft(place.path, () => false)]
  for (const draft of drafts) await draft.add('large', inPages(fill(LARGE, 'x')))
  for (const draft of drafts) expect(await draft.commit(async () => true)).toBe(true)
  expect([await readdir(place.dir), (await readdir(place.path)).sort()]).toEqual([
    [keyOf('set')],
    ['documents.json', 'large'],
  ])
})

test('DocumentDraft takes the place of an empty directory', async () => {
  await using place = await openPlace()
  await mkdir(place.path)
  const draft = new DocumentDraft(place.path, () => false)
  await draft.add('large', inPages(fill(LARGE, 'x')))
  expect(await draft.commit(async () => true)).toBe(true)
  expect((await readdir(place.path)).sort()).toEqual(['documents.json', 'large'])
})
