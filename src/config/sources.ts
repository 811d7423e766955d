/** Where options come from. Each source gives the text it has per option, and its own faults. */

import { parseArgs } from 'node:util'
import { parseDocument } from 'yaml'
import { toLogText } from '../telemetry/redact.ts'
import { environmentName, isOptionName, type OptionName, optionNames, options } from './options.ts'

export interface GivenText {
  readonly text: string
  /** How to refer to it in a message: `--port`, `PORT`, `port in config.yaml`. */
  readonly origin: string
}

export interface SourceTexts {
  readonly texts: ReadonlyMap<OptionName, GivenText>
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
  const { tokens } = parseArgs({
    args: normalise(args, switches),
    options: known,
    strict: false,
    allowPositionals: true,
    tokens: true,
  })
  const texts = new Map<OptionName, GivenText>()
  const faults: string[] = []
  const seen = new Set<string>()
  // The value of an option that is not known may be a secret, and is no second fault.
  let afterUnknown = -1
  for (const token of tokens) {
    if (token.kind === 'positional' && token.index !== afterUnknown)
      faults.push(`${quote(token.value)}: given beside the options, wanted nothing but options`)
    if (token.kind !== 'option') continue
    seen.add(token.name)
    if (token.name === 'help' || token.name === 'version') continue
    if (!isOptionName(token.name)) {
      faults.push(`${toLogText(token.rawName, 80)}: unknown option; --help lists them`)
      if (token.value === undefined) afterUnknown = token.index + 1
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

/** One dash becomes two where an option stands, and a switch is joined with the word that follows it. */
function normalise(args: readonly string[], switches: readonly string[]): string[] {
  const normal: string[] = []
  let wantsValue = false
  for (const arg of args) {
    const before = normal.at(-1) ?? ''
    if (wantsValue) normal.push(arg)
    else if (/^(?:true|false)$/i.test(arg) && switches.includes(before.slice(2)))
      normal[normal.length - 1] = `${before}=${arg}`
    else normal.push(/^-[a-z][a-z-]/.test(arg) ? `-${arg}` : arg)
    const name = normal.at(-1)?.slice(2) ?? ''
    wantsValue =
      !wantsValue && normal.at(-1)?.startsWith('--') === true && isOptionName(name) && !switches.includes(name)
  }
  return normal
}

export function readEnvironment(environment: Readonly<Record<string, string | undefined>>): SourceTexts {
  const texts = new Map<OptionName, GivenText>()
  for (const name of optionNames) {
    const origin = environmentName(name)
    const text = environment[origin]
    if (text !== undefined) texts.set(name, { text, origin })
  }
  return { texts, faults: [] }
}

/** The content of the file of --config: a map from option names to scalars, or to lists where an option takes several. */
export function readConfigFile(content: string, path: string): SourceTexts {
  const texts = new Map<OptionName, GivenText>()
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
    else if (isListOf(key, value)) texts.set(key, { text: value.join(','), origin })
    else if (value !== null) faults.push(`${origin}: wanted ${options[key].kind.wanted}`)
  }
  return { texts, faults }
}

/** Whether `value` is a list, and `name` an option that takes several. */
function isListOf(name: OptionName, value: unknown): value is (string | number | boolean)[] {
  return options[name].kind.schema.type === 'array' && Array.isArray(value) && value.every(isScalar)
}

function isScalar(value: unknown): value is string | number | boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
}

function joinLists(name: OptionName, before: string | undefined, text: string): string {
  return before !== undefined && options[name].kind.schema.type === 'array' ? `${before},${text}` : text
}

/** What somebody gave, for a message: cut, and without characters that a terminal would obey. */
export function quote(given: string): string {
  return JSON.stringify(toLogText(given, 80))
}
