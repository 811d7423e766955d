/** How far a crawl is, in numbers, in one line for people, and in the log. */
import { describe, expect, test } from 'bun:test'
import { limits } from '../../src/limits.ts'
import { describeProgress, Progress, type ProgressReport } from '../../src/repository/progress.ts'
import { defer, FakeClock, settle } from '../lib/fake-clock.ts'
import { captureLog } from '../telemetry/captured-log.ts'
import { openCrawlStage } from './crawl-stage.ts'

function openProgress() {
  const clock = new FakeClock()
  const progress = new Progress(clock)
  const note = ({ listed = 0, tags = 0 }: { readonly listed?: number; readonly tags?: number }) => {
    for (let i = 0; i < listed; i++) progress.noteListed()
    for (let i = 0; i < tags; i++) progress.noteTag()
  }
  return { clock, progress, note }
}

describe('Progress.report', () => {
  test('begins with nothing', () => {
    expect(openProgress().progress.report).toEqual({
      done: 0,
      total: 0,
      listed: 0,
      repositories: 0,
      perSecond: 0,
      secondsLeft: undefined,
    })
  })

  test('says how long it may take as soon as everything is listed, and not before', async () => {
    const { clock, progress, note } = openProgress()
    progress.expectRepositories(3)
    progress.expectTags(100)
    note({ listed: 2, tags: 50 })
    await clock.advance(10_000)
    expect(progress.report).toEqual({
      done: 50,
      total: 100,
      listed: 2,
      repositories: 3,
      perSecond: 5,
      secondsLeft: undefined,
    })
    progress.expectTags(57)
    note({ listed: 1 })
    // 107 tags at 5 a second take 21.4 s.
    expect(progress.report).toMatchObject({ done: 50, total: 157, listed: 3, secondsLeft: 22 })
  })

  test('counts how fast it goes from the first tags that are to be read', async () => {
    const { clock, progress, note } = openProgress()
    progress.expectRepositories(2)
    progress.expectTags(0)
    note({ listed: 1 })
    await clock.advance(60_000)
    expect(progress.report).toMatchObject({ perSecond: 0, secondsLeft: undefined })
    progress.expectTags(100)
    await clock.advance(5000)
    progress.expectTags(100)
    note({ listed: 1, tags: 50 })
    await clock.advance(5000)
    expect(progress.report).toMatchObject({ perSecond: 5, secondsLeft: 30 })
  })

  test('says nothing of the end while there is no rate', async () => {
    const { clock, progress, note } = openProgress()
    progress.expectRepositories(1)
    progress.expectTags(5)
    note({ listed: 1, tags: 1 })
    expect(progress.report).toMatchObject({ perSecond: 0, secondsLeft: undefined })
    await clock.advance(500)
    expect(progress.report).toMatchObject({ perSecond: 2, secondsLeft: 2 })
  })

  test('is at its end with no time left', async () => {
    const { clock, progress, note } = openProgress()
    progress.expectRepositories(1)
    progress.expectTags(3)
    note({ listed: 1, tags: 3 })
    await clock.advance(1000)
    expect(progress.report).toMatchObject({ done: 3, total: 3, secondsLeft: 0 })
  })

  test('counts every repository and tag of a crawl, whatever becomes of them', async () => {
    const { registry, clock, crawl } = openCrawlStage()
    for (const version of ['1.0.0', '2.0.0']) registry.addChart('a', version, { name: 'demo', version })
    registry.addChart('b', '1.0.0', { name: 'demo', version: '1.0.0' })
    registry.addChart('c', '1.0.0', { name: 'other', version: '1.0.0' })
    registry.addManifest('a', `sha256-${'ab'.repeat(32)}`, '{}')
    const gate = defer()
    registry.fail('get c:1.0.0', gate.promise)
    const progress = new Progress(clock)
    const first = crawl(undefined, { progress })
    await settle()
    expect(progress.report).toMatchObject({ done: 4, total: 5, listed: 3, repositories: 3 })
    gate.resolve()
    const { listing } = await first
    expect(progress.report).toMatchObject({ done: 5, total: 5 })
    // Nothing of what is known is to be read again.
    const second = new Progress(clock)
    await crawl(listing, { progress: second })
    expect(second.report).toMatchObject({ done: 0, total: 0, listed: 3, repositories: 3 })
  })
})

describe('describeProgress', () => {
  const report: ProgressReport = {
    done: 1200,
    total: 20_000,
    listed: 200,
    repositories: 200,
    perSecond: 340,
    secondsLeft: 56,
  }
  test.each([
    [{}, '1200 of 20000 tags are read, 340 a second, about 56 s left'],
    [{ listed: 199, secondsLeft: undefined }, '1200 of at least 20000 tags are read, 340 a second'],
    [{ repositories: 0, listed: 0, total: 0, done: 0, secondsLeft: undefined }, 'its repositories are being listed'],
  ])('%j is one line', (part, text) => {
    expect(describeProgress({ ...report, ...part })).toBe(text)
  })
})

describe('Progress.logUntil', () => {
  test('says how far it is every few seconds until it is told to end', async () => {
    const { clock, progress, note } = openProgress()
    const log = captureLog()
    const done = new AbortController()
    const logging = progress.logUntil(done.signal, log)
    progress.expectRepositories(1)
    progress.expectTags(40)
    note({ listed: 1 })
    await clock.advance(limits.progressIntervalMs - 1)
    expect(log.lines).toEqual([])
    note({ tags: 10 })
    await clock.advance(1)
    note({ tags: 10 })
    await clock.advance(limits.progressIntervalMs)
    const at = (tags: number, secondsLeft: number) => ({
      level: 'info' as const,
      message: 'reading the registry',
      fields: { done: tags, total: 40, listed: 1, repositories: 1, perSecond: 2, secondsLeft },
    })
    expect(log.lines).toEqual([at(10, 15), at(20, 10)])
    done.abort()
    await logging
    await clock.advance(limits.progressIntervalMs * 3)
    expect([log.lines.length, clock.sleeping]).toEqual([2, 0])
  })

  test('says nothing of a crawl that is over before', async () => {
    const { clock, progress } = openProgress()
    const log = captureLog()
    await progress.logUntil(AbortSignal.abort(), log)
    expect([log.lines, clock.waits]).toEqual([[], []])
  })
})
