/** When a listing is published, how often, and what is kept and forgotten with it. */
import { describe, expect, test } from 'bun:test'
import { limits } from '../../src/limits.ts'
import { CATALOG_PLACE } from '../../src/repository/catalog.ts'
import { rejection } from '../upstream/fake-send.ts'
import { readVersions } from './index-stage.ts'
import { manifestOf, type TagRow } from './listing-content.ts'
import { late, openPublisherStage, refused } from './publisher-stage.ts'

const demo = (...versions: readonly string[]): readonly TagRow[] =>
  versions.map((version) => [version, 'demo', version] as const)

describe('the first listing', () => {
  test('is published when everything was readable, or refused for good', async () => {
    const whole = openPublisherStage()
    await whole.accept({ a: demo('1.0.0') })
    expect(whole.publisher.snapshot?.index.versions).toBe(1)
    const denied = openPublisherStage()
    await denied.accept({ a: demo('1.0.0') }, [refused('b'), refused(CATALOG_PLACE)])
    expect(denied.publisher.snapshot?.index.versions).toBe(1)
  })

  test('waits for what is late for some rounds, and is neither kept nor served before', async () => {
    const { publisher, accept, store, documents } = openPublisherStage()
    for (let round = 1; round < limits.maxFirstCrawlRounds; round++) {
      await accept({ a: demo('1.0.0') }, [late('b')])
      expect([publisher.snapshot, publisher.rounds, store.listings, documents.written]).toEqual([
        undefined,
        round,
        [],
        [],
      ])
      // The next crawl goes on from it all the same.
      expect([...(publisher.beginCrawl()?.repositories.keys() ?? [])]).toEqual(['a'])
    }
    await accept({ a: demo('1.0.0') }, [late('b')])
    expect([publisher.snapshot?.index.versions, store.listings.length]).toEqual([1, 1])
  })

  test('is never published while the list of repositories is late, or nothing was listed', async () => {
    const { publisher, accept } = openPublisherStage()
    for (let round = 0; round < limits.maxFirstCrawlRounds * 2; round++) {
      await accept({ a: demo('1.0.0') }, [late(CATALOG_PLACE)])
      await accept({}, [late('a')])
    }
    expect(publisher.snapshot).toBeUndefined()
    await accept({ a: demo('1.0.0') }, [late('b')])
    expect(publisher.snapshot?.index.versions).toBe(1)
  })
})

describe('a listing after it', () => {
  test('is published when something is new, and else only moves the time of the snapshot', async () => {
    const { publisher, accept, clock, documents, store } = openPublisherStage()
    await accept({ a: demo('1.0.0') })
    const { index } = publisher.snapshot ?? {}
    await clock.advance(5000)
    await accept({ a: demo('1.0.0') }, [late('b')])
    expect([publisher.snapshot?.index === index, publisher.snapshot?.listedAt]).toEqual([true, clock.now()])
    expect([documents.written.length, store.listings.map(({ changes }) => changes)]).toEqual([
      1,
      [{ a: ['1.0.0'] }, {}],
    ])
    await accept({ a: demo('1.0.0', '2.0.0') })
    expect([publisher.snapshot?.index.versions, documents.written.length]).toEqual([2, 2])
    expect(documents.retained.at(-1)).toBe(publisher.snapshot?.index.key ?? '')
  })

  test('that another tag is moved to is published', async () => {
    const { publisher, accept } = openPublisherStage()
    await accept({ a: [['1.0.0', 'demo', '1.0.0', 'old']] })
    const { key } = publisher.snapshot?.index ?? {}
    await accept({ a: [['1.0.0', 'demo', '1.0.0', 'new']] })
    expect(publisher.snapshot?.index.key).not.toBe(key ?? '')
    expect(publisher.snapshot?.files.get('demo-1.0.0.tgz')?.record.manifest).toBe(manifestOf('demo', '1.0.0', 'new'))
  })

  test('that makes the same index is not announced again', async () => {
    const { publisher, accept, log, documents } = openPublisherStage()
    await accept({ a: demo('1.0.0') })
    await accept({ b: demo('1.0.0') })
    expect(publisher.snapshot?.files.get('demo-1.0.0.tgz')?.repository).toBe('b')
    expect([log.messages('info'), documents.written.length]).toEqual([['index published'], 1])
  })

  test('that could not be made into an index is made into one by the next, though nothing is new in that', async () => {
    const { publisher, accept, documents } = openPublisherStage()
    await accept({ a: demo('1.0.0') })
    documents.delay = async () => {
      throw new TypeError('a fault')
    }
    expect(await rejection(accept({ a: demo('1.0.0', '2.0.0') }))).toMatchObject({ message: 'a fault' })
    expect(publisher.snapshot?.index.versions).toBe(1)
    documents.delay = undefined
    await accept({ a: demo('1.0.0', '2.0.0') })
    expect(publisher.snapshot?.index.versions).toBe(2)
  })
})

describe('making an index', () => {
  test('takes no more than its share of the time, however often there is news', async () => {
    const { publisher, accept, clock, documents, takeLong } = openPublisherStage()
    const renderMs = 2000
    takeLong(renderMs)
    const versions: string[] = []
    const seconds = 600
    let isOver = false
    // A registry that gets a version every second, and is listed as often.
    const refreshing = (async () => {
      while (!isOver || publisher.snapshot?.index.versions !== versions.length) {
        await accept({ a: demo(...versions) })
        await clock.sleep(1000)
      }
    })()
    for (let second = 0; second < seconds; second++) {
      versions.push(`1.0.${second}`)
      await clock.advance(1000)
    }
    const expected = (seconds * 1000 * limits.maxRenderShare) / renderMs
    expect(documents.written.length).toBeLessThanOrEqual(expected + 1)
    // And it does take it: nobody waits for longer than need be.
    expect(documents.written.length).toBeGreaterThanOrEqual(expected * 0.8)
    isOver = true
    await clock.advance(60_000)
    await refreshing
    expect(publisher.snapshot?.index.versions).toBe(seconds)
  })

  test('is put off for no longer than a minute, whatever the one before took', async () => {
    const { publisher, accept, clock, takeLong } = openPublisherStage()
    takeLong(300_000)
    const first = accept({ a: demo('1.0.0') })
    await clock.advance(300_000)
    await first
    takeLong(1)
    await clock.advance(limits.maxRenderRestMs - 1)
    await accept({ a: demo('1.0.0', '2.0.0') })
    expect([publisher.snapshot?.index.versions, publisher.isBehind, publisher.restMs]).toEqual([1, true, 1])
    await clock.advance(1)
    const third = accept({ a: demo('1.0.0', '2.0.0') })
    await clock.advance(1)
    await third
    expect([publisher.snapshot?.index.versions, publisher.isBehind]).toEqual([2, false])
  })

  test('waits for nothing when the one before is long ago', async () => {
    const { publisher, accept, clock, takeLong, documents } = openPublisherStage()
    takeLong(1000)
    const first = accept({ a: demo('1.0.0') })
    await clock.advance(1000)
    await first
    await clock.advance(4000)
    documents.delay = undefined
    await accept({ a: demo('1.0.0', '2.0.0') })
    expect([publisher.snapshot?.index.versions, clock.sleeping]).toEqual([2, 0])
  })

  /** One index is made, which took a second: four of rest follow. */
  async function openResting(first: Parameters<ReturnType<typeof openPublisherStage>['accept']>[0]) {
    const stage = openPublisherStage()
    stage.takeLong(1000)
    const accepted = stage.accept(first)
    await stage.clock.advance(1000)
    await accepted
    stage.documents.delay = undefined
    return stage
  }

  test('is not waited for: in a rest a listing is kept, and published with the one after the rest', async () => {
    const { publisher, accept, clock, store, documents } = await openResting({ a: demo('1.0.0') })
    await clock.advance(1000)
    await accept({ a: demo('1.0.0', '2.0.0') })
    expect([publisher.isBehind, publisher.restMs, clock.sleeping, documents.written.length]).toEqual([true, 3000, 0, 1])
    expect(store.listings.at(-1)?.changes).toEqual({ a: ['2.0.0'] })
    // Its age goes on: it is not what the registry has.
    expect([publisher.snapshot?.index.versions, publisher.snapshot?.listedAt]).toEqual([1, clock.now() - 2000])
    await clock.advance(2999)
    await accept({ a: demo('1.0.0', '2.0.0') })
    expect([publisher.isBehind, publisher.snapshot?.index.versions]).toEqual([true, 1])
    await clock.advance(1)
    await accept({ a: demo('1.0.0', '2.0.0') })
    expect([publisher.isBehind, publisher.snapshot?.index.versions]).toEqual([false, 2])
    expect(publisher.snapshot?.listedAt).toBe(clock.now())
  })

  test('rests no longer than a minute when the clock is set back', async () => {
    const { publisher, accept, clock } = await openResting({ a: demo('1.0.0') })
    clock.setBack(86_400_000)
    expect(publisher.restMs).toBeLessThanOrEqual(limits.maxRenderRestMs)
    await accept({ a: demo('1.0.0', '2.0.0') })
    await clock.advance(publisher.restMs)
    expect(publisher.restMs).toBe(0)
    await accept({ a: demo('1.0.0', '2.0.0') })
    expect([publisher.isBehind, publisher.snapshot?.index.versions]).toEqual([false, 2])
  })

  test('needs what is served until something else is: nothing of it is forgotten in a rest', async () => {
    const { publisher, accept, clock, store, content, documents } = await openResting({ a: demo('1.0.0', '2.0.0') })
    await accept({ a: demo('2.0.0') })
    expect([content.records.size, store.records.size, store.entries.size]).toEqual([2, 2, 2])
    documents.remove()
    expect(publisher.snapshot && (await readVersions(publisher.snapshot.index))['demo']).toHaveLength(2)
    await clock.advance(60_000)
    await accept({ a: demo('2.0.0') })
    expect([content.records.size, store.records.size, store.entries.size]).toEqual([1, 1, 1])
  })

  test('forgets what came and went in a rest', async () => {
    const { accept, clock, store, content } = await openResting({ a: demo('1.0.0') })
    await accept({ a: demo('1.0.0', '2.0.0') })
    await accept({ a: demo('1.0.0', '3.0.0') })
    await clock.advance(60_000)
    await accept({ a: demo('1.0.0', '3.0.0') })
    const left = [manifestOf('demo', '1.0.0'), manifestOf('demo', '3.0.0')]
    expect([[...content.records.keys()], [...store.records.keys()], [...store.entries.keys()]]).toEqual([
      left,
      left,
      left,
    ])
  })
})

describe('what no tag has any more', () => {
  test('is forgotten, here and in the store, when its last tag goes', async () => {
    const { accept, content, store } = openPublisherStage()
    await accept({ a: demo('1.0.0', '2.0.0'), b: [['stable', 'demo', '1.0.0']] })
    await accept({ a: demo('2.0.0'), b: [['stable', 'demo', '1.0.0']] })
    expect(content.records.size).toBe(2)
    await accept({ a: demo('2.0.0') })
    const left = [manifestOf('demo', '2.0.0')]
    expect([...content.records.keys()]).toEqual(left)
    expect([[...store.records.keys()], [...store.entries.keys()]]).toEqual([left, left])
  })

  test('is forgotten at the first listing when an earlier run has left it', async () => {
    const { publisher, content, store, clock, make, list, stopping } = openPublisherStage()
    await publisher.accept(list({ a: demo('1.0.0') }), [], stopping.signal)
    list({ a: demo('0.1.0', '0.2.0') })
    content.addSkipped('an image')
    expect(content.records.size).toBe(4)
    const next = make()
    await next.restore(list({ a: demo('1.0.0') }), stopping.signal)
    // What is restored says nothing of what is needed: the crawl behind it may still find it.
    expect(content.records.size).toBe(4)
    await clock.advance(1000)
    await next.accept(list({ a: demo('1.0.0') }), [], stopping.signal)
    const left = [manifestOf('demo', '1.0.0')]
    expect([[...content.records.keys()], [...store.records.keys()], [...store.entries.keys()]]).toEqual([
      left,
      left,
      left,
    ])
  })

  test('keeps the entry of a chart that an index stands for', async () => {
    const { publisher, content, store, list, stopping } = openPublisherStage()
    const chart = manifestOf('demo', '1.0.0')
    const { listedAt, repositories } = list({ a: demo('1.0.0') })
    const tags = new Map(repositories.get('a')?.tags).set('index', content.addIndexOf(chart, 'x'))
    const withTags = (all: typeof tags) => ({ listedAt, repositories: new Map([['a', { tags: all, checkedAt: 0 }]]) })
    await publisher.accept(withTags(tags), [], stopping.signal)
    const rest = new Map(tags)
    rest.delete('1.0.0')
    await publisher.accept(withTags(rest), [], stopping.signal)
    expect([store.records.has(chart), store.entries.has(chart)]).toEqual([false, true])
    expect(publisher.snapshot && (await readVersions(publisher.snapshot.index))).toEqual({
      demo: ['1.0.0 charts/demo-1.0.0.tgz'],
    })
    await publisher.accept(withTags(new Map()), [], stopping.signal)
    expect([store.records.size, store.entries.size, content.records.size]).toEqual([0, 0, 0])
  })
})

describe('an index whose entries are lost', () => {
  test('is made when the next crawl has read them again; until then the last one is served', async () => {
    const { publisher, accept, store, content, log, documents } = openPublisherStage()
    const first = { a: demo('1.0.0', '1.1.0'), b: demo('3.0.0') }
    await accept(first)
    store.lose(manifestOf('demo', '1.0.0'), manifestOf('demo', '3.0.0'))
    const second = { ...first, a: demo('1.0.0', '1.1.0', '2.0.0') }
    await accept(second)
    expect([publisher.snapshot?.index.versions, log.messages('warn')]).toEqual([
      3,
      ['index cannot be made before some charts are read again'],
    ])
    // The next crawl takes these for tags it has never seen.
    expect([
      content.records.has(manifestOf('demo', '1.0.0')),
      content.records.has(manifestOf('demo', '1.1.0')),
    ]).toEqual([false, true])
    const known = [...(publisher.beginCrawl()?.repositories ?? [])].map(([name, { tags }]) => [name, [...tags.keys()]])
    expect(known).toEqual([
      ['a', ['1.1.0', '2.0.0']],
      ['b', []],
    ])
    await accept(second)
    expect([publisher.snapshot?.index.versions, documents.written.length]).toEqual([4, 2])
    expect(publisher.snapshot && (await readVersions(publisher.snapshot.index))).toEqual({
      demo: ['3.0.0', '2.0.0', '1.1.0', '1.0.0'].map((version) => `${version} charts/demo-${version}.tgz`),
    })
    expect(publisher.beginCrawl()?.repositories.get('b')?.tags.size).toBe(1)
  })

  test('is not made of those that were deleted in the meantime', async () => {
    const { publisher, accept, store, make, list, stopping, documents } = openPublisherStage()
    await accept({ a: demo('1.0.0', '2.0.0') })
    documents.remove()
    store.lose(manifestOf('demo', '1.0.0'))
    const next = make()
    await next.restore(publisher.beginCrawl() ?? list({}), stopping.signal)
    expect([next.snapshot, [...(next.beginCrawl()?.repositories.get('a')?.tags.keys() ?? [])]]).toEqual([
      undefined,
      ['2.0.0'],
    ])
    await next.accept(list({ a: demo('2.0.0') }), [], stopping.signal)
    expect(next.snapshot?.index.versions).toBe(1)
    // What else the store may have lost nobody knows.
    expect(store.listings.at(-1)?.changes).toEqual({ a: ['2.0.0'] })
  })

  test('is found by a reader while a crawl is under way that counts on them: first they are read again', async () => {
    const { publisher, accept, store, list, stopping, documents, log, clock } = openPublisherStage()
    const table = { a: demo('1.0.0', '2.0.0'), b: demo('3.0.0') }
    await accept(table)
    await clock.advance(60_000)
    // The crawl has seen these tags, and knows what they mean.
    const underWay = list({ ...table, a: demo('1.0.0', '2.0.0', '4.0.0') })
    documents.remove()
    store.lose(manifestOf('demo', '1.0.0'), manifestOf('demo', '3.0.0'))
    for (let readers = 0; readers < 3; readers++) {
      expect(await rejection(publisher.snapshot?.index.document('yaml').open() ?? Promise.resolve())).toMatchObject({
        code: 'SNAPSHOT_MISSING',
      })
    }
    expect(log.messages('warn')).toEqual(['index cannot be made before some charts are read again'])
    await publisher.accept(underWay, [], stopping.signal)
    expect([publisher.isBehind, publisher.snapshot?.index.versions, documents.written.length]).toEqual([true, 3, 1])
    const known = [...(publisher.beginCrawl()?.repositories ?? [])].map(([name, { tags }]) => [name, [...tags.keys()]])
    expect(known).toEqual([
      ['a', ['2.0.0', '4.0.0']],
      ['b', []],
    ])
    await accept({ ...table, a: demo('1.0.0', '2.0.0', '4.0.0') })
    expect([publisher.isBehind, publisher.snapshot && (await readVersions(publisher.snapshot.index))]).toEqual([
      false,
      { demo: ['4.0.0', '3.0.0', '2.0.0', '1.0.0'].map((version) => `${version} charts/demo-${version}.tgz`) },
    ])
    expect([...(store.tags ?? [])].map(([name, tags]) => [name, tags.size])).toEqual([
      ['a', 3],
      ['b', 1],
    ])
    expect([store.records.size, store.entries.size]).toEqual([4, 4])
  })

  test('that is found while nothing else is new is made with the next crawl', async () => {
    const { publisher, accept, store, documents } = openPublisherStage()
    await accept({ a: demo('1.0.0', '2.0.0') })
    documents.remove()
    store.lose(manifestOf('demo', '1.0.0'))
    await rejection(publisher.snapshot?.index.document('json').open() ?? Promise.resolve())
    await accept({ a: demo('1.0.0', '2.0.0') })
    expect([publisher.isBehind, publisher.snapshot?.index.versions]).toEqual([false, 2])
    expect(publisher.snapshot && (await readVersions(publisher.snapshot.index))['demo']).toHaveLength(2)
  })

  test('leaves the next start nothing that lacks them', async () => {
    const { publisher, accept, store, list, stopping, documents, content, make } = openPublisherStage()
    await accept({ a: demo('1.0.0', '2.0.0') })
    const underWay = list({ a: demo('1.0.0', '2.0.0', '3.0.0') })
    documents.remove()
    store.lose(manifestOf('demo', '1.0.0'))
    await rejection(publisher.snapshot?.index.document('json').open() ?? Promise.resolve())
    await publisher.accept(underWay, [], stopping.signal)
    // The server ends here. The next one begins with what is kept, when that is whole.
    const repositories = [...(store.tags ?? [])].map(([name, tags]) => [name, { tags, checkedAt: 0 }] as const)
    const digests = repositories.flatMap(([, { tags }]) => [...tags.values()])
    content.records.clear()
    for (const [digest, record] of store.records) content.records.set(digest, record)
    const next = make()
    if (digests.every((digest) => digest === null || store.records.has(digest)))
      await next.restore({ listedAt: 0, repositories: new Map(repositories) }, stopping.signal)
    expect(next.snapshot?.index.versions).toBeUndefined()
  })
})
