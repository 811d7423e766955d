/** The Range header: single ranges of bytes, cut to the size. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { parseByteRange } from '../../src/lib/byte-range.ts'

describe('parseByteRange', () => {
  test.each([
    ['bytes=0-0', { start: 0, end: 1 }],
    ['bytes=2-4', { start: 2, end: 5 }],
    ['bytes=2-', { start: 2, end: 10 }],
    ['bytes=-3', { start: 7, end: 10 }],
    ['bytes=-99', { start: 0, end: 10 }],
    ['bytes=9-99999999999999999999', { start: 9, end: 10 }],
    [' bytes=0-1 ', { start: 0, end: 2 }],
    ['bytes=10-', 'unsatisfiable'],
    ['bytes=10-12', 'unsatisfiable'],
    ['bytes=99999999999999999999-', 'unsatisfiable'],
    ['bytes=-0', 'unsatisfiable'],
    ['bytes=4-2', 'unsatisfiable'],
    ['bytes=12-10', 'unsatisfiable'],
  ] as const)('reads %j of 10 bytes', (header, range) => {
    expect(parseByteRange(header, 10)).toEqual(range)
  })

  test.each([
    null,
    '',
    'bytes',
    'bytes=',
    'bytes=-',
    'bytes=0-1,3-4',
    'bytes=a-b',
    'bytes=0-1;',
    'items=0-1',
    'bytes=0--1',
    'bytes=1e1-',
    'bytes 0-1',
  ])('lets %j ask for the whole', (header) => {
    expect(parseByteRange(header, 10)).toBeUndefined()
  })

  test('has nothing to give of nothing', () => {
    expect(parseByteRange('bytes=0-', 0)).toBe('unsatisfiable')
    expect(parseByteRange('bytes=-5', 0)).toBe('unsatisfiable')
  })

  test('is never outside of the size and never empty', () => {
    const part = fc.oneof(
      fc.constant(''),
      fc.nat({ max: 30 }).map(String),
      fc.bigInt({ min: 0n, max: 10n ** 25n }).map(String),
    )
    fc.assert(
      fc.property(part, part, fc.nat({ max: 20 }), (first, last, size) => {
        const range = parseByteRange(`bytes=${first}-${last}`, size)
        if (range === undefined || range === 'unsatisfiable') return
        expect(range.start).toBeGreaterThanOrEqual(0)
        expect(range.end).toBeGreaterThan(range.start)
        expect(range.end).toBeLessThanOrEqual(size)
      }),
    )
  })

  test('never throws', () => {
    fc.assert(fc.property(fc.string(), fc.nat(), (text, size) => void parseByteRange(`bytes=${text}`, size)))
  })
})
