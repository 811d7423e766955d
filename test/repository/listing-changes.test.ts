/** What is different between two listings, and what nobody needs after it. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import type { ChartRecord, ManifestRecord } from '../../src/helm/chart-record.ts'
import { type Digest, digestBytes } from '../../src/oci/digest.ts'
import type { CatalogListing, RepositoryListing, Tags } from '../../src/repository/catalog.ts'
import { findChanges, findUnused, withoutUnknown } from '../../src/repository/listing-changes.ts'
import type { ListingChanges } from '../../src/repository/ports.ts'

const digestOf = (text: string): Digest => digestBytes(Buffer.from(text))

const CHARTS = ['chart 1', 'chart 2', 'chart 3'].map(digestOf)
const INDEXES = ['index of 1', 'index of 2', 'another index of 1'].map(digestOf)
const OTHERS = ['image 1', 'image 2'].map(digestOf)
const ALL = [...CHARTS, ...INDEXES, ...OTHERS]

function recordOf(manifest: Digest): ChartRecord {
  const chart = { digest: digestOf(`layer of ${manifest}`), size: 1 }
  return { kind: 'chart', name: 'demo', version: '1.0.0', created: undefined, chart, provenance: undefined, manifest }
}

/** What every digest here means: an index means the chart it names. */
function allRecords(): Map<Digest, ManifestRecord> {
  const [first = digestOf(''), second = digestOf('')] = CHARTS
  const children = [first, second, first]
  return new Map<Digest, ManifestRecord>([
    ...CHARTS.map((digest) => [digest, recordOf(digest)] as const),
    ...INDEXES.map((digest, i) => [digest, recordOf(children[i] ?? digest)] as const),
    ...OTHERS.map((digest) => [digest, { kind: 'skipped', reason: 'an image' }] as const),
  ])
}

const makeListing = (repositories: Iterable<readonly [string, Tags]>): CatalogListing => ({
  listedAt: 0,
  repositories: new Map([...repositories].map(([name, tags]) => [name, { tags, checkedAt: 0 }])),
})

const listings = fc
  .dictionary(
    fc.constantFrom('a', 'b', 'c/d'),
    fc.dictionary(fc.constantFrom('1', '2', 'latest', 'sha256-x'), fc.constantFrom(...ALL, null), { maxKeys: 4 }),
    { maxKeys: 3 },
  )
  .map((table) => makeListing(Object.entries(table).map(([name, tags]) => [name, new Map(Object.entries(tags))])))

/** The same, in part with the very objects of `before`, as a pass leaves what did not change. */
const pairs = fc.tuple(listings, listings, fc.array(fc.constantFrom('a', 'b', 'c/d'))).map(([before, after, kept]) => {
  const repositories = new Map(after.repositories)
  for (const name of kept) {
    const state = before.repositories.get(name)
    if (state !== undefined) repositories.set(name, { ...state, checkedAt: 1 })
  }
  return { before, after: { ...after, repositories } }
})

/** Repositories without tags are as good as none. */
function toTable({ repositories }: CatalogListing): Record<string, Record<string, Digest | null>> {
  const full = [...repositories].filter(([, { tags }]) => tags.size > 0)
  return Object.fromEntries(full.map(([name, { tags }]) => [name, Object.fromEntries(tags)]))
}

function apply(changes: ListingChanges, before: CatalogListing | undefined): CatalogListing {
  const repositories = new Map([...(before?.repositories ?? [])].map(([name, { tags }]) => [name, new Map(tags)]))
  for (const [name, changed] of changes) {
    const tags = repositories.get(name) ?? new Map<string, Digest | null>()
    for (const [tag, digest] of changed) {
      if (digest === undefined) tags.delete(tag)
      else tags.set(tag, digest)
    }
    repositories.set(name, tags)
  }
  return makeListing(repositories)
}

describe('findChanges', () => {
  test('applied to the listing before gives the one after, and names only what differs', () => {
    fc.assert(
      fc.property(pairs, fc.boolean(), ({ before: earlier, after }, isFirst) => {
        const before = isFirst ? undefined : earlier
        const changes = findChanges(before, after)
        expect(toTable(apply(changes, before))).toEqual(toTable(after))
        for (const [name, changed] of changes) {
          const old: Tags | undefined = before?.repositories.get(name)?.tags
          expect(changed.size).toBeGreaterThan(0)
          for (const [tag, digest] of changed) expect([name, tag, digest]).not.toEqual([name, tag, old?.get(tag)])
        }
      }),
    )
  })

  test('is nothing between a listing and itself', () => {
    fc.assert(fc.property(listings, (listing) => expect(findChanges(listing, listing)).toEqual(new Map())))
  })

  test('does not look at tags that are the same object', () => {
    const tags: Tags = new Map([['1', digestOf('x')]])
    const watched = new Proxy(tags, {
      get: (_target, property) => {
        throw new TypeError(`${String(property)} was looked at`)
      },
    })
    expect(findChanges(makeListing([['a', watched]]), makeListing([['a', watched]]))).toEqual(new Map())
  })
})

describe('findUnused', () => {
  /** The records and entries that the tags of a listing are made of. */
  function neededBy(listing: CatalogListing, records: ReadonlyMap<Digest, ManifestRecord>) {
    const digests = [...listing.repositories.values()].flatMap(({ tags }) => [...tags.values()])
    const needed = new Set(digests.filter((digest) => digest !== null))
    const manifests = [...needed].map((digest) => records.get(digest)).filter((record) => record?.kind === 'chart')
    return { records: needed, entries: new Set(manifests.map(({ manifest }) => manifest)) }
  }

  test('never names what a tag needs, also through an index', async () => {
    await fc.assert(
      fc.asyncProperty(pairs, fc.boolean(), async ({ before, after }, isFirst) => {
        const records = allRecords()
        const unused = await findUnused({ before: isFirst ? undefined : before, after, records })
        const needed = neededBy(after, records)
        expect(unused.records.intersection(needed.records)).toEqual(new Set())
        expect(unused.entries.intersection(needed.entries)).toEqual(new Set())
        // Nor an entry that a record needs which stays.
        const staying = [...records].filter(([digest]) => !unused.records.has(digest))
        const manifests = staying.flatMap(([, record]) => (record.kind === 'chart' ? [record.manifest] : []))
        expect(unused.entries.intersection(new Set(manifests))).toEqual(new Set())
      }),
    )
  })

  test('without a listing before leaves exactly what tags need', async () => {
    await fc.assert(
      fc.asyncProperty(listings, async (after) => {
        const records = allRecords()
        const unused = await findUnused({ before: undefined, after, records })
        const needed = neededBy(after, records)
        expect(unused.records).toEqual(new Set(ALL).difference(needed.records))
        expect(unused.entries).toEqual(new Set(CHARTS).difference(needed.entries))
      }),
    )
  })

  test('with one leaves exactly that, step by step', async () => {
    await fc.assert(
      fc.asyncProperty(pairs, async ({ before, after }) => {
        const records = allRecords()
        const { records: first } = await findUnused({ before: undefined, after: before, records })
        for (const digest of first) records.delete(digest)
        const unused = await findUnused({ before, after, records })
        expect(unused.records).toEqual(new Set(records.keys()).difference(neededBy(after, records).records))
        expect(unused.records.isSubsetOf(new Set(records.keys()))).toBe(true)
      }),
    )
  })

  test('keeps the entry of a chart whose tag is gone when an index still means it, and drops it with the index', async () => {
    const [chart = digestOf('')] = CHARTS
    const [index = digestOf('')] = INDEXES
    const records = new Map<Digest, ManifestRecord>([
      [chart, recordOf(chart)],
      [index, recordOf(chart)],
    ])
    const tagged = (...digests: readonly Digest[]) => {
      const tags = digests.map((digest) => [digest === index ? 'index' : 'chart', digest] as const)
      return makeListing([['a', new Map(tags)]])
    }
    const first = await findUnused({ before: tagged(chart, index), after: tagged(index), records })
    expect(first).toEqual({ records: new Set([chart]), entries: new Set() })
    records.delete(chart)
    const second = await findUnused({ before: tagged(index), after: tagged(), records })
    expect(second).toEqual({ records: new Set([index]), entries: new Set([chart]) })
  })
})

describe('withoutUnknown', () => {
  test('is the listing without the tags of digests that mean nothing, and the same object where it has none of them', () => {
    const digests = fc.uniqueArray(fc.constantFrom(...ALL)).map((all) => new Set(all))
    fc.assert(
      fc.property(listings, digests, (listing, lost) => {
        const known = new Map([...allRecords()].filter(([digest]) => !lost.has(digest)))
        const left = withoutUnknown(listing, known)
        expect([...left.repositories.keys()]).toEqual([...listing.repositories.keys()])
        for (const [name, state] of listing.repositories) {
          const after = left.repositories.get(name) as RepositoryListing
          const kept = [...state.tags].filter(([, digest]) => digest === null || !lost.has(digest))
          expect([...after.tags]).toEqual(kept)
          if (kept.length === state.tags.size) expect(after).toBe(state)
        }
      }),
    )
  })
})
