/** What there is of an index while the first crawl is under way: only for who asked for it, marked, and never for long. */
import { describe, expect, test } from 'bun:test'
import { limits } from '../../src/limits.ts'
import type { Snapshot } from '../../src/repository/snapshot.ts'
import { defer, settle } from '../lib/fake-clock.ts'
import { rejection } from '../upstream/fake-send.ts'
import type { TagTable } from './listing-content.ts'
import { failure } from './memory-registry.ts'
import { late, openPublisherStage } from './publisher-stage.ts'
import { openStage } from './refresher-stage.ts'

const a = { a: [['1.0.0', 'demo', '1.0.0']] } as const satisfies TagTable
const ab = { ...a, b: [['1.0.0', 'other', '1.0.0']] } as const satisfies TagTable

describe('Publisher.offerPart', () => {
  test('serves what there is, marked, until the whole takes its place', async () => {
    const { publisher, offerPart, accept, store } = openPublisherStage({ servesPartial: true })
    offerPart(a)
    await settle()
    expect(publisher.part).toMatchObject({ isPartial: true, index: { versions: 1 } })
    expect([publisher.snapshot, store.listings]).toEqual([undefined, []])
    await accept(ab)
    expect(publisher.snapshot).toMatchObject({ isPartial: false, index: { versions: 2 } })
    expect(publisher.part).toBeUndefined()
  })

  test('does nothing when nobody opted in', async () => {
    const { publisher, offerPart, documents } = openPublisherStage()
    offerPart(a)
    await settle()
    expect([publisher.part, publisher.snapshot, documents.written]).toEqual([undefined, undefined, []])
  })

  test('does nothing once there is a snapshot', async () => {
    const { publisher, offerPart, accept, documents } = openPublisherStage({ servesPartial: true })
    await accept(ab)
    offerPart(a)
    await settle()
    expect([publisher.part, publisher.snapshot?.index.versions, documents.written.length]).toEqual([undefined, 2, 1])
  })

  test('makes one at a time, and rests in between', async () => {
    const { publisher, offerPart, clock, documents, takeLong } = openPublisherStage({ servesPartial: true })
    const versions: (readonly [string, string, string])[] = []
    takeLong(1000)
    for (let second = 0; second < 60; second++) {
      versions.push([`1.0.${second}`, 'demo', `1.0.${second}`])
      offerPart({ a: versions })
      await clock.advance(1000)
    }
    const expected = 60 * limits.maxRenderShare
    expect(documents.written.length).toBeLessThanOrEqual(expected)
    expect(documents.written.length).toBeGreaterThan(expected / 2)
    expect(publisher.part?.index.versions).toBeGreaterThan(50)
  })

  test('has its documents kept, and those of the one before let go', async () => {
    const { publisher, offerPart, accept, clock, documents } = openPublisherStage({ servesPartial: true })
    offerPart(a)
    await clock.advance(1000)
    const first = publisher.part?.index.key ?? ''
    offerPart(ab)
    await clock.advance(1000)
    const second = publisher.part?.index.key ?? ''
    expect([first === second, documents.retained]).toEqual([false, [first, second]])
    expect([await documents.find(first), (await documents.find(second)) !== undefined]).toEqual([undefined, true])
    await accept({ ...ab, c: [['1.0.0', 'third', '1.0.0']] })
    expect(documents.retained).toEqual([first, second, publisher.snapshot?.index.key ?? ''])
  })

  test('that is whole already is not made again', async () => {
    const { publisher, offerPart, accept, clock, documents } = openPublisherStage({ servesPartial: true })
    offerPart(ab)
    await clock.advance(1000)
    await accept(ab)
    expect([publisher.snapshot?.isPartial, documents.written.length]).toEqual([false, 1])
  })

  test('has what there is by the time it is made, and is left alone by what is added then', async () => {
    const { publisher, list, stopping, documents } = openPublisherStage({ servesPartial: true })
    const { listedAt, repositories } = list(ab)
    const growing = new Map([...repositories].slice(0, 1))
    publisher.offerPart({ listedAt, repositories: growing }, stopping.signal)
    for (const [name, state] of repositories) growing.set(name, state)
    await settle()
    expect([publisher.part?.index.versions, documents.written.length]).toEqual([2, 1])
  })

  test('that is still made when the whole is there does not take its place', async () => {
    const { publisher, offerPart, accept, documents } = openPublisherStage({ servesPartial: true })
    const gate = defer()
    documents.delay = () => gate.promise
    offerPart(a)
    await settle()
    const accepted = accept(ab)
    await settle()
    expect(publisher.snapshot).toBeUndefined()
    gate.resolve()
    await accepted
    await settle()
    expect([publisher.part, publisher.snapshot?.index.versions]).toEqual([undefined, 2])
  })

  test('stays when the first listing is held back', async () => {
    const { publisher, offerPart, accept } = openPublisherStage({ servesPartial: true })
    offerPart(a)
    await settle()
    await accept(a, [late('b')])
    expect([publisher.part?.index.versions, publisher.snapshot]).toEqual([1, undefined])
  })

  test('that cannot be made is said in the log, and stands in nobody’s way', async () => {
    const { publisher, offerPart, accept, documents, log } = openPublisherStage({ servesPartial: true })
    documents.delay = async () => {
      throw new TypeError('a fault')
    }
    offerPart(a)
    await settle()
    expect(log.messages('error')).toEqual(['part of the index cannot be made'])
    documents.delay = undefined
    await accept(ab)
    expect(publisher.snapshot?.index.versions).toBe(2)
  })

  test('is not called a fault when the server stops', async () => {
    const { offerPart, documents, log, stopping } = openPublisherStage({ servesPartial: true })
    const gate = defer()
    documents.delay = () => gate.promise
    offerPart(a)
    await settle()
    stopping.abort(new Error('it stops'))
    gate.resolve()
    await settle()
    expect(log.lines).toEqual([])
  })
})

describe('a first crawl that is held up by one repository', () => {
  function openSlowStage(servesPartial: boolean) {
    const stage = openStage({ servesPartial })
    for (const repository of ['a', 'b', 'c']) {
      stage.registry.addChart(repository, '1.0.0', { name: `chart-${repository}`, version: '1.0.0' })
    }
    const gate = defer()
    stage.registry.fail('tags c', gate.promise)
    return { ...stage, gate }
  }

  test('is served without it to who opted in, then whole', async () => {
    const { refresher, clock, gate } = openSlowStage(true)
    refresher.start()
    await settle()
    expect(refresher.snapshot?.isPartial).toBe(true)
    const reading = refresher.fresh()
    await clock.advance(500)
    expect(await reading).toMatchObject({ isPartial: true })
    gate.resolve()
    await settle()
    expect(refresher.snapshot).toMatchObject({ isPartial: false, index: { charts: 3 } })
    expect(await refresher.fresh()).toMatchObject({ isPartial: false })
    await refresher.stop()
  })

  test('is served with everything there is before it is over', async () => {
    const { refresher, clock, gate } = openSlowStage(true)
    refresher.start()
    await clock.advance(30_000)
    expect(refresher.snapshot?.index.charts).toBe(2)
    gate.resolve()
    await settle()
    await refresher.stop()
  })

  test('is not served to others, who are told how far it is', async () => {
    const { refresher, clock, gate } = openSlowStage(false)
    refresher.start()
    await clock.advance(2000)
    const early = rejection(refresher.fresh())
    await clock.advance(500)
    expect(await early).toMatchObject({
      code: 'SNAPSHOT_MISSING',
      message:
        'There is no index yet: the first crawl of the registry is under way: 2 of at least 2 tags are read, 1 a second',
    })
    expect(refresher.status.progress).toMatchObject({ done: 2, total: 2, listed: 2, repositories: 3 })
    gate.resolve()
    await settle()
    expect([refresher.snapshot?.index.charts, refresher.status.progress]).toEqual([3, undefined])
    await refresher.stop()
  })

  test('loses nothing of what it serves in its next round', async () => {
    const { refresher, registry, clock } = openStage({ servesPartial: true })
    registry.addChart('a', '1.0.0', { name: 'demo', version: '1.0.0' })
    registry.addChart('c', '1.0.0', { name: 'late', version: '1.0.0' })
    registry.fail('tags c', failure())
    refresher.start()
    await settle()
    expect(servedBy(refresher)).toEqual(['demo-1.0.0.tgz'])
    const gate = defer()
    registry.fail('tags a', gate.promise)
    registry.addChart('b', '1.0.0', { name: 'other', version: '1.0.0' })
    await clock.advance(5000)
    expect(servedBy(refresher)).toEqual(['demo-1.0.0.tgz', 'other-1.0.0.tgz'])
    gate.resolve()
    await settle()
    await refresher.stop()
  })
})

/** Which of the two charts there are can be fetched. */
function servedBy({ snapshot }: { readonly snapshot: Snapshot | undefined }): readonly string[] {
  return ['demo-1.0.0.tgz', 'other-1.0.0.tgz'].filter((name) => snapshot?.files.get(name) !== undefined)
}
