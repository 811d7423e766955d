/**
 * The kinds of values options have: how text becomes a value, which values are allowed (TypeBox), and how what is
 * wanted is said to somebody who gave something else.
 */

import { isIP } from 'node:net'
import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

export interface OptionKind<S extends TSchema = TSchema> {
  readonly schema: S
  /** Completes "wanted …". */
  readonly wanted: string
  /** Whether text that is not of this kind may be repeated in a fault; it may where there is no such rule. */
  readonly isPrintable?: (text: string) => boolean
  /** For --help: `--port PORT`. Empty for switches. */
  readonly placeholder: string
  /** Anything that does not fit the schema stands for text that is not of this kind. */
  readonly read: (text: string) => unknown
}

/** The value `text` stands for, or undefined when it is not of this kind. */
export function tryReadValue<S extends TSchema>(kind: OptionKind<S>, text: string): Static<S> | undefined {
  const value = kind.read(text.trim())
  return Value.Check(kind.schema, value) ? value : undefined
}

export const port = {
  schema: Type.Integer({ minimum: 0, maximum: 65535 }),
  wanted: 'a port number from 0 to 65535',
  placeholder: 'PORT',
  read: (text) => (/^\d{1,5}$/.test(text) ? Number(text) : undefined),
} as const satisfies OptionKind

export const text = {
  schema: Type.String({ minLength: 1 }),
  wanted: 'some text',
  placeholder: 'TEXT',
  read: (given) => given,
} as const satisfies OptionKind

export const path = { ...text, wanted: 'a path', placeholder: 'PATH' } as const satisfies OptionKind

export const host = {
  schema: Type.String({ minLength: 1 }),
  wanted: 'a host name or an address without a port',
  placeholder: 'HOST',
  read: (given) => {
    const address = given.replace(/^\[(.*)\]$/, '$1')
    const isName = /^[A-Za-z0-9._-]*[A-Za-z][A-Za-z0-9._-]*$/.test(address)
    return isName || isIP(address) !== 0 ? address : undefined
  },
} as const satisfies OptionKind

export const flag = {
  schema: Type.Boolean(),
  wanted: 'true or false',
  placeholder: '',
  read: (given) => ({ true: true, '1': true, false: false, '0': false })[given.toLowerCase()],
} as const satisfies OptionKind

/** Milliseconds. Go's notation (ChartMuseum's too), whole or fractional, in one or several units: `1h30m`, `500ms`. */
export const duration = {
  schema: Type.Integer({ minimum: 0, maximum: 365 * 24 * 3_600_000 }),
  wanted: 'a duration such as 500ms, 30s or 1h30m',
  placeholder: 'DURATION',
  read: (given) => {
    if (!/^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/.test(given)) return given === '0' ? 0 : undefined
    const unitMs: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }
    const parts = given.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)
    return Math.round(parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * (unitMs[unit ?? ''] ?? 0), 0))
  },
} as const satisfies OptionKind

/** A duration that something is divided by or waits for in a loop. */
export const interval = {
  ...duration,
  schema: Type.Integer({ minimum: 100, maximum: 365 * 24 * 3_600_000 }),
  wanted: 'a duration of at least 100ms, such as 30s or 1h30m',
} as const satisfies OptionKind

export const count = {
  schema: Type.Integer({ minimum: 0, maximum: 1_000_000_000 }),
  wanted: 'a whole number from 0 on',
  placeholder: 'NUMBER',
  read: (given) => (/^\d{1,10}$/.test(given) ? Number(given) : undefined),
} as const satisfies OptionKind

/** Without a slash at its end. Everybody who reads the index sees it, so it may not hold a password. */
export const httpUrl = {
  schema: Type.String({ minLength: 1 }),
  wanted: 'an address such as https://charts.example.com, without user, query and fragment',
  isPrintable: (given: string) => !/[@?#]/.test(given),
  placeholder: 'URL',
  read: (given) => {
    const url = URL.parse(given)
    const isPlain = url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.password === ''
    return isPlain && !/[?#]/.test(url.href) ? url.href.replace(/\/+$/, '') : undefined
  },
} as const satisfies OptionKind

/** Bytes, with the units of 1024 (KiB …) and of 1000 (KB …). */
export const byteSize = {
  schema: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
  wanted: 'a size such as 500MB or 2GiB',
  placeholder: 'SIZE',
  read: (given) => {
    const match = /^(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?$/i.exec(given)
    if (match === null) return undefined
    const power = ' KMGT'.indexOf((match[2] ?? '').toUpperCase() || ' ')
    return Math.floor(Number(match[1]) * (match[3] === '' ? 1000 : 1024) ** power)
  },
} as const satisfies OptionKind

/** Separated by commas or white space; given several times, all of them. */
export const textList = {
  schema: Type.Array(Type.String({ minLength: 1 })),
  wanted: 'names separated by commas',
  placeholder: 'NAMES',
  read: (given) => given.split(/[\s,]+/).filter((name) => name !== ''),
} as const satisfies OptionKind

/** One of a few words, in any case. */
export function choice<const W extends string>(...words: readonly W[]) {
  return {
    schema: Type.Unsafe<W>(Type.Union(words.map((word) => Type.Literal(word)))),
    wanted: words.slice(0, -1).join(', ') + (words.length > 1 ? ' or ' : '') + words.at(-1),
    placeholder: words.join('|'),
    read: (given: string) => words.find((word) => word.toLowerCase() === given.toLowerCase()),
  } as const satisfies OptionKind
}
