/** Documents on a disk that refuses: memory takes its place, it is said once, and the disk is used again when it can be. */
import { describe, expect, test } from 'bun:test'
import { mkdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { LRUCache } from 'lru-cache'
import { StoredDocument } from '../../src/storage/stored-document.ts'
import { runCommand } from '../stand/child.ts'
import { which } from '../stand/programs.ts'
import {
  describeContents,
  keyOf,
  largeSet,
  NOT_WRITTEN,
  openDocumentStage,
  readSet,
  sha256,
  sources,
  WRITTEN_AGAIN,
} from './document-content.ts'

const KEY = keyOf('one')

/** A directory that is to be below a regular file: no right to write helps there, not even root's. */
async function openBlockedStage() {
  const stage = await openDocumentStage()
  await writeFile(stage.parent, 'in the way')
  return { ...stage, unblock: () => rm(stage.parent) }
}

describe('a directory that cannot be', () => {
  test('costs making a set a second time, and a warning; then all is in memory', async () => {
    await using stage = await openBlockedStage()
    const files = stage.open()
    const made = sources(largeSet())
    expect(await readSet(await files.write(KEY, made))).toEqual(describeContents(largeSet()))
    expect(made.calls).toBe(3)
    expect(stage.log.messages()).toEqual([NOT_WRITTEN])
  })

  test.each(['small', 'large'])('is said once, whatever is done how often: with %s sets', async (size) => {
    await using stage = await openBlockedStage()
    const files = stage.open()
    for (let i = 0; i < 5; i++) {
      const [key, contents] = [keyOf(String(i)), size === 'small' ? { 'index.yaml': 'small' } : largeSet()]
      expect(await files.find(key)).toBeUndefined()
      expect(await readSet(await files.write(key, sources(contents)))).toEqual(describeContents(contents))
      await files.retain(key)
      await stage.clock.advance(3_600_000)
    }
    expect(stage.log.messages()).toEqual([NOT_WRITTEN])
  })

  test('is used as soon as it can be', async () => {
    await using stage = await openBlockedStage()
    const files = stage.open()
    await files.write(KEY, sources(largeSet()))
    await stage.unblock()
    const set = await files.write(KEY, sources(largeSet()))
    expect(await readSet(set)).toEqual(describeContents(largeSet()))
    expect(stage.log.messages()).toEqual([NOT_WRITTEN, WRITTEN_AGAIN])
    expect([await stage.names(), (await files.find(KEY))?.size]).toEqual([[KEY], 2])
  })

  test('that comes to be in the way of a document on disk: there is none any more, which is no error', async () => {
    await using stage = await openDocumentStage()
    const files = stage.open()
    const set = await files.write(KEY, sources(largeSet()))
    await rm(stage.parent, { recursive: true })
    await writeFile(stage.parent, 'in the way')
    expect(await readSet(set)).toMatchObject({ 'index.yaml': undefined })
    expect(await files.find(KEY)).toBeUndefined()
  })
})

test('a file in the place of a set makes way for it', async () => {
  await using stage = await openDocumentStage()
  await mkdir(stage.dir, { recursive: true })
  await writeFile(join(stage.dir, KEY), 'in the way')
  const files = stage.open()
  expect(await files.find(KEY)).toBeUndefined()
  expect(await readSet(await files.write(KEY, sources(largeSet())))).toEqual(describeContents(largeSet()))
  expect([await stage.names(), stage.log.messages()]).toEqual([[KEY], []])
  expect(await readSet(await stage.open().find(KEY))).toEqual(describeContents(largeSet()))
})

const hasPrlimit = which('prlimit') !== undefined
const skip = hasPrlimit ? '' : ' (skipped: prlimit is not installed)'

test.skipIf(!hasPrlimit)(
  `a disk that is full: sets are in memory, nothing unfinished stays, and it is said once${skip}`,
  async () => {
    await using stage = await openDocumentStage()
    // 1 MiB at most, and the signal that comes with going over it ignored, so that the write itself fails.
    const command = `trap '' XFSZ; ulimit -S -f 1024; exec "$0" "$@"`
    const script = join(import.meta.dir, 'limited-documents.ts')
    const ran = await runCommand(['bash', '-c', command, process.execPath, script, stage.dir])
    expect({ code: ran.code, stderr: ran.stderr }).toEqual({ code: 0, stderr: '' })
    expect(JSON.parse(ran.stdout)).toEqual({
      whileFull: [
        { isRight: true, names: [] },
        { isRight: true, names: [] },
      ],
      whenRoom: { isRight: true, names: [keyOf('2')] },
      log: [
        ['warn', NOT_WRITTEN, 'EFBIG'],
        ['info', WRITTEN_AGAIN, null],
      ],
    })
    expect(await readSet(await stage.open().find(keyOf('2')))).toEqual(describeContents(largeSet('2')))
  },
)

test('a document that cannot be moved to memory is no fault of the program', async () => {
  await using stage = await openDocumentStage()
  await mkdir(stage.dir, { recursive: true })
  // What has the right size and fails to be read: a directory.
  const { size } = await stat(stage.dir)
  const hot = new LRUCache<string, Blob>({ maxSize: 1_000_000, sizeCalculation: (blob) => blob.size + 1 })
  const document = new StoredDocument({ size, sha256: sha256(''), path: stage.dir, content: undefined, hot })
  for (let i = 0; i < 3; i++) await document.open()
  // A rejection that nobody handles would fail this test.
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
})
