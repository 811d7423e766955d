/** The life of a refresher: its rhythm, its end, what it begins with and what it leaves behind. */
import { describe, expect, test } from 'bun:test'
import { getEventListeners } from 'node:events'
import { defer, settle } from '../lib/fake-clock.ts'
import { failure } from './memory-registry.ts'
import { INTERVAL_MS, openFreshStage, openStage } from './refresher-stage.ts'

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

  test('keeps no result but the last one in memory', async () => {
    const { refresher, registry, clock } = await openFreshStage()
    registry.addChart('b', '1.0.0', { name: 'other', version: '1.0.0' })
    registry.fail('tags b', failure())
    const results: WeakRef<object>[] = []
    for (let i = 0; i < 40; i++) {
      await clock.advance(3000)
      await refresher.fresh()
      results.push(new WeakRef(refresher.status.problems))
    }
    await settle()
    Bun.gc(true)
    // The last one is in use, and the collector may take a stray word on the stack for a reference to another.
    expect(results.filter((result) => result.deref() !== undefined).length).toBeLessThan(10)
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
    expect([
      refresher.snapshot?.index.versions,
      refresher.status.error,
      log.messages('warn'),
      store.listings.length,
    ]).toEqual([1, undefined, [], listings])
  })

  test('can be called before the start, and twice', async () => {
    const { refresher } = openStage()
    await refresher.stop()
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
    expect(store.listings.map(({ changes }) => changes)).toEqual([
      { a: ['1.0.0'] },
      { b: ['1.0.0'] },
      {},
      { a: ['-1.0.0'] },
    ])
  })

  test('an index that did not change is not made or announced again', async () => {
    const { refresher, documents, clock, log } = await openFreshStage()
    const { index } = await refresher.fresh()
    await clock.advance(3000)
    await refresher.fresh()
    expect(refresher.snapshot?.index).toBe(index)
    expect([documents.written, documents.retained]).toEqual([[index.key], [index.key, index.key]])
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
    expect(log.lines.filter(({ level }) => level === 'warn').map(({ fields }) => fields)).toEqual([
      { served: 'a', hidden: 'b', file: 'demo-1.0.0.tgz', others: 0 },
    ])
  })
})
