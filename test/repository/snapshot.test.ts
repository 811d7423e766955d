/** What is served of a listing: one file per place, and the same whatever order things were found in. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import type { ManifestRecord } from '../../src/helm/chart-record.ts'
import { type Digest, digestBytes } from '../../src/oci/digest.ts'
import type { CatalogListing } from '../../src/repository/catalog.ts'
import { buildSnapshot } from '../../src/repository/snapshot.ts'
import { chartManifest, readRecord } from '../helm/chart-content.ts'

type Tag = readonly [tag: string, name: string, version: string, content?: string]

/** A listing and its records, from `repository: [tag, name, version, content?]`. */
function listing(repositories: Readonly<Record<string, readonly Tag[]>>): {
  listing: CatalogListing
  records: Map<Digest, ManifestRecord>
} {
  const records = new Map<Digest, ManifestRecord>()
  const entries = Object.entries(repositories).map(([repository, tags]) => {
    const digests = tags.map(([tag, name, version, content = `${name} ${version}`]) => {
      const digest = digestBytes(Buffer.from(`${name} ${version} ${content}`))
      records.set(digest, readRecord({ name, version }, { manifest: chartManifest(content) }))
      return [tag, digest] as const
    })
    return [repository, { tags: new Map(digests), checkedAt: 0 }] as const
  })
  return { listing: { listedAt: 7, repositories: new Map(entries) }, records }
}

const build = (repositories: Readonly<Record<string, readonly Tag[]>>) => {
  const { listing: made, records } = listing(repositories)
  return buildSnapshot(made, records)
}

const layerOf = (content: string) => digestBytes(Buffer.from(content))

describe('buildSnapshot', () => {
  test('has every version under the name of its file', () => {
    const { files, index, listedAt, collisions } = build({
      'team/demo': [
        ['1.0.0', 'demo', '1.0.0'],
        ['1.1.0_b', 'demo', '1.1.0+b'],
      ],
      other: [['1', 'other', '1']],
    })
    expect([...files.keys()].sort()).toEqual(['demo-1.0.0.tgz', 'demo-1.1.0+b.tgz', 'other-1.tgz'])
    expect(files.get('demo-1.0.0.tgz')).toMatchObject({ repository: 'team/demo', record: { version: '1.0.0' } })
    expect([index.charts, index.versions, listedAt, collisions]).toEqual([2, 3, 7, []])
  })

  test('passes over what is no chart, what is not known, and tags that are none by their name', () => {
    const { listing: made, records } = listing({
      a: [
        ['1', 'a', '1.0.0'],
        ['2', 'a', '2.0.0'],
        ['3', 'a', '3.0.0'],
      ],
    })
    const [first, second] = [...records.keys()]
    if (first !== undefined) records.set(first, { kind: 'skipped', reason: 'x' })
    if (second !== undefined) records.delete(second)
    const tags = new Map<string, Digest | null>(made.repositories.get('a')?.tags).set('sha256-x', null)
    const { files } = buildSnapshot({ listedAt: 0, repositories: new Map([['a', { tags, checkedAt: 0 }]]) }, records)
    expect([...files.keys()]).toEqual(['a-3.0.0.tgz'])
  })

  test('takes of several tags of one version the one that is the version, else the first in lexical order', () => {
    const exact = build({
      a: [
        ['latest', 'a', '1.0.0+b', 'late'],
        ['1.0.0_b', 'a', '1.0.0+b', 'exact'],
        ['0', 'a', '1.0.0+b', 'first'],
      ],
    })
    expect(exact.files.get('a-1.0.0+b.tgz')?.record.chart.digest).toBe(layerOf('exact'))
    const others = build({
      a: [
        ['stable', 'a', '1.0.0', 'stable'],
        ['latest', 'a', '1.0.0', 'latest'],
      ],
    })
    expect(others.files.get('a-1.0.0.tgz')?.record.chart.digest).toBe(layerOf('latest'))
    expect([exact.collisions, others.collisions]).toEqual([[], []])
  })

  test('lists of one version in several repositories the first in lexical order, and names the others', () => {
    const { files, collisions, index } = build({
      z: [['1.0.0', 'a', '1.0.0', 'z']],
      b: [['1.0.0', 'a', '1.0.0', 'b']],
      c: [
        ['1.0.0', 'a', '1.0.0', 'c'],
        ['2.0.0', 'a', '2.0.0'],
      ],
    })
    expect(files.get('a-1.0.0.tgz')).toMatchObject({ repository: 'b', record: { chart: { digest: layerOf('b') } } })
    expect(collisions).toEqual(
      ['c', 'z'].map((hiddenRepository) => ({ file: 'a-1.0.0.tgz', repository: 'b', hiddenRepository })),
    )
    expect([index.charts, index.versions]).toEqual([1, 2])
  })

  test('tells two charts apart that want one file name', () => {
    const { files, collisions, index } = build({
      a: [
        ['1', 'x-1', '2.0.0'],
        ['2', 'x', '1-2.0.0'],
      ],
    })
    expect([...files.keys()]).toEqual(['x-1-2.0.0.tgz'])
    expect(collisions).toHaveLength(1)
    expect(index.versions).toBe(1)
  })

  test('keeps spellings of one version apart: each is a file of its own', () => {
    const { index, collisions } = build({
      a: [
        ['1', 'x', '1'],
        ['1.0', 'x', '1.0'],
        ['v1.0.0', 'x', 'v1.0.0'],
        ['1.0.0', 'x', '1.0.0'],
      ],
    })
    expect([index.versions, collisions]).toEqual([4, []])
  })

  test('does not depend on the order in which repositories and tags were found', () => {
    const name = fc.constantFrom('a', 'a-1', 'b')
    const version = fc.constantFrom('1.0.0', '1.0.0+b', '2.0.0', '1-2.0.0')
    const tag = fc.tuple(
      fc.constantFrom('latest', '1.0.0', '1.0.0_b', '2.0.0', 'x', 'y'),
      name,
      version,
      fc.constantFrom('p', 'q'),
    )
    const tags = fc.uniqueArray(tag, { selector: ([each]) => each, maxLength: 6 })
    const repositories = fc.uniqueArray(fc.tuple(fc.constantFrom('r', 's', 't/u', 'T'), tags), {
      selector: ([each]) => each,
    })
    const shuffled = <T>(all: readonly T[]) => fc.shuffledSubarray([...all], { minLength: all.length })
    fc.assert(
      fc.property(
        repositories.chain((all) => fc.tuple(fc.constant(all), shuffled(all), fc.boolean())),
        ([all, other, reverse]) => {
          const second = other.map(([each, list]) => [each, reverse ? [...list].reverse() : list] as const)
          const [a, b] = [build(Object.fromEntries(all)), build(Object.fromEntries(second))]
          expect(b.index.etag).toBe(a.index.etag)
          expect(new Map([...b.files].sort())).toEqual(new Map([...a.files].sort()))
          expect(b.collisions).toEqual(a.collisions)
        },
      ),
    )
  })
})
