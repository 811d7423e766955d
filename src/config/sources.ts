/** Where options come from. Each source gives the text it has per option, and its own faults. */

import { parseArgs } from 'node:util'
import { parseDocument } from 'yaml'
import { environmentName, isOptionName, type OptionName, optionNames, options } from './options.ts'

export interface SourceTexts {
  /** What was given, and how to refer to it in a message: `--port`, `PORT`, `port in config.yaml`. */
  readonly texts: ReadonlyMap<OptionName, { readonly text: string; readonly origin: string }>
  /** One line each, without a full stop. */
  readonly faults: readonly string[]
}

export interface CommandLine extends SourceTexts {
  readonly help: boolean
  readonly version: boolean
}

/** `--flag=value`, `--flag value`, and with one dash what Go's flag package took of the predecessor. */
export function readCommandLine(args: readonly string[]): CommandLine {
  const switches = optionNames.filter((name) => options[name].kind.placeholder === '')
  const known = Object.fromEntries([
    ...optionNames.map((name) => [name, { type: switches.includes(name) ? 'boolean' : 'string' }] as const),
    ['help', { type: 'boolean', short: 'h' }] as const,
    ['version', { type: 'boolean' }] as const,
  ])
  const twoDashes = args.map((arg) => (/^-[a-z][a-z-]/.test(arg) ? `-${arg}` : arg))
  const { tokens } = parseArgs({ args: twoDashes, options: known, strict: false, allowPositionals: true, tokens: true })
  const texts = new Map<OptionName, { text: string; origin: string }>()
  const faults: string[] = []
  const seen = new Set<string>()
  for (const token of tokens) {
    if (token.kind === 'positional')
      faults.push(`${quote(token.value)}: given beside the options, wanted nothing but options`)
    if (token.kind !== 'option') continue
    seen.add(token.name)
    if (token.name === 'help' || token.name === 'version') continue
    if (!isOptionName(token.name)) {
      faults.push(`${token.rawName.slice(0, 80)}: unknown option; --help lists them`)
      continue
    }
    const text = token.value ?? (switches.includes(token.name) ? 'true' : undefined)
    if (text === undefined) faults.push(`--${token.name}: given no value, wanted ${options[token.name].kind.wanted}`)
    else
      texts.set(token.name, {
        text: joinLists(token.name, texts.get(token.name)?.text, text),
        origin: `--${token.name}`,
      })
  }
  return { texts, faults, help: seen.has('help'), version: seen.has('version') }
}

export function readEnvironment(environment: Readonly<Record<string, string | undefined>>): SourceTexts {
  const texts = new Map<OptionName, { text: string; origin: string }>()
  for (const name of optionNames) {
    const origin = environmentName(name)
    const text = environment[origin]
    if (text !== undefined) texts.set(name, { text, origin })
  }
  return { texts, faults: [] }
}

/** The content of the file of --config: a map from option names to scalars, or to lists where an option takes several. */
export function readConfigFile(content: string, path: string): SourceTexts {
  const texts = new Map<OptionName, { text: string; origin: string }>()
  const faults: string[] = []
  const document = parseDocument(content, { logLevel: 'error', prettyErrors: false })
  const [error] = document.errors
  if (error !== undefined) {
    const line = content.slice(0, error.pos[0]).split('\n').length
    return { texts, faults: [`${path}: line ${line} is not YAML (${error.code})`] }
  }
  const map: unknown = document.toJS()
  if (map === null) return { texts, faults }
  if (typeof map !== 'object' || Array.isArray(map)) return { texts, faults: [`${path}: wanted a map of options`] }
  for (const [key, value] of Object.entries(map)) {
    const origin = `${key} in ${path}`
    if (!isOptionName(key)) faults.push(`${quote(key)} in ${path}: unknown option; --help lists them`)
    else if (key === 'config') faults.push(`${origin}: a file cannot name another file`)
    else if (isScalar(value)) texts.set(key, { text: String(value), origin })
    else if (Array.isArray(value) && value.every(isScalar)) texts.set(key, { text: value.join(','), origin })
    else if (value !== null) faults.push(`${origin}: wanted ${options[key].kind.wanted}`)
  }
  return { texts, faults }
}

function isScalar(value: unknown): value is string | number | boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
}

function joinLists(name: OptionName, before: string | undefined, text: string): string {
  return before !== undefined && name === 'storage-registry-repositories' ? `${before},${text}` : text
}

/** What somebody gave, for a message: cut, and without control characters. */
export function quote(given: string): string {
  return JSON.stringify(given.length <= 80 ? given : `${given.slice(0, 80)}…`)
}
