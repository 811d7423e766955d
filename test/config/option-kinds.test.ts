/** Text to values, one kind at a time. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import * as kinds from '../../src/config/option-kinds.ts'
import { tryReadValue } from '../../src/config/option-kinds.ts'

function expectRead(
  kind: kinds.OptionKind,
  values: readonly (readonly [string, unknown])[],
  refused: readonly string[],
): void {
  expect(values.map(([text]) => [text, tryReadValue(kind, text)])).toEqual(values.map(([text, value]) => [text, value]))
  expect(refused.filter((text) => tryReadValue(kind, text) !== undefined)).toEqual([])
}

describe('tryReadValue', () => {
  test('reads ports', () => {
    expectRead(
      kinds.port,
      [
        ['0', 0],
        ['8080', 8080],
        [' 65535 ', 65535],
      ],
      ['', '-1', '65536', '080808', '1.5', '0x50', '1e3', 'http', '80 81', '８０'],
    )
  })

  test('reads switches', () => {
    const values = [
      ['true', true],
      ['TRUE', true],
      ['1', true],
      ['false', false],
      ['0', false],
    ] as const
    expectRead(kinds.flag, values, ['', 'yes', 'no', '2', 'constructor', '__proto__', 'toString'])
  })

  test('reads durations as Go writes them', () => {
    const hour = 3_600_000
    const values = [
      ['500ms', 500],
      ['30s', 30_000],
      ['10m', 600_000],
      ['1h30m', 1.5 * hour],
      ['1.5s', 1500],
      ['0', 0],
      ['0s', 0],
      ['8760h', 8760 * hour],
    ] as const
    expectRead(kinds.duration, values, [
      '',
      '5',
      '-1s',
      '1d',
      's',
      '1 s',
      '1s ago',
      '1e3s',
      '.5s',
      '8761h',
      '1H',
      'Infinitys',
      '1s;',
      `${'9'.repeat(400)}s`,
    ])
    expectRead(
      kinds.interval,
      [
        ['100ms', 100],
        ['30s', 30_000],
      ],
      ['0', '99ms', '0.05s'],
    )
  })

  test('reads any duration in several units as their sum', () => {
    fc.assert(
      fc.property(
        fc.nat({ max: 99 }),
        fc.nat({ max: 999 }),
        fc.nat({ max: 9999 }),
        fc.nat({ max: 9999 }),
        (h, m, s, ms) => {
          expect(tryReadValue(kinds.duration, `${h}h${m}m${s}s${ms}ms`)).toBe(((h * 60 + m) * 60 + s) * 1000 + ms)
        },
      ),
    )
  })

  test('reads sizes', () => {
    const values = [
      ...([
        ['0', 0],
        ['100', 100],
        ['100B', 100],
        ['1KB', 1000],
        ['1KiB', 1024],
        ['1k', 1000],
        ['1.5MiB', 1_572_864],
      ] as const),
      ...([
        ['2GiB', 2 ** 31],
        ['2 GiB', 2 ** 31],
        ['1TB', 10 ** 12],
        ['1gib', 2 ** 30],
      ] as const),
    ]
    expectRead(kinds.byteSize, values, ['', '-1', '1PB', '1KK', 'KiB', '1e3', '0x10', '1,5MB', '9000000TiB', '1 2'])
  })

  test('reads hosts and addresses', () => {
    expectRead(
      kinds.host,
      [
        ['localhost', 'localhost'],
        ['0.0.0.0', '0.0.0.0'],
        ['::1', '::1'],
        ['[::1]', '::1'],
        ['fe80::1%0', 'fe80::1%0'],
        ['a-b_c.example', 'a-b_c.example'],
      ],
      ['', 'a b', 'a/b', 'host:80', 'http://x', 'a\nb', '*', '[::1]:80', 'ü'],
    )
  })

  test('reads counts', () => {
    expectRead(
      kinds.count,
      [
        ['0', 0],
        ['1', 1],
        [' 2 ', 2],
        ['1000000000', 1_000_000_000],
      ],
      ['', '-1', '1.5', '1e3', '0x10', '1000000001', '9'.repeat(400), 'all', '２'],
    )
  })

  test('reads addresses of the web, without the slash at their end', () => {
    expectRead(
      kinds.httpUrl,
      [
        ['https://charts.example', 'https://charts.example'],
        ['https://charts.example/', 'https://charts.example'],
        ['HTTP://Charts.example:8080/a/b//', 'http://charts.example:8080/a/b'],
        ['http://[::1]:80', 'http://[::1]'],
        ['https://charts.example/a b', 'https://charts.example/a%20b'],
      ],
      [
        ...['', 'charts.example', '//charts.example', 'https://', 'ftp://charts.example', 'oci://charts.example'],
        ...['https://user@charts.example', 'https://:password@charts.example', 'javascript:alert(1)'],
        // An empty query or fragment is one: what is put behind it would be part of it.
        ...['https://charts.example?x=1', 'https://charts.example/a?', 'https://charts.example#x', 'https://h/#'],
      ],
    )
  })

  test('reads lists, with commas or white space between', () => {
    expectRead(
      kinds.textList,
      [
        ['a', ['a']],
        ['a,b/c', ['a', 'b/c']],
        [' a , b\nc ', ['a', 'b', 'c']],
        ['a,,b,', ['a', 'b']],
      ],
      [],
    )
  })

  test('reads one of a few words, in any case', () => {
    expectRead(
      kinds.choice('HTTP', 'HTTPS'),
      [
        ['http', 'HTTP'],
        ['Https', 'HTTPS'],
      ],
      ['', 'ftp', 'HTTP,HTTPS', 'constructor'],
    )
    expect(kinds.choice('a', 'b', 'c').wanted).toBe('a, b or c')
  })

  test('never throws, and gives nothing that its schema does not allow', () => {
    const all = [
      kinds.port,
      kinds.text,
      kinds.path,
      kinds.host,
      kinds.flag,
      kinds.duration,
      kinds.interval,
      kinds.byteSize,
      kinds.textList,
      kinds.count,
      kinds.httpUrl,
    ]
    fc.assert(
      fc.property(
        fc.constantFrom<kinds.OptionKind>(...all),
        fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(...'0123456789.eEmshkKMGTiB') })),
        (kind, text) => {
          tryReadValue(kind, text)
        },
      ),
      { numRuns: 500 },
    )
  })
})
