/** A whole crawl: what is in view, what is kept when lists break off, and in which order it is handed back. */
import { describe, expect, test } from 'bun:test'
import { limits } from '../../src/limits.ts'
import { Progress } from '../../src/repository/progress.ts'
import { defer, settle } from '../lib/fake-clock.ts'
import { rejection } from '../upstream/fake-send.ts'
import { openCrawlStage } from './crawl-stage.ts'
import { failure } from './memory-registry.ts'

const chart = { name: 'demo', version: '1.0.0' }

describe('crawl', () => {
  test('lists every repository in lexical order, at the time it began', async () => {
    const stage = openCrawlStage()
    for (const repository of ['z', 'a/b', 'B'.toLowerCase(), 'a']) stage.registry.addChart(repository, '1.0.0', chart)
    const startedAt = stage.clock.now()
    const gate = defer()
    stage.registry.fail('tags z', gate.promise)
    const crawled = stage.crawl()
    await stage.clock.advance(5000)
    gate.resolve()
    const { listing, problems } = await crawled
    expect([[...listing.repositories.keys()], listing.listedAt, problems]).toEqual([
      ['a', 'a/b', 'b', 'z'],
      startedAt,
      [],
    ])
  })

  test('passes over repositories at the same time', async () => {
    const stage = openCrawlStage()
    const gate = defer()
    for (let i = 0; i < 10; i++) {
      stage.registry.addChart(`r${i}`, '1.0.0', chart)
      stage.registry.fail(`tags r${i}`, gate.promise)
    }
    const crawled = stage.crawl()
    await settle()
    expect(stage.registry.count('tags')).toBe(10)
    gate.resolve()
    await crawled
  })

  test('throws when there is no list of repositories', async () => {
    const stage = openCrawlStage()
    stage.registry.fail('catalog', failure('UPSTREAM_DENIED'))
    expect(await rejection(stage.crawl())).toMatchObject({ code: 'UPSTREAM_DENIED' })
  })

  test('loses repositories that are no longer listed, and their failures', async () => {
    const stage = openCrawlStage()
    for (const repository of ['a', 'b']) stage.registry.addChart(repository, '1.0.0', chart)
    const { listing } = await stage.crawl()
    stage.registry.fail('tags b', failure('UPSTREAM_DENIED'))
    const denied = await stage.crawl(listing)
    expect([[...denied.listing.repositories.keys()], denied.problems.length]).toEqual([['a', 'b'], 1])
    stage.registry.removeRepository('b')
    const { listing: after, problems } = await stage.crawl(denied.listing)
    expect([[...after.repositories.keys()], problems]).toEqual([['a'], []])
  })

  test('keeps what a list that broke off does not name, unless its own word says that it is gone', async () => {
    const stage = openCrawlStage()
    for (const repository of ['a', 'b', 'c']) stage.registry.addChart(repository, '1.0.0', chart)
    const { listing } = await stage.crawl()
    stage.registry.listRepositories = async () => ({ names: ['a'], incomplete: failure() })
    stage.registry.removeRepository('c')
    const { listing: after, problems } = await stage.crawl(listing)
    expect([...after.repositories.keys()]).toEqual(['a', 'b'])
    expect(problems).toEqual([{ repository: '*', reason: 'UPSTREAM_UNAVAILABLE', transient: true }])
  })

  test('goes on with the others when one cannot be read', async () => {
    const stage = openCrawlStage()
    for (const repository of ['a', 'b', 'c']) stage.registry.addChart(repository, '1.0.0', chart)
    stage.registry.fail('tags b', failure())
    const { listing, problems } = await stage.crawl()
    expect([[...listing.repositories.keys()], problems.map(({ repository }) => repository)]).toEqual([
      ['a', 'c'],
      ['b'],
    ])
  })

  test('hands its signal to every call, and ends with it', async () => {
    const stage = openCrawlStage()
    stage.registry.addChart('a', '1.0.0', chart)
    const controller = new AbortController()
    await stage.crawl(undefined, { signal: controller.signal })
    expect(stage.registry.signal).toBeInstanceOf(AbortSignal)
    stage.registry.fail('tags a', () => {
      controller.abort(failure('SNAPSHOT_MISSING'))
      throw failure()
    })
    expect(await rejection(stage.crawl(undefined, { signal: controller.signal }))).toMatchObject({
      code: 'UPSTREAM_UNAVAILABLE',
    })
  })

  test.each([
    ['refused', 'UPSTREAM_DENIED', 'UPSTREAM_DENIED'],
    ['unreachable', 'UPSTREAM_UNAVAILABLE', 'UPSTREAM_UNAVAILABLE'],
  ] as const)('is no listing when every repository is %s', async (_what, code, thrown) => {
    const stage = openCrawlStage()
    for (const repository of ['a', 'b']) {
      stage.registry.addChart(repository, '1.0.0', chart)
      stage.registry.fail(`tags ${repository}`, failure(code))
    }
    expect(await rejection(stage.crawl())).toMatchObject({ code: thrown })
    stage.registry.fail('tags b', undefined)
    expect([...(await stage.crawl()).listing.repositories.keys()]).toEqual(['b'])
  })
})

describe('what a crawl asks for at the same time', () => {
  /** So many repositories that nothing of them fits at once, each with two charts. */
  function openWideStage() {
    const stage = openCrawlStage()
    const names = Array.from({ length: limits.maxUpstreamRequests * 2 }, (_, i) => `r${i}`)
    for (const name of names) {
      for (const version of ['1.0.0', '2.0.0']) stage.registry.addChart(name, version, { name, version })
    }
    return { ...stage, names, gate: defer() }
  }

  test('is a bounded number of lists', async () => {
    const { registry, crawl, names, gate } = openWideStage()
    for (const name of names) registry.fail(`tags ${name}`, gate.promise)
    const crawled = crawl()
    await settle()
    expect(registry.count('tags')).toBe(limits.maxListsAtOnce)
    gate.resolve()
    expect((await crawled).listing.repositories.size).toBe(names.length)
  })

  test('is every list before the tags are read, so that it is known how many there are', async () => {
    const { registry, clock, crawl, names, gate } = openWideStage()
    for (const name of names) {
      for (const version of ['1.0.0', '2.0.0']) registry.fail(`get ${name}:${version}`, gate.promise)
    }
    const progress = new Progress(clock)
    const crawled = crawl(undefined, { progress })
    await settle()
    expect([registry.count('tags'), registry.count('get')]).toEqual([names.length, limits.maxTagsAtOnce])
    expect(progress.report).toMatchObject({ done: 0, total: names.length * 2, listed: names.length })
    gate.resolve()
    expect((await crawled).problems).toEqual([])
    expect(registry.count('get')).toBe(names.length * 2)
  })
})

describe('the parts of a crawl', () => {
  test('come as repositories are done, each with those before it', async () => {
    const { registry, crawl } = openCrawlStage()
    const gates = { a: defer(), b: defer(), c: defer() }
    for (const [name, gate] of Object.entries(gates)) {
      registry.addChart(name, '1.0.0', chart)
      registry.fail(`tags ${name}`, gate.promise)
    }
    const parts: string[][] = []
    const crawled = crawl(undefined, { onPart: ({ repositories }) => void parts.push([...repositories.keys()]) })
    await settle()
    expect(parts).toEqual([])
    for (const gate of [gates.b, gates.c, gates.a]) {
      gate.resolve()
      await settle()
    }
    expect(parts).toEqual([['b'], ['b', 'c'], ['b', 'c', 'a']])
    await crawled
  })

  test('have nothing of repositories that could not be listed', async () => {
    const { registry, crawl } = openCrawlStage()
    for (const name of ['a', 'b']) registry.addChart(name, '1.0.0', chart)
    registry.fail('tags b', failure())
    const parts: string[][] = []
    await crawl(undefined, { onPart: ({ repositories }) => void parts.push([...repositories.keys()]) })
    expect(parts).toEqual([['a']])
  })
})
