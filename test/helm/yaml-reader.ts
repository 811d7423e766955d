/** Reads YAML as strictly as Helm does, by the rules of 1.1 or of 1.2, and keeps every key and scalar as it was resolved. */
import { parseDocument } from 'yaml'

export const YAML_VERSIONS = ['1.1', '1.2'] as const
export type YamlVersion = (typeof YAML_VERSIONS)[number]

/** Not printable in YAML 1.1 (5.1), or a line break or byte order mark there: Go's reader stops, this one would not. */
const REFUSED = /[^\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\u{10000}-\u{10ffff}]/u

/** The document with its maps as lists of pairs in the order of keys; @throws for errors, warnings and duplicate keys. */
export function readYaml(text: string, version: YamlVersion): unknown {
  const refused = REFUSED.exec(text)
  if (refused !== null) throw new Error(`${JSON.stringify(refused[0])} stands in the document as it is`)
  const document = parseDocument(text, { version, uniqueKeys: true, strict: true, logLevel: 'error' })
  const [fault] = [...document.errors, ...document.warnings]
  if (fault !== undefined) throw fault
  return toPairs(document.toJS({ mapAsMap: true }))
}

/** What reading back `value`, written from plain objects, has to give. */
export function toPairs(value: unknown): unknown {
  if (typeof value === 'string') return value.toWellFormed()
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  if (Array.isArray(value)) return value.map(toPairs)
  const entries: readonly [unknown, unknown][] = value instanceof Map ? [...value] : Object.entries(value)
  const pairs = entries.map(([key, item]) => ({ key: toPairs(key), value: toPairs(item) }))
  return { pairs: pairs.sort((a, b) => order(JSON.stringify(a.key), JSON.stringify(b.key))) }
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
