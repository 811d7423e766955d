/** Which chart versions the tags of one repository stand for. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { ChartPicks, type RepositoryCharts } from '../../src/repository/chart-picks.ts'
import { ListingContent, type TagRow } from './listing-content.ts'
import { MemoryCatalog } from './memory-catalog.ts'

function openPicks() {
  const content = new ListingContent(new MemoryCatalog())
  const tagsOf = (rows: readonly TagRow[]) => content.list({ a: rows }).repositories.get('a')?.tags ?? new Map()
  return { content, picks: new ChartPicks(content.records), tagsOf }
}

function pick(...rows: readonly TagRow[]): RepositoryCharts {
  const { picks, tagsOf } = openPicks()
  return picks.of('a', tagsOf(rows))
}

/** `name`: `tag version` of each version. */
const describeCharts = (charts: RepositoryCharts) =>
  Object.fromEntries([...charts].map(([name, files]) => [name, files.map((f) => `${f.tag} ${f.record.version}`)]))

describe('ChartPicks.of', () => {
  test('has the versions of each chart, newest first, and where they are', () => {
    const charts = pick(
      ['1.0.0', 'demo', '1.0.0'],
      ['10.0.0', 'demo', '10.0.0'],
      ['2.0.0-rc.1', 'demo', '2.0.0-rc.1'],
      ['2.0.0', 'demo', '2.0.0'],
      ['0.1.0', 'other', '0.1.0'],
    )
    expect(describeCharts(charts)).toEqual({
      demo: ['10.0.0 10.0.0', '2.0.0 2.0.0', '2.0.0-rc.1 2.0.0-rc.1', '1.0.0 1.0.0'],
      other: ['0.1.0 0.1.0'],
    })
    expect(charts.get('other')).toMatchObject([{ fileName: 'other-0.1.0.tgz', repository: 'a', tag: '0.1.0' }])
  })

  test.each([
    ['the one that is the version', ['0', '1.0.0_b', 'latest'], '1.0.0+b', '1.0.0_b'],
    ['the one that is the version, though all others are before it', ['0', '00', '1.0.0'], '1.0.0', '1.0.0'],
    ['else the first in lexical order', ['stable', 'latest', 'v1'], '1.0.0', 'latest'],
    ['else the first by code unit', ['b', 'B', 'a'], '1.0.0', 'B'],
  ])('takes of several tags of one version %s', (_what, tags, version, expected) => {
    for (const order of [tags, [...tags].reverse()]) {
      const charts = pick(...order.map((tag): TagRow => [tag, 'demo', version, `content of ${tag}`]))
      expect(describeCharts(charts)).toEqual({ demo: [`${expected} ${version}`] })
    }
  })

  test('is the same in whatever order the tags were found', () => {
    const row: fc.Arbitrary<TagRow> = fc.tuple(
      fc.constantFrom('latest', '1.0.0', '1.0.0_b', '2.0.0', 'x', 'X', 'v1.0.0'),
      fc.constantFrom('demo', 'other'),
      fc.constantFrom('1.0.0', '1.0.0+b', 'v1.0.0', '2.0.0'),
      fc.constantFrom('p', 'q'),
    )
    const rows = fc.uniqueArray(row, { selector: ([tag]) => tag })
    const orders = rows.chain((all) => fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length })))
    fc.assert(
      fc.property(orders, ([all, shuffled]) => {
        expect(describeCharts(pick(...shuffled))).toEqual(describeCharts(pick(...all)))
      }),
    )
  })

  test('passes over what is no chart, what is not known, and tags that are none by their name', () => {
    const { content, picks, tagsOf } = openPicks()
    const tags = new Map([
      ...tagsOf([['1.0.0', 'demo', '1.0.0']]),
      ['image', content.addSkipped('an image')],
      ['sha256-x', null],
      ['unknown', `sha256:${'ab'.repeat(32)}`] as const,
    ])
    expect(describeCharts(picks.of('a', tags))).toEqual({ demo: ['1.0.0 1.0.0'] })
    expect(picks.of('b', new Map())).toEqual(new Map())
  })

  test('tells two charts of one file name apart', () => {
    expect(describeCharts(pick(['1', 'x', '1-2.0.0'], ['2', 'x-1', '2.0.0']))).toEqual({
      x: ['1 1-2.0.0'],
      'x-1': ['2 2.0.0'],
    })
  })

  test('is worked out once for the same tags, and anew for others with the same content', () => {
    const { content, picks, tagsOf } = openPicks()
    const tags = tagsOf([['1.0.0', 'demo', '1.0.0']])
    const charts = picks.of('a', tags)
    // With the same tags nothing is looked at again, not even what they mean.
    content.records.clear()
    expect(picks.of('a', tags)).toBe(charts)
    expect(picks.of('a', new Map(tags))).toEqual(new Map())
  })
})
