/**
 * Block YAML that every reader takes for the same thing: YAML 1.1 (Helm's Go reader) and YAML 1.2 alike.
 *
 * A string is written plain only where no version of YAML could read it as anything else; every other string is a JSON
 * string, which is a YAML double-quoted scalar, with the characters escaped that YAML does not allow in a document.
 */

import { limits } from '../limits.ts'

/** Starts with a letter, so it is no number, date, sign or indicator; holds nothing that YAML gives a meaning to. */
const PLAIN = /^[A-Za-z][A-Za-z0-9_./+-]*(?: [A-Za-z0-9_./+-]+)*$/
/** Words that YAML 1.1 reads as booleans or null (yaml.org/type/bool.html, null.html), in any case to be safe. */
const RESERVED = /^(?:y|n|yes|no|on|off|true|false|null)$/i
/** Printable in JSON, but not in YAML 1.1 (5.1, c-printable) or taken as line breaks or a byte order mark there. */
const UNPRINTABLE = /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g

export function renderScalar(value: string | number | boolean | null): string {
  if (typeof value !== 'string') return JSON.stringify(value)
  if (PLAIN.test(value) && !RESERVED.test(value)) return value
  return renderJson(value.toWellFormed())
}

/** JSON that is YAML too: what YAML does not take in a document occurs inside of strings only, and is escaped. */
export function renderJson(value: unknown): string {
  return JSON.stringify(value).replace(
    UNPRINTABLE,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** Whether every reader takes `key` as one: an implicit key has at most 1,024 bytes (YAML 1.1, 7.4.2). */
export function isKey(key: string): boolean {
  return Buffer.byteLength(renderScalar(key)) <= limits.maxKeyBytes
}

/**
 * The entries of a map as lines, each starting with `indent` and ending with a line feed. Values are what JSON can say;
 * undefined ones are left out, and every key passes `isKey`. The caller writes at least one entry.
 */
export function renderMapping(map: Readonly<Record<string, unknown>>, indent: string): string {
  let text = ''
  for (const [key, value] of Object.entries(map)) {
    if (value !== undefined) text += `${indent}${renderScalar(key)}:${renderValue(value, indent)}`
  }
  return text
}

function renderValue(value: unknown, indent: string): string {
  if (typeof value !== 'object' || value === null) return ` ${renderScalar(toScalar(value))}\n`
  if (Array.isArray(value)) {
    if (value.length === 0) return ' []\n'
    return `\n${value.map((item) => `${indent}  -${renderItem(item, `${indent}    `)}`).join('')}`
  }
  const body = renderMapping(value as Readonly<Record<string, unknown>>, `${indent}  `)
  return body === '' ? ' {}\n' : `\n${body}`
}

/** What follows the dash of a list item; `indent` is that of the item's own further lines. */
function renderItem(item: unknown, indent: string): string {
  if (typeof item !== 'object' || item === null) return ` ${renderScalar(toScalar(item))}\n`
  if (Array.isArray(item)) {
    // A list in a list (only `import-values` can hold one) is written in flow form: short, and valid YAML as it is.
    return ` ${renderFlow(item)}\n`
  }
  const body = renderMapping(item as Readonly<Record<string, unknown>>, indent)
  return body === '' ? ' {}\n' : ` ${body.slice(indent.length)}`
}

function renderFlow(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(renderFlow).join(', ')}]`
  if (typeof value !== 'object' || value === null) return renderScalar(toScalar(value))
  return `{${Object.entries(value)
    .map(([key, item]) => `${renderScalar(key)}: ${renderFlow(item)}`)
    .join(', ')}}`
}

function toScalar(value: unknown): string | number | boolean | null {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' || value === null)
    return value
  throw new TypeError(`Cannot write a ${typeof value} as YAML: only what JSON can say is wanted`)
}
