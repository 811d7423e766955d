/** The order of names and digests. */
import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { compareText } from '../../src/lib/compare-text.ts'

test('compareText orders by code unit, not by language', () => {
  expect(['b', 'B', 'a', 'ä', 'A', 'Z', '-', '10', '9'].sort(compareText)).toEqual([
    '-',
    '10',
    '9',
    'A',
    'B',
    'Z',
    'a',
    'b',
    'ä',
  ])
})

test('compareText orders any texts as sorting without a comparison does', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'binary' })), (texts) => {
      expect(texts.toSorted(compareText)).toEqual(texts.toSorted())
    }),
  )
})
