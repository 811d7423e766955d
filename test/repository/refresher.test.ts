/** Freshness and outages: one refresh at a time, shared, and nothing published that is not whole. */
import { describe, expect, test } from 'bun:test'
import { limits } from '../../src/limits.ts'
import { defer, settle } from '../lib/fake-clock.ts'
import { rejection } from '../upstream/fake-send.ts'
import { failure } from './memory-registry.ts'
import { INTERVAL_MS, openFreshStage, openStage, WAIT_MS } from './refresher-stage.ts'

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
    const snapshots = await Promise.all(Array.from({ length: 1000 }, () => refresher.fresh()))
    expect([registry.calls, new Set(snapshots).size]).toEqual([['catalog', 'tags a'], 1])
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
    const { key } = (await refresher.fresh()).index
    registry.fail('catalog', failure('UPSTREAM_UNAVAILABLE', 'it is down'))
    for (let i = 0; i < 5; i++) {
      await clock.advance(6000)
      expect((await refresher.fresh()).index.key).toBe(key)
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
    // Who is asleep is the crawl, which says now and then how far it is.
    expect([registry.count('catalog'), clock.sleeping]).toEqual([2, 1])
  })

  test('of one repository keeps its charts', async () => {
    const { refresher, registry, clock } = await openFreshStage()
    registry.fail('tags a', failure())
    registry.addChart('b', '1.0.0', { name: 'other', version: '1.0.0' })
    await clock.advance(3000)
    expect((await refresher.fresh()).index.charts).toBe(2)
    await settle()
    expect(refresher.status).toEqual({
      error: undefined,
      progress: undefined,
      problems: [{ repository: 'a', reason: 'UPSTREAM_UNAVAILABLE', transient: true }],
    })
  })

  test('that is a fault of this program is told apart, with its place, and is no end of refreshing', async () => {
    const { refresher, registry, clock, log } = await openFreshStage()
    registry.fail('catalog', () => {
      throw new TypeError('a fault')
    })
    await clock.advance(3000)
    await refresher.fresh()
    expect(refresher.status.error).toBe('an internal fault; the log has it')
    expect(log.lines.at(-1)).toMatchObject({
      level: 'error',
      fields: { error: 'a fault', stack: expect.stringContaining('refresher.test') },
    })
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
    expect(await early).toMatchObject({
      code: 'SNAPSHOT_MISSING',
      message: expect.stringContaining('under way'),
      retryAfterMs: 5000,
    })
    gate.reject(failure('UPSTREAM_DENIED', 'it refused'))
    await settle()
    expect(await rejection(refresher.fresh())).toMatchObject({
      code: 'SNAPSHOT_MISSING',
      message: 'There is no index yet: it refused',
    })
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
      expect([round, registry.count('catalog'), refresher.snapshot, store.listings.length]).toEqual([
        round,
        round,
        undefined,
        0,
      ])
      expect(refresher.status.error).toContain('b: UPSTREAM_UNAVAILABLE')
      await clock.advance(1000 * 2 ** (round - 1))
    }
    expect(refresher.snapshot?.index.charts).toBe(1)
    expect(store.listings).toHaveLength(1)
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
