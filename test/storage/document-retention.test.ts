/** Which sets of documents stay on disk, and for how long. */
import { describe, expect, mock, test } from 'bun:test'
import * as fs from 'node:fs/promises'
import { mkdir, readdir, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { limits } from '../../src/limits.ts'
import { keyOf, largeSet, openDocumentStage, sources } from './document-content.ts'

describe('DocumentFiles.retain', () => {
  const [one, two, three] = ['one', 'two', 'three'].map(keyOf) as [string, string, string]

  async function openWritten(...keys: readonly string[]) {
    const stage = await openDocumentStage()
    const files = stage.open()
    for (const key of keys) await files.write(key, sources(largeSet(key)))
    return { ...stage, files }
  }

  test('keeps the set before for as long as a response may be about to open it', async () => {
    await using stage = await openWritten(one, two)
    await stage.files.retain(one)
    await stage.files.retain(two)
    await stage.clock.advance(limits.documentGraceMs)
    await stage.files.retain(two)
    expect(await stage.names()).toEqual([one, two].sort())
    await stage.clock.advance(1)
    await stage.files.retain(two)
    expect(await stage.names()).toEqual([two])
  })

  test('keeps a set that is wanted again', async () => {
    await using stage = await openWritten(one, two)
    for (const key of [one, two, one]) await stage.files.retain(key)
    await stage.clock.advance(limits.documentGraceMs + 1)
    await stage.files.retain(one)
    expect(await stage.names()).toEqual([one])
  })

  test('leaves sets of others until nobody has touched them for long, and what is none for ever', async () => {
    await using stage = await openWritten(one, two)
    const leftOver = `.${crypto.randomUUID()}.part`
    await mkdir(join(stage.dir, leftOver))
    await writeFile(join(stage.dir, 'notes.txt'), 'mine')
    const old = stage.clock.now() / 1000 - 999_999
    await utimes(join(stage.dir, 'notes.txt'), old, old)
    await stage.files.retain(one)
    await stage.clock.advance(limits.touchIntervalMs)
    await stage.files.retain(one)
    expect(await stage.names()).toEqual([leftOver, one, two, 'notes.txt'].sort())
    await stage.clock.advance(limits.staleDocumentsMs)
    await stage.files.retain(one)
    expect(await stage.names()).toEqual([one, 'notes.txt'].sort())
  })

  test('never lets its own be taken for one of nobody', async () => {
    await using stage = await openWritten(one)
    const other = stage.open()
    await other.write(two, sources(largeSet(two)))
    for (let hours = 0; hours < 6; hours++) {
      for (let minutes = 0; minutes < 60; minutes += 5) {
        await stage.clock.advance(5 * 60_000)
        await stage.files.retain(one)
        await other.retain(two)
      }
    }
    expect(await stage.names()).toEqual([one, two].sort())
    expect(Math.abs((await stat(join(stage.dir, one))).mtimeMs - stage.clock.now())).toBeLessThan(
      limits.touchIntervalMs,
    )
  })

  test('removes what is old beside a set that is in memory alone, too', async () => {
    await using stage = await openWritten(one)
    await stage.files.retain(one)
    await stage.clock.advance(limits.touchIntervalMs + 1)
    // The first that is small is on disk all the same: what it will be is not known when it is begun.
    await stage.files.write(keyOf('small'), sources({ 'index.yaml': 'small' }))
    await stage.files.retain(keyOf('small'))
    await stage.files.write(two, sources({ 'index.yaml': 'small' }))
    await stage.files.retain(two)
    await stage.clock.advance(limits.documentGraceMs + 1)
    await stage.files.retain(two)
    expect(await stage.names()).toEqual([])
  })

  test('of a small set after a start removes the left-overs of the run before', async () => {
    await using stage = await openWritten(one)
    await stage.clock.advance(limits.staleDocumentsMs + 60_000)
    await stage.open().retain(two)
    expect(await stage.names()).toEqual([])
  })

  test('does nothing where there is no directory, and says nothing', async () => {
    await using stage = await openDocumentStage()
    const files = stage.open()
    for (const key of [one, two, three]) {
      await files.retain(key)
      await stage.clock.advance(limits.touchIntervalMs)
    }
    expect([stage.log.lines, await readdir(stage.temp)]).toEqual([[], []])
  })

  test('does not look for sets that were in memory alone again and again', async () => {
    await using stage = await openWritten(one)
    await stage.files.retain(two)
    await stage.files.retain(three)
    const real = { ...fs }
    let looks = 0
    const counting = (dir: string) => {
      looks += 1
      return real.readdir(dir)
    }
    await mock.module('node:fs/promises', () => ({ ...real, readdir: counting }))
    for (let i = 0; i < 5; i++) await stage.files.retain(three)
    const withNothing = looks
    await stage.files.retain(one)
    await mock.module('node:fs/promises', () => real)
    // Another one takes its place: then it is worth a look.
    expect([withNothing, looks]).toEqual([0, 1])
  })
})
