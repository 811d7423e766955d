/** The YAML of one value: every reader gets back what was written, strings as strings. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { renderMapping, renderScalar } from '../../src/helm/yaml-writer.ts'
import { awkwardJson, awkwardMap, awkwardText, awkwardTexts } from './awkward-text.ts'
import { readYaml, toPairs, YAML_VERSIONS } from './yaml-reader.ts'

describe.each([...YAML_VERSIONS])('read as YAML %s', (version) => {
  test('readYaml resolves what is not quoted, so that these tests can fail', () => {
    const seen = readYaml('a: [yes, 1_000, 0x1F, 12:30:45, 1e3, null]\n', version)
    const old = [true, 1000, 31, 45045, 1000, null]
    const core = ['yes', '1_000', 31, '12:30:45', 1000, null]
    expect(seen).toEqual(toPairs({ a: version === '1.1' ? old : core }))
    expect(() => readYaml('a: 1\na: 2\n', version)).toThrow('unique')
  })

  test('renderScalar keeps every awkward string, as value, list item, in a list on one line and as key', () => {
    for (const text of awkwardTexts) {
      const scalar = renderScalar(text)
      expect(readYaml(`a: ${scalar}\n`, version)).toEqual(toPairs({ a: text }))
      expect(readYaml(`- ${scalar}\n`, version)).toEqual(toPairs([text]))
      expect(readYaml(`[${scalar}, ${scalar}]\n`, version)).toEqual(toPairs([text, text]))
      expect(readYaml(renderMapping({ [text]: 1 }, ''), version)).toEqual(toPairs({ [text]: 1 }))
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

  test('writes a key of more than 1,024 bytes in the explicit form', () => {
    const key = 'k'.repeat(1200)
    expect(renderMapping({ [key]: ['v'] }, '  ')).toBe(`  ? ${key}\n  :\n    - v\n`)
  })

  test('refuses what JSON cannot say', () => {
    expect(() => renderMapping({ a: 1n }, '')).toThrow('Cannot write a bigint as YAML')
    expect(() => renderMapping({ a: [Symbol('s')] }, '')).toThrow('Cannot write a symbol as YAML')
  })
})
