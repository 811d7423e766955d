/** What is served of a listing: one file per place, and the same whatever order things were found in. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { compareText } from '../../src/lib/compare-text.ts'
import { ChartPicks } from '../../src/repository/chart-picks.ts'
import { planSnapshot, type WholePlan } from '../../src/repository/snapshot.ts'
import { ListingContent, manifestOf, type TagRow, type TagTable } from './listing-content.ts'
import { MemoryCatalog } from './memory-catalog.ts'

function plan(table: TagTable): Promise<WholePlan> {
  const content = new ListingContent(new MemoryCatalog())
  return planSnapshot(content.list(table), new ChartPicks(content.records))
}

/** `name: repository version` of each, in order. */
const describePlan = ({ charts }: WholePlan) =>
  charts.map(({ name, versions }) => [
    name,
    versions.map(({ repository, record }) => `${repository} ${record.version}`),
  ])

describe('planSnapshot', () => {
  test('has every version under the name of its file', async () => {
    const { files, charts, collisions } = await plan({
      'team/demo': [
        ['1.0.0', 'demo', '1.0.0'],
        ['1.1.0_b', 'demo', '1.1.0+b'],
      ],
      other: [['1', 'other', '1']],
    })
    expect([...files.keys()].sort()).toEqual(['demo-1.0.0.tgz', 'demo-1.1.0+b.tgz', 'other-1.tgz'])
    expect(files.get('demo-1.0.0.tgz')).toMatchObject({ repository: 'team/demo', record: { version: '1.0.0' } })
    expect([charts.map(({ name }) => name), collisions]).toEqual([['demo', 'other'], []])
  })

  test('is empty for a listing with nothing in it', async () => {
    const nothing = { charts: [], files: new Map(), collisions: [], holders: new Map(), isTangled: false }
    expect(await plan({})).toEqual(nothing)
    expect(await plan({ a: [] })).toEqual(nothing)
  })

  test('sorts charts by code unit and versions newest first, also when several repositories have a chart', async () => {
    const made = await plan({
      z: [
        ['3.0.0', 'b', '3.0.0'],
        ['1.0.0', 'b', '1.0.0'],
        ['a-1', 'a-1', '1.0.0'],
      ],
      m: [
        ['2.0.0', 'b', '2.0.0'],
        ['10.0.0', 'b', '10.0.0'],
        ['a', 'a', '1.0.0'],
        ['B', 'B', '1.0.0'],
      ],
    })
    expect(describePlan(made)).toEqual([
      ['B', ['m 1.0.0']],
      ['a', ['m 1.0.0']],
      ['a-1', ['z 1.0.0']],
      ['b', ['m 10.0.0', 'z 3.0.0', 'm 2.0.0', 'z 1.0.0']],
    ])
  })

  test('lists of one version in several repositories the first in lexical order, and names the others', async () => {
    const made = await plan({
      z: [['1.0.0', 'a', '1.0.0', 'z']],
      b: [['1.0.0', 'a', '1.0.0', 'b']],
      c: [
        ['1.0.0', 'a', '1.0.0', 'c'],
        ['2.0.0', 'a', '2.0.0'],
      ],
    })
    expect(made.files.get('a-1.0.0.tgz')).toMatchObject({
      repository: 'b',
      record: { manifest: manifestOf('a', '1.0.0', 'b') },
    })
    expect(made.collisions).toEqual(
      ['c', 'z'].map((hiddenRepository) => ({ file: 'a-1.0.0.tgz', repository: 'b', hiddenRepository })),
    )
    expect(describePlan(made)).toEqual([['a', ['c 2.0.0', 'b 1.0.0']]])
  })

  test('tells two charts apart that want one file name, and has none without a version', async () => {
    const made = await plan({
      a: [['1', 'x-1', '2.0.0']],
      b: [['2', 'x', '1-2.0.0']],
    })
    expect([...made.files.keys()]).toEqual(['x-1-2.0.0.tgz'])
    expect(made.collisions).toEqual([{ file: 'x-1-2.0.0.tgz', repository: 'a', hiddenRepository: 'b' }])
    expect(describePlan(made)).toEqual([['x-1', ['a 2.0.0']]])
  })

  test('has of two charts of one repository that want one file name the same one in whatever order they were found', async () => {
    const rows: readonly TagRow[] = [
      ['1', 'x', '1-2.0.0'],
      ['2', 'x-1', '2.0.0'],
    ]
    const [one, other] = [await plan({ a: rows }), await plan({ a: rows.toReversed() })]
    expect(one.collisions).toEqual([{ file: 'x-1-2.0.0.tgz', repository: 'a', hiddenRepository: 'a' }])
    expect(describePlan(other)).toEqual(describePlan(one))
  })

  test('keeps spellings of one version apart: each is a file of its own', async () => {
    const { files, collisions } = await plan({
      a: [
        ['1', 'x', '1'],
        ['1.0', 'x', '1.0'],
        ['v1.0.0', 'x', 'v1.0.0'],
        ['1.0.0', 'x', '1.0.0'],
      ],
    })
    expect([files.size, collisions]).toEqual([4, []])
  })

  const row: fc.Arbitrary<TagRow> = fc.tuple(
    fc.constantFrom('latest', '1.0.0', '1.0.0_b', '2.0.0', 'x', 'y'),
    fc.constantFrom('a', 'a-1', 'b'),
    fc.constantFrom('1.0.0', '1.0.0+b', '2.0.0', '1-2.0.0'),
    fc.constantFrom('p', 'q'),
  )
  const repositories = fc.uniqueArray(
    fc.tuple(fc.constantFrom('r', 's', 't/u', 'T'), fc.uniqueArray(row, { selector: ([tag]) => tag, maxLength: 6 })),
    { selector: ([name]) => name },
  )

  test('does not depend on the order in which repositories and tags were found', async () => {
    const shuffled = <T>(all: readonly T[]) => fc.shuffledSubarray([...all], { minLength: all.length })
    await fc.assert(
      fc.asyncProperty(
        repositories.chain((all) => fc.tuple(fc.constant(all), shuffled(all), fc.boolean())),
        async ([all, other, reverse]) => {
          const second = other.map(([each, rows]) => [each, reverse ? [...rows].reverse() : rows] as const)
          const [a, b] = [await plan(Object.fromEntries(all)), await plan(Object.fromEntries(second))]
          expect([b.charts, b.collisions]).toEqual([a.charts, a.collisions])
          const sorted = ({ files }: WholePlan) => [...files].sort(([one], [two]) => compareText(one, two))
          expect(sorted(b)).toEqual(sorted(a))
        },
      ),
    )
  })

  test('lists exactly its files, each once', async () => {
    await fc.assert(
      fc.asyncProperty(repositories, async (all) => {
        const { charts, files } = await plan(Object.fromEntries(all))
        const listed = charts.flatMap(({ versions }) => versions)
        expect(new Set(listed)).toEqual(new Set(files.values()))
        expect([listed.length, charts.every(({ versions }) => versions.length > 0)]).toEqual([files.size, true])
      }),
    )
  })
})
