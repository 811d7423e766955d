/** The next link of a page, however the Link header is written. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { findNextLink } from '../../src/lib/link-header.ts'

describe('findNextLink', () => {
  test.each([
    ['</v2/_catalog?last=b&n=2>; rel="next"', '/v2/_catalog?last=b&n=2'],
    ['</v2/x>;rel=next', '/v2/x'],
    ['</v2/x>; rel = "next"', '/v2/x'],
    ['</v2/x>; REL="NEXT"', '/v2/x'],
    ['</v2/x>; rel="prev next"', '/v2/x'],
    ['</p>; rel="prev", </n>; rel="next"', '/n'],
    ['</p>; rel="prev",</n>; rel="next",</m>; rel="next"', '/n'],
    ['</a,b?x="1">; rel="next"', '/a,b?x="1"'],
    ['</x>; title="a, <b>; rel=prev"; rel="next"', '/x'],
    ['</x>; title="a \\" b"; rel="next"', '/x'],
    ['<https://elsewhere.example/v2/x?next_page=abc>; rel="next"', 'https://elsewhere.example/v2/x?next_page=abc'],
    ['<>; rel="next"', ''],
  ])('finds it in %s', (header, target) => {
    expect(findNextLink(header)).toBe(target)
  })

  test.each([
    null,
    '',
    'next',
    '</v2/x>',
    '</v2/x>; rel="prev"',
    '</v2/x>; rel="nextish"',
    '</v2/x>; title="rel=next"',
    '</v2/x; rel="next"',
    '/v2/x; rel="next"',
    '</x>; xrel="next"',
  ])('finds none in %j', (header) => {
    expect(findNextLink(header)).toBeUndefined()
  })

  test('finds any target, among any other links', () => {
    const target = fc.stringMatching(/^[!-;=?-~]{0,20}$/)
    const other = fc.tuple(target, fc.constantFrom('prev', 'first', 'last', '"a, b"', '"prev first"'))
    fc.assert(
      fc.property(
        target,
        fc.array(other),
        fc.constantFrom('next', '"next"', '"last next"', '"NEXT"'),
        (next, others, rel) => {
          const links = others.map(([each, relation]) => `<${each}>; rel=${relation}`)
          expect(findNextLink([...links, `<${next}>; title="x,y"; rel=${rel}`].join(', '))).toBe(next)
        },
      ),
    )
  })

  test('never throws', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'<>;,="\\ relnxt') }), (text) => void findNextLink(text)),
    )
  })

  test('reads a long header that is no link in no time: a registry must not be able to keep the server busy', () => {
    for (const piece of ['<', '<a>', '<a>;', ';', '"', '\\', ' ']) {
      const start = performance.now()
      findNextLink(piece.repeat(50_000 / piece.length))
      // A second of a slow machine; what is quadratic takes several.
      expect([piece, performance.now() - start < 1000]).toEqual([piece, true])
    }
  })
})
