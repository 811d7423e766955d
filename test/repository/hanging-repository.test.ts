/** A repository that hangs: given up, left alone for a while, and never in the way of the others. */
import { afterEach, describe, expect, jest, test } from 'bun:test'
import { limits } from '../../src/limits.ts'
import type { RepositoryListing } from '../../src/repository/catalog.ts'
import { openCrawlStage, REVALIDATE_MS } from './crawl-stage.ts'
import { hang } from './memory-registry.ts'

type Stage = ReturnType<typeof openCrawlStage>

const problem = {
  repository: 'a',
  reason: `Nothing more of a was answered within ${limits.repositoryStallMs / 1000} s`,
  transient: true,
}
const tagsOf = (listing: RepositoryListing | undefined) => [...(listing?.tags.keys() ?? [])].sort()

function openStage(...tags: readonly string[]): Stage {
  const stage = openCrawlStage()
  for (const tag of tags) stage.registry.addChart('a', tag, { name: 'demo', version: tag })
  return stage
}

/** What `begin` comes to when as much time passes as a silent repository is given. */
async function passStall<T>(begin: () => Promise<T>): Promise<T> {
  jest.useFakeTimers()
  const done = begin()
  let isDone = false
  void done.finally(() => {
    isDone = true
  })
  await runMicrotasks()
  jest.advanceTimersByTime(limits.repositoryStallMs - 1)
  await runMicrotasks()
  expect(isDone).toBe(false)
  jest.advanceTimersByTime(1)
  const result = await done
  expect(jest.getTimerCount()).toBe(0)
  jest.useRealTimers()
  return result
}

/** Everything here waits for promises alone. */
async function runMicrotasks(): Promise<void> {
  for (let turn = 0; turn < 200; turn++) await Promise.resolve()
}

afterEach(() => {
  jest.useRealTimers()
})

describe('a repository whose tags are never listed', () => {
  test('is given up, keeps what was known, and is tried again after a pause', async () => {
    const stage = openStage('1.0.0')
    const { listing: before } = await stage.pass('a')
    stage.registry.fail('tags a', hang)
    stage.takeCalls()
    expect(await passStall(() => stage.pass('a', before))).toEqual({
      listing: before,
      problems: [problem],
      failure: problem,
    })
    expect(stage.takeCalls()).toEqual(['tags a'])

    stage.registry.fail('tags a', undefined)
    await stage.clock.advance(limits.timeoutPauseMs - 1)
    expect(await stage.pass('a', before)).toEqual({ listing: before, problems: [problem], failure: problem })
    expect(stage.takeCalls()).toEqual([])
    await stage.clock.advance(1)
    const { listing, problems } = await stage.pass('a', before)
    expect([tagsOf(listing), problems, stage.takeCalls()[0]]).toEqual([['1.0.0'], [], 'tags a'])
    // A fault and its end are a line each.
    expect(stage.log.messages()).toEqual(['cannot be read', 'readable again'])
  })

  test('is not in the way of the others', async () => {
    const stage = openStage('1.0.0')
    stage.registry.addChart('b', '1.0.0', { name: 'other', version: '1.0.0' })
    const { listing: before } = await stage.crawl()
    stage.registry.fail('tags a', hang)
    stage.registry.addChart('b', '2.0.0', { name: 'other', version: '2.0.0' })
    const { listing, problems } = await passStall(() => stage.crawl(before))
    expect(problems).toEqual([problem])
    expect(tagsOf(listing.repositories.get('b'))).toEqual(['1.0.0', '2.0.0'])
    expect(listing.repositories.get('a')).toEqual(before.repositories.get('a') as RepositoryListing)
    // And costs no refresh after this one any time.
    stage.registry.addChart('b', '3.0.0', { name: 'other', version: '3.0.0' })
    const { listing: after } = await stage.crawl(listing)
    expect(tagsOf(after.repositories.get('b'))).toEqual(['1.0.0', '2.0.0', '3.0.0'])
  })
})

describe('a repository of which one tag is never answered', () => {
  test('has that one given up, which alone is tried again after a pause', async () => {
    const stage = openStage('1.0.0', '2.0.0', '3.0.0')
    stage.registry.fail('get a:2.0.0', hang)
    const { listing, problems } = await passStall(() => stage.pass('a'))
    expect([tagsOf(listing), problems]).toEqual([['1.0.0', '3.0.0'], [{ ...problem, tag: '2.0.0' }]])

    stage.registry.fail('get a:2.0.0', undefined)
    stage.takeCalls()
    await stage.clock.advance(limits.timeoutPauseMs - 1)
    stage.registry.addChart('a', '4.0.0', { name: 'demo', version: '4.0.0' })
    const meanwhile = await stage.pass('a', listing)
    expect(tagsOf(meanwhile.listing)).toEqual(['1.0.0', '3.0.0', '4.0.0'])
    expect(stage.takeCalls().filter((call) => call.includes('2.0.0'))).toEqual([])
    await stage.clock.advance(1)
    const next = await stage.pass('a', meanwhile.listing)
    expect([tagsOf(next.listing), next.problems]).toEqual([['1.0.0', '2.0.0', '3.0.0', '4.0.0'], []])
    expect(stage.log.messages()).toEqual(['cannot be read', 'readable again'])
  })

  test('keeps what was known of the tag', async () => {
    const stage = openStage('1.0.0', '2.0.0')
    const { listing: before } = await stage.pass('a')
    stage.registry.fail('head a:2.0.0', hang)
    await stage.clock.advance(REVALIDATE_MS)
    const { listing, problems } = await passStall(() => stage.pass('a', before))
    expect([listing?.tags, problems]).toEqual([before?.tags, [{ ...problem, tag: '2.0.0' }]])
  })

  test('has as much time again after each answer', async () => {
    const stage = openStage('1.0.0', '2.0.0')
    const { promise: answered, resolve: answer } = Promise.withResolvers<void>()
    stage.registry.fail('get a:1.0.0', answered)
    stage.registry.fail('get a:2.0.0', hang)
    jest.useFakeTimers()
    const pass = stage.pass('a')
    await runMicrotasks()
    jest.advanceTimersByTime(limits.repositoryStallMs - 1)
    answer()
    await runMicrotasks()
    jest.advanceTimersByTime(limits.repositoryStallMs - 1)
    await runMicrotasks()
    // Nothing was broken off by now: the one that hangs may still be answered.
    expect(stage.registry.signal?.aborted).toBe(false)
    jest.advanceTimersByTime(1)
    expect(tagsOf((await pass).listing)).toEqual(['1.0.0'])
  })
})
