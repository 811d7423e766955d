/** What a registry tells of pushes is shown at once, outlives crawls that did not see it, and is made whole later. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { limits } from '../../src/limits.ts'
import type { Digest } from '../../src/oci/digest.ts'
import type { ListingChanges } from '../../src/repository/ports.ts'
import { settle } from '../lib/fake-clock.ts'
import { readVersions } from './index-stage.ts'
import { manifestOf, type TagRow, type TagTable } from './listing-content.ts'
import { openPublisherStage } from './publisher-stage.ts'
import { INTERVAL_MS, openStage } from './refresher-stage.ts'

const demo = (...versions: readonly string[]): readonly TagRow[] =>
  versions.map((version) => [version, 'demo', version] as const)

function openTellingStage() {
  const stage = openPublisherStage({ amends: true })
  const { publisher, content } = stage
  const signal = new AbortController().signal
  return {
    ...stage,
    signal,
    /** Tags of one repository as they are now; null for those that are gone. */
    tell: (repository: string, rows: readonly TagRow[], gone: readonly string[] = []) => {
      content.list({ [repository]: rows })
      const tags = new Map<string, Digest | undefined>(
        rows.map(([tag, name, version, text]) => [tag, manifestOf(name, version, text)]),
      )
      for (const tag of gone) tags.set(tag, undefined)
      publisher.tell(new Map([[repository, tags]]) satisfies ListingChanges)
    },
    versions: async () => (publisher.snapshot === undefined ? undefined : await readVersions(publisher.snapshot.index)),
  }
}

const entry = (...versions: readonly string[]) => versions.map((version) => `${version} charts/demo-${version}.tgz`)

describe('Publisher.tell', () => {
  test('shows what was pushed and deleted at once, while the publisher rests', async () => {
    const { publisher, accept, tell, versions, takeLong } = openTellingStage()
    await accept({ a: demo('1.0.0') })
    takeLong(10_000)
    tell('a', demo('2.0.0'))
    expect(await versions()).toEqual({ demo: entry('2.0.0', '1.0.0') })
    tell('a', demo('3.0.0'), ['1.0.0'])
    tell('b', [['1.0.0', 'other', '1.0.0']])
    expect(await versions()).toEqual({ demo: entry('3.0.0', '2.0.0'), other: ['1.0.0 charts/other-1.0.0.tgz'] })
    expect(publisher.snapshot?.files.get('demo-1.0.0.tgz')).toBeUndefined()
    expect(publisher.snapshot?.files.get('demo-3.0.0.tgz')?.repository).toBe('a')
    expect(publisher.isBehind).toBe(true)
  })

  test('changes nothing where nothing is new', async () => {
    const { publisher, accept, tell } = openTellingStage()
    await accept({ a: demo('1.0.0') })
    const { snapshot } = publisher
    tell('a', demo('1.0.0'), ['9.9.9'])
    expect([publisher.snapshot, publisher.isBehind]).toEqual([snapshot, false])
  })

  test('has only the plain forms until the index is made as a whole, which has the same key', async () => {
    const { publisher, accept, tell, clock, signal, documents } = openTellingStage()
    await accept({ a: demo('1.0.0') })
    tell('a', demo('2.0.0'))
    const shown = publisher.snapshot?.index
    expect(shown?.document('yaml', 'gzip').coding).toBeUndefined()
    await clock.advance(limits.maxRenderRestMs)
    await publisher.makeWhole(signal)
    expect(publisher.snapshot?.index.key).toBe(shown?.key ?? '')
    expect(publisher.snapshot?.index.document('yaml').size).toBe(shown?.document('yaml').size ?? 0)
    expect([publisher.isBehind, documents.retained.at(-1)]).toEqual([false, shown?.key])
    const count = documents.written.length
    await publisher.makeWhole(signal)
    expect(documents.written.length).toBe(count)
  })

  test('outlives a crawl that began before it, and is there after the one that follows', async () => {
    const { publisher, accept, tell, versions } = openTellingStage()
    await accept({ a: demo('1.0.0') })
    publisher.beginCrawl()
    tell('a', demo('2.0.0'), ['1.0.0'])
    tell('new', [['1.0.0', 'other', '1.0.0']])
    await accept({ a: demo('1.0.0') })
    expect(await versions()).toEqual({ demo: entry('2.0.0'), other: ['1.0.0 charts/other-1.0.0.tgz'] })
    publisher.beginCrawl()
    await accept({ a: demo('2.0.0'), new: [['1.0.0', 'other', '1.0.0']] })
    expect(await versions()).toEqual({ demo: entry('2.0.0'), other: ['1.0.0 charts/other-1.0.0.tgz'] })
  })

  test('counts for the first listing too', async () => {
    const { publisher, accept, tell, versions } = openTellingStage()
    publisher.beginCrawl()
    tell('a', demo('1.0.0'))
    expect(publisher.snapshot).toBeUndefined()
    await accept({})
    expect(await versions()).toEqual({ demo: entry('1.0.0') })
  })

  test('is shown again on top of an index that was under way when it came', async () => {
    const { publisher, accept, tell, versions, clock, signal, documents } = openTellingStage()
    await accept({ a: demo('1.0.0') })
    tell('a', demo('2.0.0'))
    await clock.advance(limits.maxRenderRestMs)
    const gate = Promise.withResolvers<void>()
    documents.delay = () => gate.promise
    const making = publisher.makeWhole(signal)
    await settle()
    tell('a', demo('3.0.0'))
    expect(await versions()).toEqual({ demo: entry('3.0.0', '2.0.0', '1.0.0') })
    gate.resolve()
    await making
    expect(await versions()).toEqual({ demo: entry('3.0.0', '2.0.0', '1.0.0') })
    expect(publisher.isBehind).toBe(true)
  })

  test('is in the first snapshot that an index of the run before is shown in', async () => {
    const { accept, content, documents, make, signal } = openTellingStage()
    await accept({ a: demo('1.0.0') })
    const next = make()
    const shown: (number | undefined)[] = []
    documents.onRead = () => shown.push(next.snapshot?.index.versions)
    const restoring = next.restore(content.list({ a: demo('1.0.0') }), signal)
    const { tags } = content.list({ a: demo('2.0.0') }).repositories.get('a') ?? {}
    next.tell(new Map([['a', tags ?? new Map()]]))
    await restoring
    expect(new Set(shown)).toEqual(new Set([undefined]))
    expect(next.snapshot?.index.versions).toBe(2)
  })

  test('of more repositories than may be amended waits for an index that is made as a whole', async () => {
    const { publisher, accept, versions, documents } = openTellingStage()
    await accept({})
    const many: TagTable = Object.fromEntries(
      Array.from({ length: limits.maxAmendedRepositories + 1 }, (_, i) => [`r${i}`, demo(`1.0.${i}`)]),
    )
    const before = documents.written.length
    await accept(many)
    expect(publisher.snapshot?.index.versions).toBe(limits.maxAmendedRepositories + 1)
    expect(documents.written.length).toBe(before + 1)
    expect(Object.values((await versions()) ?? {})[0]?.length).toBe(limits.maxAmendedRepositories + 1)
  })

  test('comes to the listing, in whatever order pushes, crawls and whole indexes follow each other', async () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('push' as const), repository: fc.constantFrom('a', 'b'), minor: fc.nat(3) }),
      fc.record({ kind: fc.constant('delete' as const), repository: fc.constantFrom('a', 'b'), minor: fc.nat(3) }),
      fc.record({ kind: fc.constantFrom('begin' as const, 'end' as const, 'whole' as const) }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
        const { publisher, accept, tell, versions, clock, signal } = openTellingStage()
        const truth = { a: new Set<string>(), b: new Set<string>() }
        const table = (): TagTable =>
          Object.fromEntries(
            Object.entries(truth).map(([name, tags]) => [name, [...tags].map((tag) => [tag, name, tag] as const)]),
          )
        await accept({})
        let crawled: TagTable | undefined
        for (const each of steps) {
          if (each.kind === 'begin' && crawled === undefined) {
            publisher.beginCrawl()
            crawled = table()
          }
          if (each.kind === 'end' && crawled !== undefined) {
            await accept(crawled)
            crawled = undefined
          }
          if (each.kind === 'whole') {
            await clock.advance(limits.maxRenderRestMs)
            await publisher.makeWhole(signal)
          }
          if (each.kind !== 'push' && each.kind !== 'delete') continue
          const repository = each.repository === 'a' ? 'a' : 'b'
          const tag = `1.${each.minor}.0`
          if (each.kind === 'push') truth[repository].add(tag)
          else truth[repository].delete(tag)
          if (each.kind === 'push') tell(repository, [[tag, repository, tag]])
          else tell(repository, [], [tag])
          const shown = (await versions()) ?? {}
          for (const name of ['a', 'b'] as const) {
            const listed = (shown[name] ?? []).map((line) => line.split(' ')[0])
            expect(new Set(listed)).toEqual(new Set(truth[name]))
          }
        }
      }),
      { numRuns: 60 },
    )
  })
})

describe('Refresher.tell', () => {
  test('has the next reader see it, without a request to the registry but for what is new', async () => {
    const stage = openStage({ amends: true })
    const { refresher, registry, takeCalls } = stage
    registry.addChart('a', '1.0.0', { name: 'demo', version: '1.0.0' })
    await refresher.fresh()
    takeCalls()
    const digest = registry.addChart('a', '2.0.0', { name: 'demo', version: '2.0.0' })
    refresher.tell('a', new Map([['2.0.0', digest]]))
    expect((await refresher.fresh()).index.versions).toBe(2)
    expect(takeCalls().filter((call) => /^(?:tags|repositories)/.test(call))).toEqual([])
    refresher.tell('a', new Map([['1.0.0', undefined]]))
    expect((await refresher.fresh()).index.versions).toBe(1)
  })

  test('lets no reader wait for a crawl, which begins when they have their answer', async () => {
    const { refresher, registry, clock } = openStage({ amends: true })
    registry.addChart('a', '1.0.0', { name: 'demo', version: '1.0.0' })
    await refresher.fresh()
    await clock.advance(limits.freshSnapshotMs + 1)
    // Written by somebody else, who tells nobody.
    registry.addChart('a', '2.0.0', { name: 'demo', version: '2.0.0' })
    const before = registry.count('catalog')
    for (let i = 0; i < 3; i++) expect((await refresher.fresh()).index.versions).toBe(1)
    await settle()
    expect([registry.count('catalog'), clock.sleeping]).toEqual([before, 1])
    await clock.advance(limits.refreshDelayMs)
    await settle()
    expect((await refresher.fresh()).index.versions).toBe(2)
    expect(registry.count('catalog')).toBe(before + 1)
  })

  test.each([0, 1000])(
    'has what others wrote two seconds after somebody asked, %d ms after the last crawl',
    async (age) => {
      const { refresher, registry, clock } = openStage({ amends: true })
      registry.addChart('a', '1.0.0', { name: 'demo', version: '1.0.0' })
      await refresher.fresh()
      await clock.advance(age)
      registry.addChart('a', '2.0.0', { name: 'demo', version: '2.0.0' })
      // It is too young to be looked at again, until it is not.
      expect((await refresher.fresh()).index.versions).toBe(1)
      await clock.advance(limits.freshSnapshotMs)
      await settle()
      expect(refresher.snapshot?.index.versions).toBe(2)
    },
  )

  test('makes the index as a whole soon after, not at the next interval', async () => {
    const { refresher, registry, clock, documents } = openStage({ amends: true })
    refresher.start()
    await settle()
    const before = documents.written.length
    const digest = registry.addChart('a', '1.0.0', { name: 'demo', version: '1.0.0' })
    refresher.tell('a', new Map([['1.0.0', digest]]))
    await settle()
    expect(documents.written.length).toBe(before)
    await clock.advance(limits.amendedRestMs)
    await settle()
    expect(documents.written.length).toBe(before + 1)
    expect(limits.amendedRestMs).toBeLessThan(INTERVAL_MS)
    await refresher.stop()
  })
})
