/** One finished document: from memory, or from its file as long as that is there. */
import { describe, expect, test } from 'bun:test'
import { rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { LRUCache } from 'lru-cache'
import { limits } from '../../src/limits.ts'
import { StoredDocument } from '../../src/storage/stored-document.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { waitFor } from '../stand/wait-for.ts'
import { fill, sha256 } from './document-content.ts'

async function openStage(content: Uint8Array = Buffer.from('hello')) {
  const temp = await openTempDir()
  const path = join(temp.path, 'index.yaml')
  await writeFile(path, content)
  const facts = { size: content.byteLength, sha256: sha256(content), path, content: undefined, hot: openHot() }
  return { path, document: new StoredDocument(facts), [Symbol.asyncDispose]: temp[Symbol.asyncDispose] }
}

/** What documents in memory may come to. */
function openHot(): LRUCache<string, Blob> {
  return new LRUCache({ maxSize: limits.maxHotDocumentBytes, sizeCalculation: (blob) => blob.size + 1 })
}

describe('StoredDocument.open', () => {
  test('gives what is in memory', async () => {
    const content = new Blob(['hello'])
    const document = new StoredDocument({ size: 5, sha256: sha256('hello'), content, path: undefined, hot: openHot() })
    expect(await document.open()).toBe(content)
  })

  test('gives the file the first time and does not keep it', async () => {
    await using stage = await openStage()
    expect(await (await stage.document.open())?.text()).toBe('hello')
    await rm(stage.path)
    expect(await stage.document.open()).toBeUndefined()
  })

  test('keeps it in memory from the second time on: then the file is no longer needed', async () => {
    await using stage = await openStage()
    await stage.document.open()
    expect(await (await stage.document.open())?.text()).toBe('hello')
    await waitFor('a blob that is no file', async () => !isFile(await stage.document.open()))
    await rm(stage.path)
    expect(await (await stage.document.open())?.text()).toBe('hello')
  })

  test('never keeps one in memory that is too large for it', async () => {
    await using stage = await openStage(fill(limits.maxHotDocumentBytes + 1, 'x'))
    for (let i = 0; i < 20; i++) {
      expect(isFile(await stage.document.open())).toBe(true)
      await new Promise((resolve) => setImmediate(resolve))
    }
    await rm(stage.path)
    expect(await stage.document.open()).toBeUndefined()
  })

  test.each([
    ['is gone', (path: string) => rm(path)],
    ['is cut', (path: string) => truncate(path, 3)],
    ['is longer', (path: string) => writeFile(path, 'hello, world')],
    ['has no directory any more', (path: string) => rm(join(path, '..'), { recursive: true })],
  ])('gives nothing when the file %s', async (_what, damage) => {
    await using stage = await openStage()
    await damage(stage.path)
    expect(await stage.document.open()).toBeUndefined()
    expect(await stage.document.open()).toBeUndefined()
  })
})

/** Whether a blob is read from the disk; those of files have a name. */
function isFile(blob: Blob | undefined): boolean {
  return blob !== undefined && 'name' in blob && typeof blob.name === 'string'
}
