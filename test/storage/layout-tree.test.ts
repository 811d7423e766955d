/** Which repositories there are, and which directory each one has: never one outside of the root. */
import { afterEach, describe, expect, setSystemTime, test } from 'bun:test'
import { mkdir, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { LayoutTree } from '../../src/storage/layout-tree.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { blobPath, config, putLayout } from './layout-content.ts'

afterEach(() => void setSystemTime())

async function openStage(...repositories: readonly string[]) {
  const temp = await openTempDir()
  const root = join(temp.path, 'root')
  await mkdir(join(root, '.uploads'), { recursive: true })
  const put = (repository: string) => putLayout(join(root, repository), [], [])
  for (const repository of repositories) await put(repository)
  const tree = new LayoutTree(root, () => undefined)
  return { outside: temp.path, root, tree, put, [Symbol.asyncDispose]: temp[Symbol.asyncDispose] }
}

describe('list', () => {
  test('finds layouts at any depth, also within each other, in byte order', async () => {
    await using stage = await openStage('b', 'a/b/c', 'a', 'a-b', 'a/b/c/d/e')
    expect(await stage.tree.list()).toEqual(['a', 'a-b', 'a/b/c', 'a/b/c/d/e', 'b'])
  })

  test('leaves out what is half a layout, and what no repository can be called', async () => {
    await using stage = await openStage(
      'good',
      'no-index',
      'no-mark',
      'Upper',
      '.hidden',
      'a..b',
      'a/blobs',
      'b/index.json',
    )
    await unlink(join(stage.root, 'no-index', 'index.json'))
    await unlink(join(stage.root, 'no-mark', 'oci-layout'))
    await putLayout(stage.root, [], [])
    await writeFile(join(stage.root, 'file'), '')
    expect(await stage.tree.list()).toEqual(['good'])
  })

  test('leaves out names that are too long to ask for', async () => {
    const long = Array.from({ length: 5 }, () => 'x'.repeat(50)).join('/')
    await using stage = await openStage(long, `${long}/y`, `${long}/yy`)
    expect([long.length, await stage.tree.list()]).toEqual([254, [long]])
    await rename(join(stage.root, long.slice(0, 50)), join(stage.root, 'x'))
    expect((await stage.tree.list()).length).toBe(3)
  })

  test('follows no symbolic links', async () => {
    await using stage = await openStage('good')
    await putLayout(join(stage.outside, 'elsewhere'), [], [])
    await symlink(join(stage.outside, 'elsewhere'), join(stage.root, 'link'))
    await symlink(stage.root, join(stage.root, 'good', 'loop'))
    await symlink('self', join(stage.root, 'self'))
    expect(await stage.tree.list()).toEqual(['good'])
  })

  test('sees what other tools make and remove', async () => {
    await using stage = await openStage('a/one')
    expect(await stage.tree.list()).toEqual(['a/one'])
    setSystemTime(Date.now() + 1000)
    expect(await stage.tree.list()).toEqual(['a/one'])
    setSystemTime()
    await stage.put('a/two')
    await unlink(join(stage.root, 'a/one/oci-layout'))
    expect(await stage.tree.list()).toEqual(['a/two'])
    await rm(join(stage.root, 'a'), { recursive: true })
    expect(await stage.tree.list()).toEqual([])
  })

  test('of a root that is gone is empty', async () => {
    await using stage = await openStage('a')
    await rm(stage.root, { recursive: true })
    expect(await stage.tree.list()).toEqual([])
  })

  test('of a tree that changes while it is read has what stayed', async () => {
    const names = Array.from({ length: 50 }, (_, i) => `r${i}`)
    await using stage = await openStage('stays', ...names)
    const listing = stage.tree.list()
    await Promise.all(names.map((name) => rm(join(stage.root, name), { recursive: true })))
    expect(await listing).toContain('stays')
    expect(await stage.tree.list()).toEqual(['stays'])
  })
})

describe('layout', () => {
  test.each([
    '',
    '.',
    '..',
    '../elsewhere',
    'a/../../elsewhere',
    '/etc',
    'a//b',
    'a/',
    'a\\b',
    'a\0b',
    'A',
    '.uploads',
    '.lock',
    'a/.b',
    'blobs',
    'a/blobs',
    'a/blobs/sha256',
    'b/index.json',
    'a/index.json',
    'oci-layout',
    'a/oci-layout/b',
    'x'.repeat(256),
  ])('%p names none', async (name) => {
    await using stage = await openStage()
    expect(() => stage.tree.layout(name)).toThrow(expect.objectContaining({ code: 'NAME_INVALID' }))
    expect(stage.tree.isName(name)).toBe(false)
  })

  test.each(['a', 'blobs-2', 'my-blobs/index.json5', 'oci-layouts', 'a__b/c.d-e', 'uploads', 'manifests/tags'])(
    '%p is below the root',
    async (name) => {
      await using stage = await openStage()
      expect(stage.tree.isName(name)).toBe(true)
      expect(stage.tree.layout(name).blobPath(config.digest)).toBe(blobPath(join(stage.root, name), config.digest))
    },
  )

  test('is the same object for as long as it is kept', async () => {
    await using stage = await openStage()
    expect(stage.tree.layout('a')).not.toBe(stage.tree.layout('a'))
    const kept = stage.tree.keep('a')
    expect(stage.tree.layout('a')).toBe(kept)
    expect(stage.tree.keep('a', stage.tree.layout('b'))).toBe(kept)
  })
})

describe('use', () => {
  test('forgets a repository of which nothing came', async () => {
    await using stage = await openStage()
    const first = await stage.tree.use('a', async (layout) => layout)
    expect(stage.tree.layout('a')).not.toBe(first)
    await stage.tree.use('a', () => Promise.reject(new Error('no'))).catch(() => undefined)
    const made = await stage.tree.use('a', async (layout) => {
      await layout.make()
      return layout
    })
    expect(stage.tree.layout('a')).toBe(made)
  })

  test('gives all who are at work at once the same one', async () => {
    await using stage = await openStage()
    const gate = Promise.withResolvers<void>()
    const first = stage.tree.use('a', async (layout) => {
      await gate.promise
      return layout
    })
    const second = await stage.tree.use('a', async (layout) => layout)
    const third = await stage.tree.use('a', async (layout) => layout)
    gate.resolve()
    expect([second, third]).toEqual([await first, await first])
    expect(second).toBe(await first)
    expect(third).toBe(second)
  })
})
