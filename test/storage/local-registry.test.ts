/** The embedded registry as a whole: one directory, one server, and what is damaged harms only itself. */
import { describe, expect, test } from 'bun:test'
import { chmod, chown, mkdir, readdir, stat, symlink, unlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { limits } from '../../src/limits.ts'
import { LocalRegistry } from '../../src/storage/local-registry.ts'
import { FakeClock } from '../lib/fake-clock.ts'
import { openChild, runCommand } from '../stand/child.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { waitFor } from '../stand/wait-for.ts'
import { captureLog } from '../telemetry/captured-log.ts'
import { rejection } from '../upstream/fake-send.ts'
import { makeBlob, streamOf, type TestBlob } from './blob-content.ts'
import {
  blobPath,
  config,
  descriptor,
  makeImage,
  makeIndex,
  namesIn,
  putLayout,
  type TestManifest,
} from './layout-content.ts'

const DELAY_MS = 3_600_000
const READ_ONLY = 'directory of the registry cannot be written; what is in it is served, and pushes are refused'
const layer = makeBlob('layer')
const image = makeImage([layer])
const script = join(import.meta.dir, 'registry-process.ts')

async function openStage({ sweepDelayMs = DELAY_MS } = {}) {
  const temp = await openTempDir()
  const root = join(temp.path, 'data')
  const log = captureLog()
  const clock = new FakeClock({ now: Date.now() })
  const opened: LocalRegistry[] = []
  const open = async () => {
    const registry = await LocalRegistry.open({ root, sweepIntervalMs: 1000, sweepDelayMs, clock, log })
    opened.push(registry)
    return registry
  }
  const registry = await open()
  return {
    root,
    log,
    clock,
    open,
    registry,
    dir: (repository: string) => join(root, repository),
    pushBlob: async (repository: string, { bytes, digest }: TestBlob) => {
      const { id } = await registry.beginUpload(repository, 'sha256')
      await registry.finishUpload(repository, id, { body: streamOf(bytes), start: 0, length: undefined, digest })
    },
    push: (repository: string, manifest: TestManifest, ...tags: readonly string[]) =>
      registry.writeManifest(repository, { ...manifest, digest: undefined, tags }),
    age: async (repository: string, ageMs: number, ...blobs: readonly TestBlob[]) => {
      const at = (clock.now() - ageMs) / 1000
      for (const { digest } of blobs) await utimes(blobPath(join(root, repository), digest), at, at)
    },
    [Symbol.asyncDispose]: async () => {
      for (const each of opened) await each.close()
      await temp[Symbol.asyncDispose]()
    },
  }
}

describe('a directory', () => {
  test('has one server: a second one is refused until the first is closed', async () => {
    await using stage = await openStage()
    for (let i = 0; i < 2; i++) {
      expect(await rejection(stage.open())).toMatchObject({
        code: 'CONFIG_INVALID',
        message: 'is in use by another server',
      })
    }
    await stage.registry.close()
    expect(await (await stage.open()).sortedRepositories()).toEqual([])
  })

  test('has one server, also of other processes, and is free when that one is killed', async () => {
    await using stage = await openStage()
    const second = await runCommand([process.execPath, script, 'push', stage.root])
    expect(JSON.parse(second.stdout)).toMatchObject({ opened: 'CONFIG_INVALID' })
    await stage.registry.close()
    await using child = openChild([process.execPath, script, 'hold', stage.root])
    await waitFor('the other server', () => child.stdout().includes('opened'))
    expect(await rejection(stage.open())).toMatchObject({ code: 'CONFIG_INVALID' })
    child.kill()
    await child.exited
    await stage.open()
  })

  test('is rid of the uploads of an earlier run', async () => {
    await using stage = await openStage()
    const { id } = await stage.registry.beginUpload('demo', 'sha256')
    const chunk = { body: streamOf(layer.bytes), start: undefined, length: undefined }
    await stage.registry.appendChunk('demo', id, chunk)
    expect(await namesIn(stage.dir('.uploads'))).toEqual([id])
    await stage.registry.close()
    const next = await stage.open()
    expect(await namesIn(stage.dir('.uploads'))).toEqual([])
    expect(() => next.uploadProgress('demo', id)).toThrow(expect.objectContaining({ code: 'UPLOAD_UNKNOWN' }))
  })

  test('that is a file cannot be one', async () => {
    await using temp = await openTempDir()
    const root = join(temp.path, 'file')
    await writeFile(root, '')
    const options = { sweepIntervalMs: 0, sweepDelayMs: 0, clock: new FakeClock(), log: captureLog() }
    for (const each of [root, join(root, 'below')])
      expect(await rejection(LocalRegistry.open({ root: each, ...options }))).toMatchObject({ code: 'CONFIG_INVALID' })
  })

  test('in which uploads cannot be kept is served, and gives its lock back', async () => {
    await using temp = await openTempDir()
    await putLayout(join(temp.path, 'demo'), [image], [descriptor(image, 'v1')])
    await writeFile(join(temp.path, '.uploads'), 'in the way')
    const options = { root: temp.path, sweepIntervalMs: 0, sweepDelayMs: 0, clock: new FakeClock() }
    const log = captureLog()
    for (let i = 0; i < 2; i++) {
      const registry = await LocalRegistry.open({ ...options, log })
      expect(await registry.sortedTags('demo')).toEqual(['v1'])
      const pushing = registry.writeManifest('demo', { ...image, digest: undefined, tags: ['v2'] })
      expect(await rejection(pushing)).toMatchObject({ code: 'STORAGE_DENIED' })
    }
    expect(log.messages()).toEqual([READ_ONLY, READ_ONLY])
  })

  test.each(['never written by a server', 'that a server has now', 'that a server has left'])(
    'that may only be read, %s: it is served, and pushes are refused',
    async (state) => {
      await using stage = await openStage()
      for (const repository of ['demo', 'closed', 'half-closed/below'])
        await putLayout(stage.dir(repository), [image, layer], [descriptor(image, 'v1')])
      if (!state.includes('has now')) await stage.registry.close()
      if (state.startsWith('never')) {
        await unlink(stage.dir('.lock'))
        await runCommand(['rmdir', stage.dir('.uploads')])
      }
      const all = await readdir(stage.root, { recursive: true, withFileTypes: true })
      const directories = [
        stage.root,
        ...all.filter((each) => each.isDirectory()).map((each) => join(each.parentPath, each.name)),
      ]
      // What is above comes first: it has to be open for what is below.
      directories.sort()
      for (const each of all) if (each.isFile()) await chmod(join(each.parentPath, each.name), 0o444)
      for (const each of directories) await chmod(each, 0o555)
      await chmod(join(stage.root, '..'), 0o755)
      await chmod(stage.dir('closed'), 0o000)
      await chmod(stage.dir('half-closed'), 0o444)
      const { code, stdout, stderr } = await runCommand([process.execPath, script, 'push-as-nobody', stage.root])
      for (const each of directories) await chmod(each, 0o755)
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      expect(JSON.parse(stdout)).toEqual({
        opened: 'yes',
        log: [READ_ONLY],
        repositories: ['demo'],
        tags: ['v1'],
        layer: 'layer',
        head: layer.size,
        refused: Array.from({ length: 6 }, () => 'STORAGE_DENIED'),
      })
    },
  )
})

describe('one repository that is damaged', () => {
  test.each([
    ['index.json', 'not json'],
    ['index.json', '{"schemaVersion":2,"manifests":[1]}'],
  ])('%s with %p: it is said of that one, and others are served', async (name, text) => {
    await using stage = await openStage()
    await stage.push('good', image, 'v1')
    await stage.push('bad', image, 'v1')
    await writeFile(join(stage.dir('bad'), name), text)
    expect(await stage.registry.sortedRepositories()).toEqual(['bad', 'good'])
    for (const work of [
      () => stage.registry.sortedTags('bad'),
      () => stage.registry.findManifest('bad', 'v1'),
      () => stage.push('bad', image, 'v2'),
      () => stage.registry.removeTag('bad', 'v1'),
      () => Array.fromAsync(stage.registry.listReferrers('bad', image.digest)),
    ])
      expect(await rejection(work())).toMatchObject({ code: 'LAYOUT_DAMAGED' })
    expect(await stage.registry.sortedTags('good')).toEqual(['v1'])
    await stage.push('good', image, 'v2')
  })

  test('is left alone by the sweep, which says so, and tidies up the others', async () => {
    await using stage = await openStage()
    for (const repository of ['a', 'bad', 'c']) await stage.pushBlob(repository, layer)
    await stage.push('bad', image, 'v1')
    await writeFile(blobPath(stage.dir('bad'), image.digest), 'x')
    for (const repository of ['a', 'bad', 'c']) await stage.age(repository, DELAY_MS * 2, layer)
    // Another server, which does not know the manifest.
    await stage.registry.close()
    const next = await stage.open()
    await next.sweep()
    const sizes = await Promise.all(['a', 'bad', 'c'].map((repository) => next.statBlob(repository, layer.digest)))
    expect(sizes).toEqual([undefined, layer.size, undefined])
    expect(stage.log.messages('warn')).toEqual(['unused blobs are left where they are'])
    expect(stage.log.messages('info')).toEqual(['unused blobs removed'])
  })

  test('in its manifest: that is damaged, and what is not there is not', async () => {
    await using stage = await openStage()
    await putLayout(stage.dir('demo'), [image], [descriptor(image, 'v1'), descriptor(makeIndex([]), 'gone')])
    await writeFile(blobPath(stage.dir('demo'), image.digest), Buffer.alloc(image.size))
    const found = await stage.registry.findManifest('demo', 'v1')
    expect(found?.digest).toBe(image.digest)
    expect(await rejection(stage.registry.openManifest('demo', image))).toMatchObject({ code: 'LAYOUT_DAMAGED' })
    expect(await stage.registry.findManifest('demo', 'gone')).toBeUndefined()
    expect(await rejection(stage.registry.findManifest('none', 'v1'))).toMatchObject({ code: 'REPOSITORY_UNKNOWN' })
  })

  test('in a manifest that is too large for memory is found out before it is handed out', async () => {
    await using stage = await openStage()
    const large = makeImage([layer], { annotations: { pad: 'x'.repeat(limits.maxHotBlobBytes) } })
    await putLayout(stage.dir('demo'), [large], [descriptor(large, 'v1')])
    await writeFile(blobPath(stage.dir('demo'), large.digest), Buffer.alloc(large.size))
    expect(await rejection(stage.registry.openManifest('demo', large))).toMatchObject({ code: 'LAYOUT_DAMAGED' })
  })
})

describe('names', () => {
  test.each(['../outside', 'blobs', 'a/index.json', 'oci-layout', '.uploads', 'a/../../b'])(
    '%p is refused by everything',
    async (name) => {
      await using stage = await openStage()
      const { registry } = stage
      const list = async () => (await readdir(join(stage.root, '..'), { recursive: true })).sort()
      const before = await list()
      for (const work of [
        async () => registry.sortedTags(name),
        async () => registry.findManifest(name, 'v1'),
        async () => registry.openManifest(name, image),
        async () => stage.push(name, image, 'v1'),
        async () => registry.removeManifest(name, image.digest),
        async () => registry.removeTag(name, 'v1'),
        async () => registry.statBlob(name, layer.digest),
        async () => registry.openBlob(name, layer.digest),
        async () => registry.removeBlob(name, layer.digest),
        async () => registry.mountBlob(name, layer.digest, 'demo'),
        async () => registry.beginUpload(name, 'sha256'),
        () => Array.fromAsync(registry.listReferrers(name, image.digest)),
      ])
        expect(await rejection(work())).toMatchObject({ code: 'NAME_INVALID' })
      expect(await registry.mountBlob('demo', layer.digest, name)).toBe(false)
      expect(await list()).toEqual(before)
    },
  )

  test('below a file there is no repository', async () => {
    await using stage = await openStage()
    await writeFile(stage.dir('file'), '')
    expect(await stage.registry.sortedTags('file/below')).toBeUndefined()
    expect(await stage.registry.statBlob('file/below', layer.digest)).toBeUndefined()
    expect(await rejection(stage.push('file/below', image, 'v1'))).toMatchObject({ code: 'STORAGE_DENIED' })
  })

  test('a symbolic link that leads nowhere, or in circles, keeps nobody from the others', async () => {
    await using stage = await openStage()
    await stage.push('good', image, 'v1')
    await symlink('nowhere', stage.dir('link'))
    await symlink('loop', stage.dir('loop'))
    expect(await stage.registry.sortedRepositories()).toEqual(['good'])
    expect(await stage.registry.sortedTags('link')).toBeUndefined()
    await stage.registry.sweep()
    expect(stage.log.messages()).toEqual([])
  })
})

describe('mounting', () => {
  test('takes a blob from a named repository, or from wherever it is, as the same file', async () => {
    await using stage = await openStage()
    await stage.pushBlob('team/from', layer)
    expect(await stage.registry.mountBlob('to', layer.digest, 'none')).toBe(false)
    expect(await stage.registry.mountBlob('to', layer.digest, 'team/from')).toBe(true)
    expect(await stage.registry.mountBlob('anywhere', layer.digest, undefined)).toBe(true)
    const files = await Promise.all(
      ['team/from', 'to', 'anywhere'].map((repository) => stat(blobPath(stage.dir(repository), layer.digest))),
    )
    expect(new Set(files.map(({ ino }) => ino)).size).toBe(1)
    expect(await namesIn(stage.dir('.uploads'))).toEqual([])
  })

  test('from the repository itself is true when it is there', async () => {
    await using stage = await openStage()
    await stage.pushBlob('demo', layer)
    expect(await stage.registry.mountBlob('demo', layer.digest, 'demo')).toBe(true)
    expect(await stage.registry.mountBlob('demo', config.digest, 'demo')).toBe(false)
  })
})

describe('the sweep', () => {
  test('leaves what was asked for by HEAD since, for as long as the delay', async () => {
    await using stage = await openStage()
    for (const blob of [layer, config]) await stage.pushBlob('demo', blob)
    await stage.age('demo', DELAY_MS * 2, layer, config)
    expect(await stage.registry.statBlob('demo', layer.digest)).toBe(layer.size)
    await stage.registry.sweep()
    expect(await stage.registry.statBlob('demo', config.digest)).toBeUndefined()
    await stage.clock.advance(DELAY_MS - 1)
    await stage.registry.sweep()
    expect(await stage.registry.openBlob('demo', layer.digest)).toBeDefined()
    await stage.clock.advance(2)
    await stage.registry.sweep()
    expect(await stage.registry.openBlob('demo', layer.digest)).toBeUndefined()
  })

  test('leaves what was asked for, also when the delay is short', async () => {
    await using stage = await openStage({ sweepDelayMs: 60_000 })
    await stage.pushBlob('demo', layer)
    await stage.clock.advance(55_000)
    expect(await stage.registry.statBlob('demo', layer.digest)).toBe(layer.size)
    await stage.clock.advance(50_000)
    await stage.registry.sweep()
    expect(await stage.registry.openBlob('demo', layer.digest)).toBeDefined()
  })

  test('leaves what was just pushed by an upload that took longer than the delay', async () => {
    await using stage = await openStage()
    const { id } = await stage.registry.beginUpload('demo', 'sha256')
    const chunk = { body: streamOf(layer.bytes), start: undefined, length: undefined }
    await stage.registry.appendChunk('demo', id, chunk)
    await stage.clock.advance(DELAY_MS * 2)
    await stage.registry.finishUpload('demo', id, { ...chunk, body: null, digest: layer.digest })
    await stage.registry.sweep()
    expect(await stage.registry.statBlob('demo', layer.digest)).toBe(layer.size)
  })

  test('runs now and then until the server is closed', async () => {
    await using stage = await openStage()
    await stage.pushBlob('demo', layer)
    await stage.age('demo', DELAY_MS * 2, layer)
    stage.registry.start()
    await stage.clock.advance(1000)
    await waitFor('the sweep', () => stage.log.messages().includes('unused blobs removed'))
    await stage.registry.close()
    expect(stage.clock.sleeping).toBe(0)
  })

  const isRoot = process.getuid?.() === 0
  test.skipIf(!isRoot)(
    `leaves files of somebody else, whose time cannot be set${isRoot ? '' : ' (skipped: only root can give files away)'}`,
    async () => {
      await using stage = await openStage()
      await stage.registry.close()
      await putLayout(stage.dir('demo'), [layer, config], [])
      await stage.age('demo', DELAY_MS * 2, layer, config)
      const all = await readdir(join(stage.root, '..'), { recursive: true, withFileTypes: true })
      for (const each of all) await chown(join(each.parentPath, each.name), 65_534, 65_534)
      await chown(blobPath(stage.dir('demo'), layer.digest), 0, 0)
      await chmod(join(stage.root, '..'), 0o755)
      const { stdout } = await runCommand([process.execPath, script, 'sweep-as-nobody', stage.root])
      expect(JSON.parse(stdout)).toMatchObject({ opened: 'yes', left: [layer.digest] })
    },
  )
})

describe('changes', () => {
  test('are told to whoever keeps an index: what tags point to now, and which are gone', async () => {
    await using stage = await openStage()
    const heard: unknown[] = []
    stage.registry.onChange((repository, changes) => void heard.push([repository, Object.fromEntries(changes)]))
    const other = makeImage([])
    await stage.push('demo', image, 'v1', 'v2')
    await stage.push('demo', other)
    await stage.push('demo', other, 'v2')
    await stage.registry.removeTag('demo', 'v2')
    await stage.registry.removeManifest('demo', image.digest)
    expect(heard).toEqual([
      ['demo', { v1: image.digest, v2: image.digest }],
      ['demo', {}],
      ['demo', { v2: other.digest }],
      ['demo', { v2: undefined }],
      ['demo', { v1: undefined }],
    ])
  })

  test('leave what each tag points to the same object when there are none', async () => {
    await using stage = await openStage()
    await stage.push('demo', image, 'v1')
    const digests = await stage.registry.digestsByTag('demo')
    await stage.push('other', image, 'v1')
    await stage.pushBlob('demo', layer)
    await mkdir(join(stage.dir('demo'), 'below'))
    expect(await stage.registry.digestsByTag('demo')).toBe(digests as NonNullable<typeof digests>)
  })
})
