/** Sets of documents on disk: made once, found whole or not at all, and removed when nobody needs them. */
import { describe, expect, test } from 'bun:test'
import { rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { compress } from '../../src/lib/compression.ts'
import { runOrThrow } from '../stand/child.ts'
import { rejection } from '../upstream/fake-send.ts'
import {
  describeContents,
  fill,
  inPages,
  keyOf,
  LARGE,
  largeSet,
  openDocumentStage,
  readSet,
  sha256,
  sources,
} from './document-content.ts'

const KEY = keyOf('one')

describe('DocumentFiles.write', () => {
  test('keeps a set of small documents in memory alone', async () => {
    await using stage = await openDocumentStage()
    const contents = { 'index.yaml': 'hello', 'index.json': '' }
    const set = await stage.open().write(KEY, sources(contents))
    expect(await readSet(set)).toEqual(describeContents(contents))
    expect(set.get('index.yaml')).toMatchObject({ size: 5, sha256: sha256('hello') })
    expect(await stage.names()).toEqual([])
    expect(await stage.open().find(KEY)).toBeUndefined()
  })

  test('keeps a set with a large one on disk, where another run finds it whole', async () => {
    await using stage = await openDocumentStage()
    const contents = largeSet()
    const set = await stage.open().write(KEY, sources(contents))
    expect(await readSet(set)).toEqual(describeContents(contents))
    const found = await stage.open().find(KEY)
    expect(await readSet(found)).toEqual(describeContents(contents))
    for (const [name, content] of Object.entries(contents)) {
      expect(found?.get(name)).toMatchObject({ size: content.length, sha256: sha256(content) })
    }
    expect([await stage.names(), stage.log.lines]).toEqual([[KEY], []])
  })

  test('makes documents from those before them', async () => {
    await using stage = await openDocumentStage()
    const made = sources({ 'index.yaml': fill(LARGE, 'x') })
    made.set('index.yaml.gz', (read) => compress(read('index.yaml'), 'gzip'))
    await stage.open().write(KEY, made)
    const packed = await (await (await stage.open().find(KEY))?.get('index.yaml.gz')?.open())?.bytes()
    expect(Buffer.compare(Bun.gunzipSync(packed ?? new Uint8Array()), fill(LARGE, 'x'))).toBe(0)
  })

  test('fails with what a source fails with, leaves nothing, and says nothing of the disk', async () => {
    await using stage = await openDocumentStage()
    const failing = async function* () {
      yield* inPages(fill(LARGE, 'x'))
      throw new Error('no more')
    }
    const made = new Map([...sources(largeSet()), ['index.json', failing]])
    expect(await rejection(stage.open().write(KEY, made))).toMatchObject({ message: 'no more' })
    expect([await stage.names(), stage.log.lines]).toEqual([[], []])
  })

  test('of one key by two at the same time: both have it, and there is one', async () => {
    await using stage = await openDocumentStage()
    const [one, two] = [stage.open(), stage.open()]
    const sets = await Promise.all([one.write(KEY, sources(largeSet())), two.write(KEY, sources(largeSet()))])
    for (const set of sets) expect(await readSet(set)).toEqual(describeContents(largeSet()))
    expect([await stage.names(), stage.log.lines]).toEqual([[KEY], []])
  })

  test('of one key by several processes at the same time: all have it, and there is one', async () => {
    await using stage = await openDocumentStage()
    const script = join(import.meta.dir, 'document-process.ts')
    const run = () => runOrThrow([process.execPath, script, 'write', stage.dir, KEY, '10'])
    const outputs = await Promise.all([run(), run(), run()])
    for (const { stdout } of outputs) expect(JSON.parse(stdout)).toEqual({ wrong: [], log: [] })
    expect(await stage.names()).toEqual([KEY])
  })
})

describe('DocumentFiles.find', () => {
  test('finds nothing where nothing is', async () => {
    await using stage = await openDocumentStage()
    expect(await stage.open().find(KEY)).toBeUndefined()
    expect(stage.log.lines).toEqual([])
  })

  const damages: readonly (readonly [string, (set: string) => Promise<unknown>])[] = [
    ['without its list', (set) => rm(join(set, 'documents.json'))],
    ['with an empty list', (set) => truncate(join(set, 'documents.json'), 0)],
    ['with half a list', (set) => truncate(join(set, 'documents.json'), 20)],
    ['with a list of something else', (set) => writeFile(join(set, 'documents.json'), '{"index.yaml":{"size":"1"}}')],
    ['without one of its documents', (set) => rm(join(set, 'index.yaml.gz'))],
    ['with a document that is cut', (set) => truncate(join(set, 'index.yaml'), LARGE - 1)],
    ['with a document that is too long', (set) => writeFile(join(set, 'index.yaml.gz'), 'longer than it was')],
  ]

  test.each(damages)('does not find a set %s', async (_what, damage) => {
    await using stage = await openDocumentStage()
    await stage.open().write(KEY, sources(largeSet()))
    await damage(join(stage.dir, KEY))
    expect(await stage.open().find(KEY)).toBeUndefined()
    expect(stage.log.lines).toEqual([])
  })

  test.each(damages)('a set %s is made anew, and found again', async (_what, damage) => {
    await using stage = await openDocumentStage()
    await stage.open().write(KEY, sources(largeSet()))
    await damage(join(stage.dir, KEY))
    expect(await readSet(await stage.open().write(KEY, sources(largeSet())))).toEqual(describeContents(largeSet()))
    expect(await readSet(await stage.open().find(KEY))).toEqual(describeContents(largeSet()))
    expect(await stage.names()).toEqual([KEY])
  })

  test('does not find a set that is still being written, or whose writer died', async () => {
    await using stage = await openDocumentStage()
    const script = join(import.meta.dir, 'document-process.ts')
    await rejection(runOrThrow([process.execPath, script, 'crash', stage.dir, KEY]))
    expect(await stage.names()).toEqual([expect.stringMatching(/^\.[0-9a-f-]{36}\.part$/)])
    expect(await stage.open().find(KEY)).toBeUndefined()
    expect(await readSet(await stage.open().write(KEY, sources(largeSet())))).toEqual(describeContents(largeSet()))
  })
})
