/** JSON or not, without a word about the text. */
import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { tryParseJson } from '../../src/lib/json.ts'

test('tryParseJson reads text and UTF-8 bytes alike', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = JSON.stringify(value)
      expect(tryParseJson(text)).toEqual(JSON.parse(text))
      expect(tryParseJson(Buffer.from(text))).toEqual(JSON.parse(text))
    }),
  )
})

test.each(['', ' ', '{', '{"a":1,}', "{'a':1}", 'undefined', 'NaN', '1 2', '{"a":1}x'])(
  'tryParseJson takes %j for no JSON',
  (text) => {
    expect(tryParseJson(text)).toBeUndefined()
    expect(tryParseJson(Buffer.from(text))).toBeUndefined()
  },
)

test('tryParseJson takes bytes that are no UTF-8 for no JSON', () => {
  expect(tryParseJson(Buffer.from('"\xff"', 'latin1'))).toBeUndefined()
  expect(tryParseJson(Buffer.from([0x22, 0xc3]))).toBeUndefined()
  // Nothing of it is left for the next text.
  expect(tryParseJson(Buffer.from('"é"'))).toBe('é')
})

test('tryParseJson survives nesting without end', () => {
  expect(() => tryParseJson('['.repeat(1_000_000))).not.toThrow()
})
