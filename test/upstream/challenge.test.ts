/** WWW-Authenticate as registries and proxies write it. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { parseChallenges } from '../../src/upstream/challenge.ts'

const parse = (header: string | null) =>
  parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)] as const)

describe('parseChallenges', () => {
  test.each([
    [null, []],
    ['', []],
    [' , ', []],
    ['Basic realm="harbor"', [['basic', { realm: 'harbor' }]]],
    ['Bearer', [['bearer', {}]]],
    [
      'Bearer realm="https://auth.example/token",service="a b",scope="repository:a/b:pull,push repository:c:pull"',
      [
        [
          'bearer',
          { realm: 'https://auth.example/token', service: 'a b', scope: 'repository:a/b:pull,push repository:c:pull' },
        ],
      ],
    ],
    ['bEaReR REALM = "x" , Service=y', [['bearer', { realm: 'x', service: 'y' }]]],
    [
      'Bearer realm="x",Basic realm="y"',
      [
        ['bearer', { realm: 'x' }],
        ['basic', { realm: 'y' }],
      ],
    ],
    [
      'Basic realm="y", Bearer realm="x",service="s"',
      [
        ['basic', { realm: 'y' }],
        ['bearer', { realm: 'x', service: 's' }],
      ],
    ],
    [
      'Negotiate, Bearer realm="x"',
      [
        ['negotiate', {}],
        ['bearer', { realm: 'x' }],
      ],
    ],
    [
      'Digest qop="auth,auth-int", nonce=a, Basic realm="y"',
      [
        ['digest', { qop: 'auth,auth-int', nonce: 'a' }],
        ['basic', { realm: 'y' }],
      ],
    ],
    ['Bearer realm="a \\"quoted\\" \\\\ text"', [['bearer', { realm: 'a "quoted" \\ text' }]]],
    ['Bearer realm="x",realm="https://evil.example"', [['bearer', { realm: 'x' }]]],
    ['Bearer realm=""', [['bearer', { realm: '' }]]],
    [
      'Bearer realm=https://auth.example/token,service=x',
      [['bearer', { realm: 'https://auth.example/token', service: 'x' }]],
    ],
    ['Bearer realm="https://h/token?a=1&b=2"', [['bearer', { realm: 'https://h/token?a=1&b=2' }]]],
    ['Bearer error="invalid_token",,realm="x",', [['bearer', { error: 'invalid_token', realm: 'x' }]]],
    ['realm="x"', []],
    ['"x" Bearer', []],
  ] as const)('reads %j', (header, challenges) => {
    expect(parse(header)).toEqual(challenges as unknown as ReturnType<typeof parse>)
  })

  test('keeps what can be read in front of what cannot', () => {
    expect(parse('Basic realm="y", Bearer realm="x')[0]).toEqual(['basic', { realm: 'y' }])
    expect(parse('Bearer realm="x", (what?)')).toEqual([['bearer', { realm: 'x' }]])
  })

  test('reads back any challenges, in one header line or in several that were joined', () => {
    const token = fc.stringMatching(/^[A-Za-z][A-Za-z0-9_-]{0,8}$/)
    const value = fc.string({ unit: fc.constantFrom(...'ab1 ,="\\:/?&;\t<>') })
    const parameters = fc.uniqueArray(fc.tuple(token, value, fc.boolean()), {
      selector: ([name]) => name.toLowerCase(),
      maxLength: 4,
    })
    const challenge = fc.tuple(token, parameters)
    const quote = (text: string) => `"${text.replace(/["\\]/g, '\\$&')}"`
    fc.assert(
      fc.property(fc.array(challenge, { maxLength: 4 }), fc.constantFrom(',', ', ', ' , '), (all, comma) => {
        const written = all.map(([scheme, list]) => {
          const pairs = list.map(
            ([name, text, bare]) => `${name}=${bare && /^[a-z0-9:/?&;<>]+$/.test(text) ? text : quote(text)}`,
          )
          return pairs.length === 0 ? scheme : `${scheme} ${pairs.join(comma)}`
        })
        const wanted = all.map(([scheme, list]) => [
          scheme.toLowerCase(),
          Object.fromEntries(list.map(([name, text]) => [name.toLowerCase(), text])),
        ])
        expect(parse(written.join(comma)) as unknown).toEqual(wanted)
      }),
      { numRuns: 300 },
    )
  })

  test('never throws, and comes to an end', () => {
    const text = fc.string({ unit: fc.constantFrom(...'aB=", \t\\:()\u0000é') })
    fc.assert(fc.property(fc.oneof(text, fc.string({ unit: 'binary' })), (header) => void parseChallenges(header)))
  })

  test('reads a long header in no time', () => {
    for (const piece of ['a,', 'a=', 'a="', 'Bearer a="b",', 'a ', '\\', '"', ' ']) {
      const start = performance.now()
      parseChallenges(`Bearer ${piece.repeat(50_000 / piece.length)}`)
      expect([piece, performance.now() - start < 1000]).toEqual([piece, true])
    }
  })
})
