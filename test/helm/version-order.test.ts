/** The order of a chart's versions: newest first, the same whatever order they come in. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { sortVersions } from '../../src/helm/version-order.ts'
import { chartRecord } from './chart-content.ts'

type Dated = readonly [version: string, created?: string | undefined]

const item = ([version, created]: Dated) => ({ record: chartRecord({ name: 'a', version }, created) })

function sorted(...all: readonly Dated[]): string[] {
  return sortVersions(all.map(item)).map(({ record }) => record.version)
}

describe('sortVersions', () => {
  test('puts the newest first, releases before their prereleases', () => {
    expect(sorted(['1.0.0'], ['10.0.0'], ['2.0.0-rc.1'], ['2.0.0'], ['v2.1'], ['1.0.0-alpha'])).toEqual([
      ...['10.0.0', 'v2.1', '2.0.0', '2.0.0-rc.1', '1.0.0', '1.0.0-alpha'],
    ])
  })

  test('puts equal versions newest first, those without a creation last, then by their text', () => {
    const old = '2026-01-01T00:00:00Z'
    const late = '2026-01-02T00:00:00Z'
    expect(sorted(['1.0.0+c'], ['1.0.0+a', old], ['1.0.0+b', late], ['1.0.0+d'])).toEqual([
      '1.0.0+b',
      '1.0.0+a',
      '1.0.0+d',
      '1.0.0+c',
    ])
    expect(sorted(['1.0'], ['v1.0.0'], ['1'], ['1.0.0'])).toEqual(['v1.0.0', '1.0.0', '1.0', '1'])
  })

  test('gives the same order for any order of its input', () => {
    const stamp = fc.constantFrom(undefined, '2026-03-01T12:00:00Z', '2026-03-01T12:00:00.500Z', '1969-01-01T00:00:00Z')
    const version = fc.constantFrom('1.0.0', 'v1.0.0', '1', '1.0', '1.0.0+a', '1.0.0+b', '1.0.0-rc.1', '2.0.0')
    const all = fc.uniqueArray(fc.tuple(version, stamp), { selector: ([text]) => text })
    const orders = all.chain((each) =>
      fc.tuple(fc.constant(each), fc.shuffledSubarray(each, { minLength: each.length })),
    )
    fc.assert(
      fc.property(orders, ([one, other]) => {
        expect(sorted(...other)).toEqual(sorted(...one))
      }),
      { numRuns: 200 },
    )
  })

  test('hands back the very items, and leaves the list it was given as it was', () => {
    const given = [item(['1.0.0']), item(['2.0.0'])] as const
    const list = Object.freeze([...given])
    const [first, second] = sortVersions(list)
    expect([first === given[1], second === given[0]]).toEqual([true, true])
    expect(list).toEqual([...given])
  })

  test('does not take a record whose version is none', () => {
    const record = { ...chartRecord({ name: 'a', version: '1.0.0' }), version: 'latest' }
    expect(() => sortVersions([{ record }])).toThrow('A record of a has the version latest')
  })
})
