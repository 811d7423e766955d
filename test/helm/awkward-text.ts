/**
 * Text that one reader of YAML or another takes for something else than the string it is, fixed and generated.
 *
 * What is written from a text with half a surrogate pair can only be read back with U+FFFD in its place, so
 * comparisons are with `text.toWellFormed()`.
 */
import fc from 'fast-check'

/** Words that YAML 1.1 or 1.2 resolve to booleans, null, infinity or merge keys. */
const words = ['y', 'n', 'yes', 'no', 'on', 'off', 'true', 'false', 'null', '~', '.inf', '-.Inf', '.NaN', '=', '<<']

const numbers = [
  ...['0', '1', '-1', '+1', '007', '010', '0o17', '0x1F', '0X1F', '0b1', '1_000', '_1', '1_', '1.', '.5', '1.0'],
  ...['1e3', '1E3', '1e+3', '1.5e-7', '12e03', '5e324', '-0', '00', '12:30', '12:30:45', '-1:30', '190:20:30.15'],
  ...['4503599627370497', '18446744073709551616', '1'.repeat(64), '0'.repeat(64), `1e${'5'.repeat(62)}`],
]

const dates = ['2020-01-01', '2020-1-1', '2001-12-14t21:59:43.10-05:00', '2001-12-14 21:59:43.10 -5', '2020-13-45']

const indicators = [
  ...[
    '-',
    '- ',
    '- a',
    '?',
    '? ',
    '? a',
    ':',
    ': ',
    'a: b',
    'a:',
    ':a',
    '#',
    ' #',
    'a #b',
    'a# b',
    ',',
    '[',
    ']',
    '{',
    '}',
  ],
  ...[
    '[a]',
    '{a: b}',
    '{}',
    '[]',
    '&',
    '&a',
    '*',
    '*a',
    '!',
    '!!str 1',
    '!!binary aGk=',
    '|',
    '|-',
    '>',
    '> a',
    '%',
    '%YAML 1.1',
  ],
  ...[
    '@',
    '`',
    '"',
    "'",
    '"a"',
    "'a'",
    "it's",
    '---',
    '--- a',
    '...',
    'a ---',
    '\\',
    '\\n',
    'a\\',
    '$$x',
    '{{ .Values.x }}',
  ],
]

const blanks = [
  ...[
    '',
    ' ',
    '  ',
    '\t',
    ' a',
    'a ',
    ' a ',
    'a  b',
    'a\tb',
    '\ta',
    'a\t',
    '\n',
    'a\n',
    '\na',
    'a\nb',
    'a\n\nb\n',
    'a\n  b',
  ],
  ...[
    '\r',
    'a\r\nb',
    'a\rb',
    '\u000b',
    '\u000c',
    '\u0085',
    'a\u0085b',
    '\u00a0',
    'a\u2028b',
    'a\u2029b',
    '\u3000',
    '\u200b',
  ],
]

const characters = [
  ...[
    '\u0000',
    '\u0001',
    '\u0007',
    '\b',
    '\u001b',
    '\u001f',
    '\u007f',
    '\u0080',
    '\u009f',
    '\ufeff',
    'a\ufeffb',
    '\ufffd',
  ],
  ...[
    '\ufffe',
    '\uffff',
    '\ud800',
    'a\udc00b',
    '\udc00\ud800',
    '\u{1f600}',
    '\u{10ffff}',
    '\u{1fffe}',
    'é',
    'e\u0301',
    'Ω',
    '日本',
  ],
]

const keys = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  'length',
  'name',
  'version',
  'urls',
]

const long = ['k'.repeat(2000), 'é'.repeat(700), '"'.repeat(1000), `${'word '.repeat(400)}end`, '\u2028'.repeat(300)]

export const awkwardTexts: readonly string[] = [
  ...words.flatMap((word) => [...new Set([word, word.toUpperCase(), word.replace(/[a-z]/, (a) => a.toUpperCase())])]),
  ...numbers,
  ...dates,
  ...indicators,
  ...blanks,
  ...characters,
  ...keys,
  ...long,
  'an ordinary sentence, for once.',
]

/** Any text, awkward ones preferred: the fixed ones, pieces of them put together, and any UTF-16 code units. */
export function awkwardText(): fc.Arbitrary<string> {
  const fixed = fc.constantFrom(...awkwardTexts)
  const pieces = fc.constantFrom(...words, ...indicators, ...blanks, 'a', 'B', '0', '1', '.', '/', '+', '_', 'é')
  const codeUnits = fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 6 })
  return fc.oneof(
    { weight: 4, arbitrary: fixed },
    { weight: 3, arbitrary: fc.array(pieces, { maxLength: 5 }).map((all) => all.join('')) },
    { weight: 1, arbitrary: fc.string({ unit: 'binary' }) },
    { weight: 1, arbitrary: codeUnits.map((units) => String.fromCharCode(...units)) },
  )
}

/** Awkward text that every reader takes as a key: below the bound even when each byte of it has to be escaped. */
export function awkwardKey(): fc.Arbitrary<string> {
  return awkwardText().filter((text) => Buffer.byteLength(text.toWellFormed()) <= 140)
}

/** An object with awkward keys, made as JSON.parse makes it: `__proto__` is a key like any other. No two keys are written alike. */
export function awkwardMap<T>(
  value: fc.Arbitrary<T>,
  { key = awkwardKey(), maxKeys = 4 }: { readonly key?: fc.Arbitrary<string>; readonly maxKeys?: number } = {},
): fc.Arbitrary<Record<string, T>> {
  const entries = fc.uniqueArray(fc.tuple(key, value), {
    maxLength: maxKeys,
    selector: ([text]) => text.toWellFormed(),
  })
  return entries.map((all) => Object.fromEntries(all))
}

/** Whatever JSON can say, with awkward strings and keys, some levels deep. */
export function awkwardJson({
  key = awkwardKey(),
}: {
  readonly key?: fc.Arbitrary<string>
} = {}): fc.Arbitrary<unknown> {
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4, depthSize: 'small' },
      awkwardText(),
      fc.constantFrom(null, true, false, 0, -1, 1.5, 1e21, -1e-9, 9007199254740991),
      fc.array(tie('value'), { maxLength: 3 }),
      awkwardMap(tie('value'), { key, maxKeys: 3 }),
    ),
  }))
  return value
}
