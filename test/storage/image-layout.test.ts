/** One repository on disk: always a valid layout, changed by many at once, and by other tools at any time. */
import { afterEach, describe, expect, setSystemTime, test } from 'bun:test'
import { copyFile, mkdir, readdir, readFile, rm, stat, unlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runCommand } from '../stand/child.ts'
import { waitFor } from '../stand/wait-for.ts'
import { rejection } from '../upstream/fake-send.ts'
import { makeBlob } from './blob-content.ts'
import {
  blobPath,
  config,
  describe as describeManifest,
  descriptor,
  makeImage,
  namesIn,
  openLayoutStage,
  putLayout,
  readDescriptors,
} from './layout-content.ts'

const [one, two] = [makeImage([makeBlob('1')]), makeImage([makeBlob('2')])]
const push = (manifest: typeof one, ...tags: readonly string[]) => ({
  add: { manifest: describeManifest(manifest), tags },
})

afterEach(() => void setSystemTime())

describe('a change', () => {
  test('makes the directory a layout, and leaves nothing else behind', async () => {
    await using stage = await openLayoutStage()
    expect(await stage.layout.read()).toBeUndefined()
    expect(await stage.layout.change(push(one, 'v1'))).toBe(true)
    expect(await namesIn(stage.dir)).toEqual(['blobs', 'index.json', 'oci-layout'])
    expect(JSON.parse(await readFile(join(stage.dir, 'oci-layout'), 'utf8'))).toEqual({ imageLayoutVersion: '1.0.0' })
    expect(await readDescriptors(stage.dir)).toEqual([descriptor(one, 'v1')])
    expect(await namesIn(stage.draftsDir)).toEqual([])
  })

  test('is told to the listener before whoever asked for it', async () => {
    await using stage = await openLayoutStage()
    const changing = stage.layout.change(push(one, 'v1')).then(() => stage.heard.length)
    expect(await changing).toBe(1)
    expect(stage.heard).toEqual([{ before: {}, after: { v1: one.digest } }])
  })

  test('that changes nothing writes nothing, and is told to nobody', async () => {
    await using stage = await openLayoutStage()
    await stage.layout.change(push(one, 'v1'))
    const { ino } = await stat(join(stage.dir, 'index.json'))
    expect(await stage.layout.change(push(one, 'v1'))).toBe(false)
    expect(await stage.layout.change({ removeTag: 'v2' })).toBe(false)
    expect((await stat(join(stage.dir, 'index.json'))).ino).toBe(ino)
    expect(stage.heard).toHaveLength(1)
  })

  test('is written together with others that come meanwhile, and each caller hears of its own', async () => {
    await using stage = await openLayoutStage()
    const tags = Array.from({ length: 50 }, (_, i) => `v${i}`)
    const changed = await Promise.all([
      ...tags.map((tag) => stage.layout.change(push(one, tag))),
      stage.layout.change(push(one, 'v0')),
      stage.layout.change({ removeTag: 'v1' }),
      stage.layout.change({ removeTag: 'v1' }),
      stage.layout.change({ removeTag: 'none' }),
      stage.layout.change(push(two, 'v2')),
    ])
    expect(changed).toEqual([...tags.map(() => true), false, true, false, false, true])
    expect(stage.heard.length).toBeLessThanOrEqual(2)
    const index = await stage.layout.read()
    expect(index?.tags.size).toBe(49)
    expect(index?.tags.get('v2')?.digest).toBe(two.digest)
  })

  test('that cannot be written fails all who asked for it, and the next one can be', async () => {
    await using stage = await openLayoutStage()
    await rm(stage.draftsDir, { recursive: true })
    const changes = ['v1', 'v2', 'v3'].map((tag) => rejection(stage.layout.change(push(one, tag))))
    for (const error of await Promise.all(changes)) expect(error).toMatchObject({ code: 'ENOENT' })
    expect(stage.heard).toEqual([])
    await mkdir(stage.draftsDir)
    expect(await stage.layout.change(push(one, 'v4'))).toBe(true)
    expect(await readDescriptors(stage.dir)).toEqual([descriptor(one, 'v4')])
  })

  test('waits for who works alone, and is not lost', async () => {
    await using stage = await openLayoutStage()
    const order: string[] = []
    const gate = Promise.withResolvers<void>()
    const alone = stage.layout.runAlone(async () => {
      await gate.promise
      order.push('alone')
      return 'done'
    })
    const changing = stage.layout.change(push(one, 'v1')).then(() => order.push('changed'))
    gate.resolve()
    expect(await alone).toBe('done')
    await changing
    expect(order).toEqual(['alone', 'changed'])
  })

  test('is made although who worked alone before it failed', async () => {
    await using stage = await openLayoutStage()
    const alone = rejection(stage.layout.runAlone(() => Promise.reject(new Error('no'))))
    expect(await stage.layout.change(push(one, 'v1'))).toBe(true)
    expect(await alone).toMatchObject({ message: 'no' })
  })
})

describe('what another tool writes', () => {
  test('is seen when it takes the place of what was written here, and is the base of the next change', async () => {
    await using stage = await openLayoutStage()
    await stage.layout.change(push(one, 'v1'))
    await putLayout(stage.dir, [], [descriptor(two, 'theirs')])
    expect([...((await stage.layout.read())?.tags.keys() ?? [])]).toEqual(['theirs'])
    await stage.layout.change(push(one, 'v2'))
    expect(await readDescriptors(stage.dir)).toEqual([descriptor(two, 'theirs'), descriptor(one, 'v2')])
  })

  test('into the same file, as long as before and at the same time, is seen once that time is over', async () => {
    await using stage = await openLayoutStage()
    const path = join(stage.dir, 'index.json')
    await stage.layout.change(push(one, 'v1'))
    await stage.layout.read()
    const old = join(stage.dir, 'old')
    await runCommand(['cp', '-p', path, old])
    await writeFile(path, (await readFile(path, 'utf8')).replace('"v1"', '"v2"'))
    await runCommand(['touch', '-r', old, path])
    await waitFor('the other tag', async () => (await stage.layout.read())?.tags.has('v2'))
    expect((await stage.layout.read())?.tags.has('v1')).toBe(false)
  })

  test('while the file is being read is seen, although it is as long and of the same time', async () => {
    await using stage = await openLayoutStage()
    await putLayout(stage.dir, [], [descriptor(one, 'v1')])
    const path = join(stage.dir, 'index.json')
    const at = Math.floor(Date.now() / 1000)
    await utimes(path, at, at)
    setSystemTime(at * 1000 + 1)
    const first = stage.layout.read()
    // The reading takes this long.
    setSystemTime(at * 1000 + 100)
    expect((await first)?.tags.has('v1')).toBe(true)
    await putLayout(stage.dir, [], [descriptor(one, 'v2')])
    await utimes(path, at, at)
    expect((await stage.layout.read())?.tags.has('v2')).toBe(true)
  })

  test('is not read again while it stays as it is: the index is the same object', async () => {
    await using stage = await openLayoutStage()
    await stage.layout.change(push(one, 'v1'))
    const written = await stage.layout.read()
    await putLayout(join(stage.dir, 'other'), [], [])
    setSystemTime(Date.now() + 1000)
    expect(await stage.layout.read()).toBe(written)
    expect(await stage.layout.read()).toBe(written)
  })

  test.each(['', '{', '[]', '{"schemaVersion":2}', '\0\0\0'])(
    'an index.json that is %p is damaged, and is not overwritten',
    async (text) => {
      await using stage = await openLayoutStage()
      await stage.layout.change(push(one, 'v1'))
      await writeFile(join(stage.dir, 'index.json'), text)
      expect(await rejection(stage.layout.read())).toMatchObject({ code: 'LAYOUT_DAMAGED' })
      expect(await rejection(stage.layout.change(push(two, 'v2')))).toMatchObject({ code: 'LAYOUT_DAMAGED' })
      expect(await readFile(join(stage.dir, 'index.json'), 'utf8')).toBe(text)
      await putLayout(stage.dir, [], [])
      expect(await stage.layout.change(push(two, 'v2'))).toBe(true)
    },
  )

  test('a directory in the place of index.json is damage', async () => {
    await using stage = await openLayoutStage()
    await putLayout(stage.dir, [], [])
    await unlink(join(stage.dir, 'index.json'))
    await mkdir(join(stage.dir, 'index.json'))
    expect(await rejection(stage.layout.read())).toMatchObject({ code: 'LAYOUT_DAMAGED' })
  })

  test('index.json without oci-layout is no layout, and the push that makes it one keeps what it names', async () => {
    await using stage = await openLayoutStage()
    await putLayout(stage.dir, [], [descriptor(one, 'theirs')])
    await unlink(join(stage.dir, 'oci-layout'))
    expect(await stage.layout.read()).toBeUndefined()
    await stage.layout.change(push(two, 'v2'))
    expect([...((await stage.layout.read())?.tags.keys() ?? [])]).toEqual(['theirs', 'v2'])
  })

  test('oci-layout without index.json is no layout either, and a push makes it one', async () => {
    await using stage = await openLayoutStage()
    await putLayout(stage.dir, [], [])
    await unlink(join(stage.dir, 'index.json'))
    expect(await stage.layout.read()).toBeUndefined()
    await stage.layout.writeBlob(one.digest, one.bytes)
    await stage.layout.change(push(one, 'v1'))
    expect((await stage.layout.read())?.tags.get('v1')?.digest).toBe(one.digest)
  })

  test('a repository that is removed while the server runs is gone, and can be pushed to again', async () => {
    await using stage = await openLayoutStage()
    await stage.layout.change(push(one, 'v1'))
    await rm(stage.dir, { recursive: true })
    expect(await stage.layout.read()).toBeUndefined()
    await stage.layout.change(push(two, 'v2'))
    expect(await readDescriptors(stage.dir)).toEqual([descriptor(two, 'v2')])
  })
})

describe('blobs', () => {
  test.each(['sha256', 'sha512'] as const)('of %s are at their places, and nothing else is one', async (algorithm) => {
    await using stage = await openLayoutStage()
    const blob = makeBlob('hello', algorithm)
    await stage.layout.writeBlob(blob.digest, blob.bytes)
    expect(await readFile(blobPath(stage.dir, blob.digest), 'utf8')).toBe('hello')
    await writeFile(join(stage.dir, 'blobs', algorithm, 'notes.txt'), '')
    expect(await stage.layout.listBlobs()).toEqual([blob.digest])
    expect(await namesIn(stage.draftsDir)).toEqual([])
  })

  test('come back when another tool has removed their directory', async () => {
    await using stage = await openLayoutStage()
    await stage.layout.writeBlob(config.digest, config.bytes)
    await rm(join(stage.dir, 'blobs'), { recursive: true })
    expect(await stage.layout.listBlobs()).toEqual([])
    await stage.layout.writeBlob(config.digest, config.bytes)
    expect(await stage.layout.listBlobs()).toEqual([config.digest])
  })

  test('many first ones at once make one layout', async () => {
    await using stage = await openLayoutStage()
    const blobs = Array.from({ length: 20 }, (_, i) => makeBlob(`blob ${i}`))
    await Promise.all(blobs.map(({ digest, bytes }) => stage.layout.writeBlob(digest, bytes)))
    expect(await stage.layout.listBlobs()).toHaveLength(20)
    expect((await stage.layout.read())?.manifests.size).toBe(0)
  })

  test('that cannot be put in their place leave no draft', async () => {
    await using stage = await openLayoutStage()
    await stage.layout.make()
    await mkdir(join(blobPath(stage.dir, config.digest), 'in the way'), { recursive: true })
    expect(await rejection(stage.layout.writeBlob(config.digest, config.bytes))).toMatchObject({ syscall: 'rename' })
    expect(await namesIn(stage.draftsDir)).toEqual([])
  })
})

test('a crash at any point of the first push leaves what the next one goes on from', async () => {
  await using whole = await openLayoutStage()
  await whole.layout.writeBlob(one.digest, one.bytes)
  await whole.layout.change(push(one, 'v1'))
  const files = (await readdir(whole.dir, { recursive: true, withFileTypes: true })).filter((each) => each.isFile())
  // The order in which they come: a blob's directory, an empty index, what makes it a layout, the blob, the index.
  for (const there of [[], ['index.json'], ['index.json', 'oci-layout']]) {
    await using stage = await openLayoutStage()
    await mkdir(join(stage.dir, 'blobs', 'sha256'), { recursive: true })
    for (const name of there) await copyFile(join(whole.dir, name), join(stage.dir, name))
    if (there.length > 0) await writeFile(join(stage.dir, 'index.json'), '{"schemaVersion":2,"manifests":[]}')
    await stage.layout.writeBlob(one.digest, one.bytes)
    await stage.layout.change(push(one, 'v1'))
    expect(await readDescriptors(stage.dir)).toEqual(await readDescriptors(whole.dir))
  }
  expect(files.map(({ name }) => name).sort()).toEqual([one.digest.slice(7), 'index.json', 'oci-layout'].sort())
})
