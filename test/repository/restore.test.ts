/** What a server begins with when one before it has left a listing. */
import { describe, expect, test } from 'bun:test'
import type { Digest } from '../../src/oci/digest.ts'
import type { CatalogListing } from '../../src/repository/catalog.ts'
import { defer, settle } from '../lib/fake-clock.ts'
import { rejection } from '../upstream/fake-send.ts'
import { failure } from './memory-registry.ts'
import { INTERVAL_MS, openFreshStage, WAIT_MS } from './refresher-stage.ts'

/** One run is over, a minute ago; the next one is about to begin. */
async function openNextRun() {
  const stage = await openFreshStage()
  const { listing } = await stage.crawl()
  await stage.refresher.stop()
  stage.takeCalls()
  await stage.clock.advance(60_000)
  return { ...stage, listing, refresher: stage.make(listing) }
}

const manifestIn = (listing: CatalogListing): Digest => {
  const digest = listing.repositories.get('a')?.tags.get('1.0.0')
  if (typeof digest !== 'string') throw new TypeError('There is no such tag')
  return digest
}

describe('the listing of the run before', () => {
  test('is published at once, with its age, and what changed since follows', async () => {
    const { refresher, registry, clock, takeCalls } = await openNextRun()
    registry.addChart('a', '2.0.0', { name: 'demo', version: '2.0.0' })
    const gate = defer()
    registry.fail('catalog', gate.promise)
    const reading = refresher.fresh()
    await clock.advance(WAIT_MS)
    expect([(await reading).index.versions, refresher.snapshotAgeSeconds]).toEqual([1, 60])
    expect(takeCalls()).toEqual(['catalog'])
    gate.resolve()
    await settle()
    expect(refresher.snapshot?.index.versions).toBe(2)
    expect(takeCalls()).toEqual(['tags a', 'get a:2.0.0', 'blob a'])
  })

  test('needs nothing made again that was kept', async () => {
    const { refresher, documents, store } = await openNextRun()
    const { written } = documents
    const [made, reads] = [written.length, store.reads]
    await refresher.fresh()
    expect([written.length, store.reads]).toEqual([made, reads])
  })

  test('is made once for all who ask in the meantime, and they wait for it', async () => {
    const { refresher, registry, documents, clock } = await openNextRun()
    documents.remove()
    const gate = defer()
    documents.delay = () => gate.promise
    let answered = 0
    const readings = Array.from({ length: 1000 }, async () => {
      const snapshot = await refresher.fresh()
      answered += 1
      return snapshot
    })
    refresher.start()
    // Longer than they wait for a refresh: there is an index, and it would be wrong to say that there is none.
    await clock.advance(WAIT_MS * 2)
    expect([answered, refresher.snapshot, registry.calls]).toEqual([0, undefined, []])
    gate.resolve()
    const snapshots = await Promise.all(readings)
    // The first run made it, and this one once more.
    expect([documents.written.length, new Set(snapshots.map(({ index }) => index)).size]).toEqual([2, 1])
    expect(registry.calls).toEqual(['catalog', 'tags a'])
    await refresher.stop()
  })

  test('is served on when the registry is down from the start', async () => {
    const { refresher, registry } = await openNextRun()
    registry.fail('catalog', failure())
    expect((await refresher.fresh()).index.versions).toBe(1)
    await settle()
    expect(refresher.status.error).toBe('UPSTREAM_UNAVAILABLE')
  })

  test('whose entries are lost is published when they have been read again, and not before', async () => {
    const { refresher, registry, listing, store, documents, log, takeCalls } = await openNextRun()
    registry.addChart('a', '2.0.0', { name: 'demo', version: '2.0.0' })
    documents.remove()
    store.lose(manifestIn(listing))
    const { index } = await refresher.fresh()
    expect([index.versions, takeCalls().sort()]).toEqual([
      2,
      ['blob a', 'blob a', 'catalog', 'get a:1.0.0', 'get a:2.0.0', 'tags a'],
    ])
    expect(log.lines.filter(({ level }) => level === 'warn')).toEqual([
      {
        level: 'warn',
        message: 'index cannot be made before some charts are read again',
        fields: { reason: 'The catalog file has lost 1 index entries' },
      },
    ])
  })

  test('whose entries are lost is no index as long as the registry is down', async () => {
    const { refresher, registry, listing, store, documents, clock } = await openNextRun()
    documents.remove()
    store.lose(manifestIn(listing))
    registry.fail('catalog', failure('UPSTREAM_UNAVAILABLE', 'it is down'))
    refresher.start()
    await clock.advance(INTERVAL_MS)
    expect(await rejection(refresher.fresh())).toMatchObject({
      code: 'SNAPSHOT_MISSING',
      message: 'There is no index yet: it is down',
    })
    registry.fail('catalog', undefined)
    await clock.advance(INTERVAL_MS)
    expect(refresher.snapshot?.index.versions).toBe(1)
    await refresher.stop()
  })

  test('is left alone when the server stops before it is published', async () => {
    const { refresher, documents, log } = await openNextRun()
    const said = log.lines.length
    documents.remove()
    const gate = defer()
    documents.delay = () => gate.promise
    refresher.start()
    await settle()
    const stopped = refresher.stop()
    gate.resolve()
    await stopped
    expect([refresher.snapshot, log.lines.slice(said)]).toEqual([undefined, []])
  })
})
