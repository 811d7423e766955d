/** The YAML of one value: every reader gets back what was written, strings as strings. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { isKey, renderJson, renderMapping, renderScalar } from '../../src/helm/yaml-writer.ts'
import { limits } from '../../src/limits.ts'
import { awkwardJson, awkwardMap, awkwardText, awkwardTexts } from './awkward-text.ts'
import { readYaml, toPairs, YAML_VERSIONS } from './yaml-reader.ts'

/** As long as a key may be, written as it is, escaped, and in more bytes than characters. */
const longestKeys = ['k'.repeat(limits.maxKeyBytes), `"${'"'.repeat(448)}`, 'é'.repeat(449), '\u2028'.repeat(149)]

function toWellFormed(value: unknown): unknown {
  if (typeof value === 'string') return value.toWellFormed()
  if (Array.isArray(value)) return value.map(toWellFormed)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key.toWellFormed(), toWellFormed(item)]))
}

describe.each([...YAML_VERSIONS])('read as YAML %s', (version) => {
  test('readYaml resolves what is not quoted, so that these tests can fail', () => {
    const seen = readYaml('a: [yes, 1_000, 0x1F, 12:30:45, 1e3, null]\n', version)
    const old = [true, 1000, 31, 45045, 1000, null]
    const core = ['yes', '1_000', 31, '12:30:45', 1000, null]
    expect(seen).toEqual(toPairs({ a: version === '1.1' ? old : core }))
    expect(() => readYaml('a: 1\na: 2\n', version)).toThrow('unique')
    expect(() => readYaml('a: "\u2028"\n', version)).toThrow('stands in the document as it is')
  })

  test('renderScalar keeps every awkward string, as value, list item, in a list on one line and as key', () => {
    for (const text of awkwardTexts) {
      const scalar = renderScalar(text)
      expect(readYaml(`a: ${scalar}\n`, version)).toEqual(toPairs({ a: text }))
      expect(readYaml(`- ${scalar}\n`, version)).toEqual(toPairs([text]))
      expect(readYaml(`[${scalar}, ${scalar}]\n`, version)).toEqual(toPairs([text, text]))
      const map = Object.fromEntries([[text, 1]])
      if (isKey(text)) expect(readYaml(renderMapping(map, ''), version)).toEqual(toPairs(map))
    }
  })

  test('renderScalar keeps any string', () => {
    fc.assert(
      fc.property(awkwardText(), (text) => {
        expect(readYaml(`a: ${renderScalar(text)}\n`, version)).toEqual(toPairs({ a: text }))
      }),
      { numRuns: 500 },
    )
  })

  test('renderJson makes YAML of any JSON, for the same value', () => {
    fc.assert(
      fc.property(awkwardJson(), (value) => {
        const json = renderJson(toWellFormed(value))
        expect(toPairs(JSON.parse(json))).toEqual(toPairs(value))
        expect(readYaml(json, version)).toEqual(toPairs(value))
      }),
      { numRuns: 300 },
    )
  })

  test('the longest keys are keys, also where they stand in a list on one line', () => {
    for (const key of longestKeys) {
      const map = { [key]: [[{ [key]: 1 }]] }
      expect(readYaml(renderMapping(map, ''), version)).toEqual(toPairs(map))
    }
  })

  test('renderMapping keeps any keys and values, however deep', () => {
    fc.assert(
      fc.property(awkwardMap(awkwardJson()), fc.constantFrom('', '  ', '      '), (map, indent) => {
        fc.pre(Object.keys(map).length > 0)
        const text = indent === '' ? renderMapping(map, indent) : `top:\n${renderMapping(map, indent)}`
        expect(readYaml(text, version)).toEqual(toPairs(indent === '' ? map : { top: map }))
      }),
      { numRuns: 300 },
    )
  })
})

describe('renderScalar', () => {
  test('writes ordinary words as they are, for people', () => {
    const plain = ['nginx', 'a b', 'https', 'apps/v1', 'v1.2.3', 'foo-bar_baz', 'C++', 'A sentence of some words']
    expect(plain.map(renderScalar)).toEqual(plain)
  })

  test('quotes whatever begins like a number, and reserved words in any case', () => {
    for (const text of ['1.2.3', '1e3', 'NO', 'yEs', 'oN', '0x1', '-a', '']) {
      expect(renderScalar(text)).toBe(JSON.stringify(text))
    }
  })

  test('stays on one line of characters that YAML 1.1 allows in a document', () => {
    fc.assert(
      fc.property(awkwardText(), (text) => {
        expect(renderScalar(text)).toMatch(
          /^[\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\u{10000}-\u{10ffff}]*$/u,
        )
      }),
      { numRuns: 500 },
    )
  })
})

describe('renderMapping', () => {
  test('leaves undefined values out and writes empty lists and maps', () => {
    expect(renderMapping({ a: undefined, b: [], c: {}, d: [{}, []] }, '')).toBe('b: []\nc: {}\nd:\n  - {}\n  - []\n')
  })

  test('refuses what JSON cannot say', () => {
    expect(() => renderMapping({ a: 1n }, '')).toThrow('Cannot write a bigint as YAML')
    expect(() => renderMapping({ a: [Symbol('s')] }, '')).toThrow('Cannot write a symbol as YAML')
  })
})

test('isKey takes what has at most 900 bytes as it is written, and nothing longer', () => {
  for (const key of longestKeys) expect([isKey(key), isKey(`${key}${key[0]}`)]).toEqual([true, false])
  for (const key of ['', 'on', '__proto__', '\ud800']) expect(isKey(key)).toBe(true)
})
