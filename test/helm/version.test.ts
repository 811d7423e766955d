/** Chart versions: what Helm takes, and the order of SemVer 2.0.0, item 11, for numbers of any size. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { compareVersions, tryParseVersion } from '../../src/helm/version.ts'

/** @throws for what is no version. */
function parse(text: string) {
  const version = tryParseVersion(text)
  if (version === undefined) throw new Error(`${text} is no version`)
  return version
}

const compare = (a: string, b: string): number => Math.sign(compareVersions(parse(a), parse(b)))

const identifier = fc.oneof(
  fc.nat({ max: 20 }).map(String),
  fc.bigInt({ min: 0n, max: 10n ** 30n }).map(String),
  fc.constantFrom('alpha', 'beta', 'rc', 'RC', '-', '--', 'x-1', '0a', '1a', '01x', 'A', 'z9'),
)
const number = fc.oneof(fc.nat({ max: 3 }).map(BigInt), fc.bigInt({ min: 2n ** 53n - 2n, max: 2n ** 53n + 2n }))

interface Parts {
  readonly numbers: readonly bigint[]
  readonly prerelease: readonly string[]
  readonly build: readonly string[]
}

const parts: fc.Arbitrary<Parts> = fc.record({
  numbers: fc.tuple(number, number, number),
  prerelease: fc.array(identifier, { maxLength: 3 }),
  build: fc.array(fc.constantFrom('1', '001', 'abc', '-'), { maxLength: 2 }),
})

function write({ numbers, prerelease, build }: Parts): string {
  const suffix = (sign: string, all: readonly string[]) => (all.length === 0 ? '' : `${sign}${all.join('.')}`)
  return `${numbers.join('.')}${suffix('-', prerelease)}${suffix('+', build)}`
}

/** Item 11, word for word. */
function precedence(a: Parts, b: Parts): number {
  for (const [i, number] of a.numbers.entries()) {
    const other = b.numbers[i] ?? 0n
    if (number !== other) return number < other ? -1 : 1
  }
  if (a.prerelease.length === 0 || b.prerelease.length === 0)
    return Math.sign(b.prerelease.length - a.prerelease.length)
  for (const [i, mine] of a.prerelease.entries()) {
    const other = b.prerelease[i]
    if (other === undefined) return 1
    const numeric = [mine, other].map((each) => /^\d+$/.test(each))
    if (numeric[0] && numeric[1]) {
      if (BigInt(mine) !== BigInt(other)) return BigInt(mine) < BigInt(other) ? -1 : 1
    } else if (numeric[0] !== numeric[1]) return numeric[0] ? -1 : 1
    else if (mine !== other) return Buffer.compare(Buffer.from(mine), Buffer.from(other))
  }
  return a.prerelease.length < b.prerelease.length ? -1 : 0
}

describe('tryParseVersion', () => {
  test('takes what Helm takes: a leading v, missing parts, leading zeros', () => {
    const taken = {
      '1.2.3': ['1', '2', '3'],
      'v1.2.3': ['1', '2', '3'],
      '1.2': ['1', '2', '0'],
      '1': ['1', '0', '0'],
      '01.2.3': ['1', '2', '3'],
      '0.00.000': ['0', '0', '0'],
      v0: ['0', '0', '0'],
      '1.2-beta.5': ['1', '2', '0'],
      '1-rc+build': ['1', '0', '0'],
      '1.2.3-0': ['1', '2', '3'],
      '1.2.3-01a.-': ['1', '2', '3'],
      '1.2.3+001.abc': ['1', '2', '3'],
      '18446744073709551615.0.0': ['18446744073709551615', '0', '0'],
    }
    const seen = Object.keys(taken).map((text) => [text, [...(tryParseVersion(text)?.numbers ?? [])]])
    expect(Object.fromEntries(seen)).toEqual(taken)
  })

  test.each([
    ...[
      '',
      ' ',
      'latest',
      'v',
      'V1.2.3',
      'vv1',
      '1.2.3.4',
      '1.2.3-01',
      '1.2.3-a.00',
      '1.0.0+a_b',
      '1.0.0_b',
      '-1',
      '+1',
    ],
    ...[
      '1.',
      '.1',
      '1..2',
      '1.2.3-',
      '1.2.3+',
      '1.2.3-a..b',
      '1.2.3+a+b',
      '1.2.3 ',
      ' 1.2.3',
      '1.2.3\n',
      '1.x',
      '1.2.3-é',
      '=1',
    ],
    ...['18446744073709551616.0.0', '0.99999999999999999999.0', `1.0.0-${'a'.repeat(251)}`],
  ])('refuses %j', (text) => {
    expect(tryParseVersion(text)).toBeUndefined()
  })

  test('takes a version of 256 characters and no longer one', () => {
    expect(tryParseVersion(`1.0.0-${'a'.repeat(250)}`)).toBeDefined()
    expect(tryParseVersion('1'.repeat(100_000))).toBeUndefined()
  })

  test('reads what SemVer says a version is', () => {
    fc.assert(
      fc.property(parts, (each) => {
        const { numbers, prerelease } = parse(write(each))
        expect([...numbers]).toEqual(each.numbers.map(String))
        expect([...prerelease]).toEqual([...each.prerelease])
      }),
    )
  })
})

describe('compareVersions', () => {
  test('orders as the example of the specification', () => {
    const ascending = [
      ...['1.0.0-alpha', '1.0.0-alpha.1', '1.0.0-alpha.beta', '1.0.0-beta', '1.0.0-beta.2', '1.0.0-beta.11'],
      ...['1.0.0-rc.1', '1.0.0', '1.0.1', '1.1.0', '1.11.0', '2.0.0-0', '2.0.0'],
    ]
    for (const [i, a] of ascending.entries()) {
      for (const [j, b] of ascending.entries()) expect([a, b, compare(a, b)]).toEqual([a, b, Math.sign(i - j)])
    }
  })

  test('takes versions for equal that differ in build metadata or in spelling', () => {
    for (const [a, b] of [
      ['1.0.0+a', '1.0.0+b'],
      ['1', 'v1.0.0'],
      ['1.2', '01.2.0'],
      ['1.0.0-rc+x', '1-rc'],
    ] as const) {
      expect([a, b, compare(a, b)]).toEqual([a, b, 0])
    }
  })

  test('compares numbers beyond 2^53 exactly', () => {
    expect(compare('9007199254740993.0.0', '9007199254740992.0.0')).toBe(1)
    expect(compare('1.0.0-rc.99999999999999999999999', '1.0.0-rc.100000000000000000000000')).toBe(-1)
  })

  test('is the precedence of item 11 for any two versions', () => {
    fc.assert(
      fc.property(parts, parts, (a, b) => {
        expect(compare(write(a), write(b))).toBe(precedence(a, b))
      }),
      { numRuns: 500 },
    )
  })

  test('is a total order: turning it round and going on from one to the next agree', () => {
    fc.assert(
      fc.property(parts, parts, parts, (a, b, c) => {
        const [x, y, z] = [write(a), write(b), write(c)]
        expect(compare(x, y)).toBe(0 - compare(y, x))
        expect(compare(x, x)).toBe(0)
        if (compare(x, y) <= 0 && compare(y, z) <= 0) expect(compare(x, z)).toBeLessThanOrEqual(0)
        if (compare(x, y) === 0) expect(compare(x, z)).toBe(compare(y, z))
      }),
    )
  })
})
