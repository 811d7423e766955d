/** Retry-After: seconds or an HTTP date. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { parseRetryAfter } from '../../src/lib/retry-after.ts'

const now = Date.UTC(1994, 10, 6, 8, 49, 7)

describe('parseRetryAfter', () => {
  test.each([
    ['0', 0],
    ['120', 120_000],
    [' 7 ', 7000],
    ['999999999', 999_999_999_000],
    ['Sun, 06 Nov 1994 08:49:37 GMT', 30_000],
    ['Sunday, 06-Nov-94 08:49:37 GMT', 30_000],
    ['Sun, 06 Nov 1994 08:49:07 GMT', 0],
    ['Sat, 05 Nov 1994 08:49:37 GMT', 0],
  ])('reads %j', (header, ms) => {
    expect(parseRetryAfter(header, now)).toBe(ms)
  })

  test.each([
    null,
    '',
    '-1',
    '1.5',
    '1e3',
    '0x10',
    '9999999999',
    'soon',
    'Sunrise',
    '1994-11-06T08:49:37Z',
    '12 seconds',
    'NaN',
  ])('reads nothing from %j', (header) => {
    expect(parseRetryAfter(header, now)).toBeUndefined()
  })

  test('reads any date that a server writes, to the second', () => {
    fc.assert(
      fc.property(fc.integer({ min: -(10 ** 6), max: 10 ** 9 }), (seconds) => {
        const header = new Date(now + seconds * 1000).toUTCString()
        expect(parseRetryAfter(header, now)).toBe(Math.max(0, seconds * 1000))
      }),
    )
  })
})
