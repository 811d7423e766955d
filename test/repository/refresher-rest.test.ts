/** What the rests between two indexes and a clock that is set back mean to readers and to the loop. */
import { describe, expect, test } from 'bun:test'
import { limits } from '../../src/limits.ts'
import { defer, settle } from '../lib/fake-clock.ts'
import { failure } from './memory-registry.ts'
import { INTERVAL_MS, openFreshStage, openStage, WAIT_MS } from './refresher-stage.ts'

const DAY_MS = 86_400_000

/** An index was made at the beginning, which took `makingMs`; what follows is made in no time. */
async function openResting(makingMs: number) {
  const stage = openStage()
  const { registry, refresher, clock, documents, takeCalls } = stage
  registry.addChart('a', '1.0.0', { name: 'demo', version: '1.0.0' })
  documents.delay = () => clock.sleep(makingMs)
  refresher.start()
  await clock.advance(makingMs)
  documents.delay = undefined
  expect(refresher.snapshot?.index.versions).toBe(1)
  takeCalls()
  return { ...stage, add: (version: string) => registry.addChart('a', version, { name: 'demo', version }) }
}

describe('a rest', () => {
  test('costs readers nothing, and the registry no crawl once it is known what is new', async () => {
    const { refresher, clock, add, takeCalls } = await openResting(2000)
    await clock.advance(limits.freshSnapshotMs + 1)
    add('2.0.0')
    await refresher.fresh()
    expect(takeCalls()).toEqual(['catalog', 'tags a', 'get a:2.0.0', 'blob a'])
    add('3.0.0')
    const { waits } = clock
    const sleeps = waits.length
    for (let reader = 0; reader < 100; reader++) {
      await clock.advance(10)
      expect((await refresher.fresh()).index.versions).toBe(1)
    }
    expect([takeCalls(), waits.slice(sleeps)]).toEqual([[], []])
    // The first reader after it has everything there is by then.
    await clock.advance(6000)
    expect((await refresher.fresh()).index.versions).toBe(3)
    await refresher.stop()
  })

  test('ends with a new listing, whose index has what is there by then, though no reader comes', async () => {
    const { refresher, clock, add, registry } = await openResting(10_000)
    add('2.0.0')
    // Until a moment before its end: the listing of the interval has found the new version.
    await clock.advance(39_999)
    expect([registry.count('catalog'), refresher.snapshot?.index.versions]).toEqual([1, 1])
    add('3.0.0')
    await clock.advance(1)
    expect([registry.count('catalog'), refresher.snapshot?.index.versions]).toEqual([2, 3])
    await clock.advance(INTERVAL_MS)
    expect(registry.count('catalog')).toBe(3)
    await refresher.stop()
  })

  test('is no fault of the registry, and shows in the age', async () => {
    const { refresher, clock, add } = await openResting(10_000)
    add('2.0.0')
    await clock.advance(39_000)
    expect([refresher.status.error, refresher.snapshotAgeSeconds]).toEqual([undefined, 49])
    await refresher.stop()
  })

  test('does not hold the end up', async () => {
    const { refresher, clock, add } = await openResting(10_000)
    add('2.0.0')
    await clock.advance(30_000)
    await refresher.stop()
    expect([refresher.snapshot?.index.versions, clock.sleeping]).toEqual([1, 0])
  })
})

describe('a clock that is set back', () => {
  test('makes the loop wait no longer than an interval', async () => {
    const { refresher, registry, clock } = openStage()
    const gate = defer()
    registry.fail('catalog', gate.promise)
    refresher.start()
    await settle()
    clock.setBack(DAY_MS)
    registry.fail('catalog', undefined)
    gate.resolve()
    await settle()
    expect(registry.count('catalog')).toBe(1)
    await clock.advance(INTERVAL_MS)
    expect(registry.count('catalog')).toBe(2)
    await refresher.stop()
  })

  test('makes no reader take the snapshot for fresh until the same time comes again', async () => {
    const { refresher, registry, clock } = await openFreshStage()
    clock.setBack(DAY_MS)
    registry.addChart('a', '2.0.0', { name: 'demo', version: '2.0.0' })
    expect(refresher.snapshotAgeSeconds).toBe(0)
    await refresher.fresh()
    expect(registry.count('catalog')).toBe(1)
    // The rest that the old time may have left is over by then.
    await clock.advance(limits.maxRenderRestMs)
    expect((await refresher.fresh()).index.versions).toBe(2)
    expect(refresher.snapshot?.listedAt).toBe(clock.now())
  })

  test('does not lengthen the pause after an outage', async () => {
    const { refresher, registry, clock } = await openFreshStage()
    registry.fail('catalog', failure())
    await clock.advance(3000)
    await refresher.fresh()
    registry.fail('catalog', undefined)
    clock.setBack(DAY_MS)
    // Nobody waits while there was an outage, but the refresh is begun.
    await refresher.fresh()
    await settle()
    expect([refresher.snapshot?.listedAt, refresher.status.error]).toEqual([clock.now(), undefined])
  })

  test('is no reason to call a refresh overdue, nor to wait for it longer', async () => {
    const { refresher, registry, clock } = await openFreshStage()
    const gate = defer()
    registry.fail('catalog', gate.promise)
    await clock.advance(3000)
    const reading = refresher.fresh()
    await settle()
    clock.setBack(DAY_MS)
    expect(refresher.status.error).toBeUndefined()
    await clock.advance(WAIT_MS)
    expect((await reading).index.versions).toBe(1)
    gate.resolve()
    await settle()
  })
})
