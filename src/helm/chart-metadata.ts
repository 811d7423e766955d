/**
 * Chart.yaml's fields (Helm 4.2 `pkg/chart/v2/metadata.go`, the same in v1 to v3 charts): what a config blob may say
 * and what an index entry repeats.
 *
 * Invariant: what leaves `cleanMetadata` can be read by Helm's strict reader. One unknown field or one value of the
 * wrong type in one entry would make the whole repository unreadable, so both are left out and reported.
 */

import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { Value } from '@sinclair/typebox/value'
import { limits } from '../limits.ts'
import { tryParseVersion } from './version.ts'
import { isKey } from './yaml-writer.ts'

const closed = { additionalProperties: false } as const

const Maintainer = Type.Object(
  { name: Type.Optional(Type.String()), email: Type.Optional(Type.String()), url: Type.Optional(Type.String()) },
  closed,
)

const Dependency = Type.Object(
  {
    name: Type.Optional(Type.String()),
    version: Type.Optional(Type.String()),
    repository: Type.Optional(Type.String()),
    condition: Type.Optional(Type.String()),
    tags: Type.Optional(Type.Array(Type.String())),
    enabled: Type.Optional(Type.Boolean()),
    'import-values': Type.Optional(Type.Array(Type.Unknown())),
    alias: Type.Optional(Type.String()),
  },
  closed,
)

/** In the order in which Helm writes them; an index entry keeps it. */
export const ChartMetadata = Type.Object(
  {
    name: Type.String(),
    home: Type.Optional(Type.String()),
    sources: Type.Optional(Type.Array(Type.String())),
    version: Type.String(),
    description: Type.Optional(Type.String()),
    keywords: Type.Optional(Type.Array(Type.String())),
    maintainers: Type.Optional(Type.Array(Maintainer)),
    icon: Type.Optional(Type.String()),
    apiVersion: Type.Optional(Type.String()),
    condition: Type.Optional(Type.String()),
    tags: Type.Optional(Type.String()),
    appVersion: Type.Optional(Type.String()),
    deprecated: Type.Optional(Type.Boolean()),
    annotations: Type.Optional(Type.Record(Type.String(), Type.String())),
    kubeVersion: Type.Optional(Type.String()),
    dependencies: Type.Optional(Type.Array(Dependency)),
    type: Type.Optional(Type.Union([Type.Literal('application'), Type.Literal('library')])),
  },
  closed,
)
export type ChartMetadata = Static<typeof ChartMetadata>

const fieldOrder = Object.keys(ChartMetadata.properties)
const isClean = TypeCompiler.Compile(ChartMetadata)

export interface CleanedMetadata {
  readonly metadata: ChartMetadata
  /** JSON pointers of what was left out, such as `/appVersion` or `/maintainers/0/phone`. */
  readonly dropped: readonly string[]
}

/**
 * The usable part of a config blob, or in words why it describes no chart: the name and the version must be there and
 * be such that Helm takes them. Empty strings, lists and maps are left out as Helm does.
 */
export function cleanMetadata(config: unknown): CleanedMetadata | { readonly fault: string } {
  if (typeof config !== 'object' || config === null || Array.isArray(config))
    return { fault: 'its config is no JSON object' }
  const dropped: string[] = []
  // Most are as they should be, and taking them apart would cost more than all the rest.
  const wanted = isClean.Check(config) && isTidy(config) ? config : undefined
  const kept = wanted ?? cleanObject(ChartMetadata.properties, config, '', dropped)
  const { name, version }: { readonly name?: unknown; readonly version?: unknown } = kept
  if (typeof name !== 'string' || !isChartName(name)) return { fault: `its config has no usable chart name` }
  if (typeof version !== 'string' || tryParseVersion(version) === undefined) {
    return { fault: `its config has no SemVer version` }
  }
  if (wanted !== undefined) return { metadata: inFieldOrder(wanted), dropped }
  const metadata = toWellFormed(inFieldOrder(kept))
  if (!isClean.Check(metadata)) return { fault: 'its config cannot be made sense of' }
  return { metadata, dropped }
}

function inFieldOrder<T extends object>(fields: T): T {
  const ordered: Partial<T> = {}
  for (const key of fieldOrder as (keyof T)[]) if (Object.hasOwn(fields, key)) ordered[key] = fields[key]
  return ordered as T
}

/** Keys that are no longer need no closer look: escaped, a character takes six bytes at most. */
const MAX_PLAIN_KEY = limits.maxKeyBytes / 6 - 2

/** Whether there is nothing in it that cleaning would change: nothing empty, no half characters, no long key, nothing deep. */
function isTidy(value: unknown, depth = 0): boolean {
  if (typeof value === 'string') return value !== '' && value.isWellFormed()
  if (typeof value !== 'object') return true
  if (value === null || depth > limits.maxMetadataDepth) return false
  if (Array.isArray(value)) return value.length > 0 && value.every((item) => isTidy(item, depth + 1))
  let isEmpty = true
  for (const key in value) {
    isEmpty = false
    if (key.length > MAX_PLAIN_KEY || !key.isWellFormed()) return false
    if (!isTidy(value[key as keyof typeof value], depth + 1)) return false
  }
  return !isEmpty
}

/**
 * Whether Helm takes `name` as a chart's (`chart.metadata.name` must be its own base name) and a file can be called so
 * on every platform: no separators, no control characters.
 */
export function isChartName(name: string): boolean {
  if (name === '' || name === '.' || name === '..' || Buffer.byteLength(name) > limits.maxFileNameBytes) return false
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return !/[/\\\u0000-\u001f\u007f]/.test(name) && name.isWellFormed()
}

function cleanObject(
  fields: Readonly<Record<string, TSchema>>,
  value: object,
  path: string,
  dropped: string[],
): Record<string, unknown> {
  const kept: [string, unknown][] = []
  for (const [key, item] of Object.entries(value)) {
    const schema = Object.hasOwn(fields, key) ? fields[key] : undefined
    const cleaned = schema === undefined ? undefined : cleanValue(schema, item, `${path}/${key}`, dropped)
    if (schema === undefined) dropped.push(`${path}/${key}`)
    else if (cleaned !== undefined) kept.push([key, cleaned])
  }
  return Object.fromEntries(kept)
}

/** The part of `value` that fits `schema`; undefined when nothing does, or when what is left is empty. */
function cleanValue(schema: TSchema, value: unknown, path: string, dropped: string[]): unknown {
  if (value === null || value === '') return undefined
  if (schema['type'] === 'array' && Array.isArray(value)) {
    const item: TSchema = schema['items']
    const kept = value
      .map((each, i) => cleanValue(item, each, `${path}/${i}`, dropped))
      .filter((each) => each !== undefined)
    return kept.length === 0 ? undefined : kept
  }
  if (schema['type'] === 'object' && typeof value === 'object' && !Array.isArray(value)) {
    const kept = Object.entries(
      schema['properties'] === undefined
        ? stringsOnly(value, path, dropped)
        : cleanObject(schema['properties'], value, path, dropped),
    )
    return kept.length === 0 ? undefined : Object.fromEntries(kept)
  }
  if (schema['type'] === undefined && schema['anyOf'] === undefined) {
    if (depthOf(value) <= limits.maxMetadataDepth && hasUsableKeys(value)) return value
  } else if (Value.Check(schema, value)) return value
  dropped.push(path)
  return undefined
}

function stringsOnly(value: object, path: string, dropped: string[]): Record<string, string> {
  const entries = Object.entries(value)
  const isUsable = ([key, item]: readonly [string, unknown]) => typeof item === 'string' && isKey(key)
  for (const entry of entries) if (!isUsable(entry)) dropped.push(`${path}/${entry[0]}`)
  return Object.fromEntries(entries.filter(isUsable))
}

/** Readers of YAML take no longer keys; a chart that has one must not make the whole index unreadable. */
function hasUsableKeys(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true
  return (Array.isArray(value) || Object.keys(value).every(isKey)) && Object.values(value).every(hasUsableKeys)
}

/**
 * Halves of surrogate pairs cannot be written as UTF-8. They are replaced before anything is rendered, because two keys
 * that differ in nothing else would be one key twice, which no reader takes.
 */
function toWellFormed(value: unknown): unknown {
  if (typeof value === 'string') return value.toWellFormed()
  if (Array.isArray(value)) return value.map(toWellFormed)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key.toWellFormed(), toWellFormed(item)]))
}

/** Levels of nesting, counted only as far as it matters. */
function depthOf(value: unknown, seen = 0): number {
  if (typeof value !== 'object' || value === null || seen > limits.maxMetadataDepth) return seen
  return Math.max(seen, ...Object.values(value).map((item) => depthOf(item, seen + 1)))
}
