/** Freshness and outages: one refresh at a time, shared, and nothing published that is not whole. */
import { describe, expect, test } from 'bun:test'
import { getEventListeners } from 'node:events'
import { limits } from '../../src/limits.ts'
import { Refresher } from '../../src/repository/refresher.ts'
import { defer, settle } from '../lib/fake-clock.ts'
import { rejection } from '../upstream/fake-send.ts'
import { openCrawlStage, REVALIDATE_MS } from './crawl-stage.ts'
import { failure } from './memory-registry.ts'

const INTERVAL_MS = 30_000
const WAIT_MS = 500

function openStage(initial?: ConstructorParameters<typeof Refresher>[0]['initial']) {
  const stage = openCrawlStage()
  const { context, store, clock, log } = stage
  const make = (first = initial) =>
    new Refresher({ context, store, refreshIntervalMs: INTERVAL_MS, refreshWaitMs: WAIT_MS, initial: first, clock, log })
  return { ...stage, make, refresher: make() }
}

/** With one chart, published a moment ago. */
async function openFreshStage() {
  const stage = openStage()
  stage.registry.addChart('a', '1.0.0', { name: 'demo', version: '1.0.0' })
  await stage.refresher.fresh()
  stage.takeCalls()
  return stage
}

describe('fresh', () => {
  test('crawls for the first reader, and not again while the snapshot is young', async () => {
    const { refresher, registry, clock } = await openFreshStage()
    expect(refresher.snapshot?.index).toMatchObject({ charts: 1, versions: 1 })
    await clock.advance(limits.freshSnapshotMs)
    await refresher.fresh()
    expect(registry.calls).toEqual([])
    await clock.advance(1)
    await refresher.fresh()
    expect(registry.calls).toEqual(['catalog', 'tags a'])
  })

  test('is one refresh for all readers at the same time', async () => {
    const { refresher, registry, clock } = await openFreshStage()
    await clock.advance(3000)
    const snapshots = await Promise.all(Array.from({ length: 200 }, () => refresher.fresh()))
    expect([registry.count('catalog'), new Set(snapshots).size]).toEqual([1, 1])
  })

  test('has what was pushed before it was asked for', async () => {
    const { refresher, registry, clock } = await openFreshStage()
    await clock.advance(3000)
    registry.addChart('a', '2.0.0', { name: 'demo', version: '2.0.0' })
    expect((await refresher.fresh()).index.versions).toBe(2)
  })

  test('waits at most the refresh wait, then gives the newest there is; the refresh goes on', async () => {
    const { refresher, registry, clock } = await openFreshStage()
    registry.addChart('a', '2.0.0', { name: 'demo', version: '2.0.0' })
    const gate = defer()
    registry.fail('catalog', gate.promise)
    await clock.advance(3000)
    let versions: number | undefined
    const reading = refresher.fresh().then(({ index }) => {
      versions = index.versions
    })
    await clock.advance(WAIT_MS - 1)
    expect(versions).toBeUndefined()
    await clock.advance(1)
    expect(versions).toBe(1)
    await reading
    gate.resolve()
    await settle()
    expect([refresher.snapshot?.index.versions, clock.sleeping]).toEqual([2, 0])
  })

  test('does not take a refresh for new that began long before it was asked for', async () => {
    const { refresher, registry, clock } = await openFreshStage()
    const gate = defer()
    registry.fail('catalog', gate.promise)
    await clock.advance(3000)
    const early = refresher.fresh()
    await clock.advance(limits.freshSnapshotMs + 1)
    const late = refresher.fresh()
    registry.fail('catalog', undefined)
    gate.resolve()
    await early
    await late
    expect(registry.count('catalog')).toBe(2)
  })

  test('leaves no timer behind when the refresh is quick', async () => {
    const { refresher, clock } = await openFreshStage()
    await clock.advance(3000)
    await refresher.fresh()
    await settle()
    expect(clock.sleeping).toBe(0)
  })
})

describe('an outage', () => {
  test('leaves the last good snapshot in place, with its age and the reason', async () => {
    const { refresher, registry, clock, log } = await openFreshStage()
    const before = refresher.snapshot
    registry.fail('catalog', failure('UPSTREAM_UNAVAILABLE', 'it is down'))
    for (let i = 0; i < 5; i++) {
      await clock.advance(6000)
      expect((await refresher.fresh()).index.etag).toBe(before?.index.etag ?? '')
      await settle()
    }
    expect([refresher.snapshotAgeSeconds, refresher.status.error]).toEqual([30, 'it is down'])
    expect(log.messages('warn')).toEqual(['registry cannot be listed'])
    registry.fail('catalog', undefined)
    await clock.advance(6000)
    await refresher.fresh()
    await settle()
    expect([refresher.snapshotAgeSeconds, refresher.status.error]).toEqual([0, undefined])
    expect(log.messages('info').at(-1)).toBe('registry can be listed again')
  })

  test('makes no reader wait, nor ask the registry more often than every five seconds', async () => {
    const { refresher, registry, clock } = await openFreshStage()
    registry.fail('catalog', failure())
    await clock.advance(3000)
    await refresher.fresh()
    await settle()
    for (let i = 0; i < 100; i++) {
      await clock.advance(49)
      await refresher.fresh()
    }
    expect(registry.count('catalog')).toBe(1)
    registry.fail('catalog', defer().promise)
    await clock.advance(200)
    await refresher.fresh()
    expect([registry.count('catalog'), clock.sleeping]).toEqual([2, 0])
  })

  test('of one repository keeps its charts', async () => {
    const { refresher, registry, clock } = await openFreshStage()
    registry.fail('tags a', failure())
    registry.addChart('b', '1.0.0', { name: 'other', version: '1.0.0' })
    await clock.advance(3000)
    expect((await refresher.fresh()).index.charts).toBe(2)
    expect(refresher.status).toEqual({ error: undefined, problems: [{ repository: 'a', reason: 'UPSTREAM_UNAVAILABLE', transient: true }] })
  })

  test('that is a fault of this program is told apart, with its place, and is no end of refreshing', async () => {
    const { refresher, registry, clock, log } = await openFreshStage()
    registry.fail('catalog', () => {
      throw new TypeError('a fault')
    })
    await clock.advance(3000)
    await refresher.fresh()
    expect(refresher.status.error).toBe('an internal fault; the log has it')
    expect(log.lines.at(-1)).toMatchObject({ level: 'error', fields: { error: 'a fault', stack: expect.stringContaining('refresher.test') } })
    registry.fail('catalog', undefined)
    await clock.advance(6000)
    await refresher.fresh()
    await settle()
    expect(refresher.status.error).toBeUndefined()
  })
})

describe('before there is a snapshot', () => {
  test('readers are told why', async () => {
    const { refresher, registry, clock } = openStage()
    const gate = defer()
    registry.fail('catalog', gate.promise)
    const early = rejection(refresher.fresh())
    await clock.advance(WAIT_MS)
    expect(await early).toMatchObject({ code: 'SNAPSHOT_MISSING', message: expect.stringContaining('under way'), retryAfterMs: 5000 })
    gate.reject(failure('UPSTREAM_DENIED', 'it refused'))
    await settle()
    expect(await rejection(refresher.fresh())).toMatchObject({ code: 'SNAPSHOT_MISSING', message: 'There is no index yet: it refused' })
    expect([refresher.snapshot, refresher.snapshotAgeSeconds]).toEqual([undefined, undefined])
  })

  test('nothing is published while a repository may only be late, and it is after some rounds', async () => {
    const { refresher, registry, store, clock } = openStage()
    registry.addChart('a', '1.0.0', { name: 'demo', version: '1.0.0' })
    registry.addChart('b', '1.0.0', { name: 'other', version: '1.0.0' })
    registry.fail('tags b', failure())
    refresher.start()
    await settle()
    for (let round = 1; round < limits.maxFirstCrawlRounds; round++) {
      expect([round, registry.count('catalog'), refresher.snapshot, store.listings.length]).toEqual([round, round, undefined, 0])
      expect(refresher.status.error).toContain('b: UPSTREAM_UNAVAILABLE')
      await clock.advance(1000 * 2 ** (round - 1))
    }
    expect(refresher.snapshot?.index.charts).toBe(1)
    expect(store.listings).toHaveLength(1)
    await refresher.stop()
  })

  test('readers that come meanwhile do not make the rounds shorter', async () => {
    const { refresher, registry, clock } = openStage()
    registry.addChart('a', '1.0.0', { name: 'demo', version: '1.0.0' })
    registry.addChart('b', '1.0.0', { name: 'other', version: '1.0.0' })
    registry.fail('tags b', failure())
    refresher.start()
    await settle()
    for (let i = 0; i < 10; i++) {
      await clock.advance(10)
      await refresher.fresh().catch(() => undefined)
    }
    expect(refresher.snapshot).toBeUndefined()
    await refresher.stop()
  })

  test('what will not pass by itself keeps nothing back', async () => {
    const { refresher, registry } = openStage()
    registry.addChart('a', '1.0.0', { name: 'demo', version: '1.0.0' })
    registry.addChart('b', '1.0.0', { name: 'other', version: '1.0.0' })
    registry.fail('tags b', failure('UPSTREAM_DENIED'))
    expect((await refresher.fresh()).index.charts).toBe(1)
  })

  test('an index without one repository of all is never published for a whole one', async () => {
    const { refresher, registry, clock } = openStage()
    registry.addChart('a', '1.0.0', { name: 'demo', version: '1.0.0' })
    registry.fail('tags a', failure())
    refresher.start()
    await clock.advance(600_000)
    expect(refresher.snapshot).toBeUndefined()
    registry.fail('tags a', undefined)
    registry.incomplete.set('catalog', failure())
    await clock.advance(600_000)
    expect(refresher.snapshot).toBeUndefined()
    registry.incomplete.clear()
    await clock.advance(INTERVAL_MS)
    expect(refresher.snapshot?.index.charts).toBe(1)
    await refresher.stop()
  })

  test('an empty registry is an empty index', async () => {
    expect((await openStage().refresher.fresh()).index).toMatchObject({ charts: 0, versions: 0 })
  })
})

describe('start', () => {
  test('refreshes at once and then every interval', async () => {
    const { refresher, registry, clock } = openStage()
    refresher.start()
    refresher.start()
    await settle()
    expect(registry.count('catalog')).toBe(1)
    await clock.advance(INTERVAL_MS * 3)
    expect(registry.count('catalog')).toBe(4)
    await refresher.stop()
  })

  test('tries sooner while there is nothing to serve: after 1, 2, 4 … seconds, up to the interval', async () => {
    const { refresher, registry, clock } = openStage()
    registry.fail('catalog', failure())
    refresher.start()
    const at: number[] = []
    for (let second = 0; second <= 91; second++) {
      await settle()
      if (registry.calls.splice(0).length > 0) at.push(second)
      await clock.advance(1000)
    }
    expect(at).toEqual([0, 1, 3, 7, 15, 31, 61, 91])
    await refresher.stop()
  })

  test('does not fall behind when a refresh takes longer than the interval', async () => {
    const { refresher, registry, clock } = openStage()
    const gate = defer()
    registry.fail('catalog', gate.promise)
    refresher.start()
    await clock.advance(INTERVAL_MS * 2.5)
    registry.fail('catalog', undefined)
    gate.resolve()
    await clock.advance(0)
    expect(registry.count('catalog')).toBe(2)
    await clock.advance(INTERVAL_MS)
    expect(registry.count('catalog')).toBe(3)
    await refresher.stop()
  })

  test('leaves nothing behind of a refresh that is over', async () => {
    const { refresher, registry, clock } = openStage()
    refresher.start()
    await clock.advance(INTERVAL_MS * 50)
    const { signal } = registry
    expect(registry.count('catalog')).toBe(51)
    expect(signal === undefined ? 'no signal' : getEventListeners(signal, 'abort').length).toBeLessThan(5)
    await refresher.stop()
  })
})

describe('stop', () => {
  test('ends the waiting for the next refresh, and starts none', async () => {
    const { refresher, registry, clock } = openStage()
    refresher.start()
    await settle()
    await refresher.stop()
    await clock.advance(INTERVAL_MS * 3)
    expect([registry.count('catalog'), clock.sleeping]).toEqual([1, 0])
    expect(registry.signal?.aborted).toBe(true)
  })

  test('does not wait for a refresh that hangs, publishes nothing of it, and calls it no failure', async () => {
    const { refresher, registry, clock, log, store } = await openFreshStage()
    const gate = defer()
    registry.fail('catalog', gate.promise)
    registry.addChart('a', '2.0.0', { name: 'demo', version: '2.0.0' })
    await clock.advance(3000)
    refresher.start()
    await settle()
    await refresher.stop()
    const listings = store.listings.length
    gate.resolve()
    await settle()
    expect([refresher.snapshot?.index.versions, refresher.status.error, log.messages('warn'), store.listings.length]).toEqual([1, undefined, [], listings])
  })

  test('can be called before the start, and twice', async () => {
    const { refresher } = openStage()
    await refresher.stop()
    await refresher.stop()
  })
})

describe('the listing of the run before', () => {
  test('is published at once, with its age, and what changed since follows', async () => {
    const stage = await openFreshStage()
    const { listing } = await stage.crawl()
    stage.takeCalls()
    await stage.clock.advance(60_000)
    stage.registry.addChart('a', '2.0.0', { name: 'demo', version: '2.0.0' })
    const refresher = stage.make(listing)
    expect([refresher.snapshot?.index.versions, refresher.snapshotAgeSeconds, stage.registry.calls]).toEqual([1, 60, []])
    expect((await refresher.fresh()).index.versions).toBe(2)
    expect(stage.takeCalls()).toEqual(['catalog', 'tags a', 'get a:2.0.0', 'blob a'])
  })

  test('is served on when the registry is down from the start', async () => {
    const stage = await openFreshStage()
    const { listing } = await stage.crawl()
    stage.registry.fail('catalog', failure())
    await stage.clock.advance(60_000)
    const refresher = stage.make(listing)
    expect((await refresher.fresh()).index.versions).toBe(1)
    expect(refresher.status.error).toBe('UPSTREAM_UNAVAILABLE')
  })

  test('may lack records: their charts are listed as soon as they are known again', async () => {
    const stage = await openFreshStage()
    const { listing } = await stage.crawl()
    stage.records.clear()
    const refresher = stage.make(listing)
    refresher.start()
    await stage.clock.advance(REVALIDATE_MS + INTERVAL_MS)
    expect([stage.records.size, refresher.snapshot?.index.charts]).toEqual([1, 1])
    await refresher.stop()
  })
})

describe('what is kept and said', () => {
  test('only what changed is written down, with every listing', async () => {
    const { refresher, registry, store, clock } = await openFreshStage()
    registry.addChart('b', '1.0.0', { name: 'other', version: '1.0.0' })
    await clock.advance(3000)
    await refresher.fresh()
    await clock.advance(3000)
    await refresher.fresh()
    registry.removeRepository('a')
    await clock.advance(3000)
    await refresher.fresh()
    expect(store.listings.map(({ changed }) => changed)).toEqual([{ a: ['1.0.0'] }, { b: ['1.0.0'] }, {}, { a: undefined }])
  })

  test('an index that did not change keeps its bytes and is not announced again', async () => {
    const { refresher, clock, log } = await openFreshStage()
    const { body } = refresher.snapshot?.index ?? {}
    await clock.advance(3000)
    await refresher.fresh()
    expect(refresher.snapshot?.index.body).toBe(body ?? new Blob())
    expect([refresher.snapshot?.listedAt, log.messages('info')]).toEqual([clock.now(), ['index published']])
  })

  test('a collision is said once', async () => {
    const { refresher, registry, clock, log } = await openFreshStage()
    registry.addChart('b', '1.0.0', { name: 'demo', version: '1.0.0' })
    for (const version of ['2.0.0', '3.0.0']) {
      registry.addChart('b', version, { name: 'demo', version })
      await clock.advance(3000)
      await refresher.fresh()
    }
    expect(log.lines.filter(({ level }) => level === 'warn').map(({ fields }) => fields)).toEqual([{ file: 'demo-1.0.0.tgz', listed: 'a', hidden: 'b' }])
  })
})
