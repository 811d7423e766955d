/**
 * From the sources of options to the configuration the program is composed from, or to all that is wrong with them.
 *
 * Order: command line, environment, file, default (ChartMuseum's). Faults name the option as the person wrote it.
 */

import { isRepositoryName, isUnderPrefix } from '../oci/reference.ts'
import type { LogFormat, LogLevel } from '../telemetry/log.ts'
import { tryReadValue } from './option-kinds.ts'
import { type OptionName, type OptionSpec, type OptionValues, optionNames, options } from './options.ts'
import { type GivenText, quote, readCommandLine, readConfigFile, readEnvironment, type SourceTexts } from './sources.ts'

/** A registry somewhere else. */
export interface RegistryStorage {
  readonly kind: 'registry'
  /** `host[:port]` */
  readonly host: string
  readonly scheme: 'http' | 'https' | undefined
  /** Without slashes at its ends; empty for everything. */
  readonly pathPrefix: string
  readonly repositories: readonly string[]
  readonly credentialsPath: string
  /** The file was asked for, so it must be there. */
  readonly credentialsRequired: boolean
  readonly caFile: string | undefined
  readonly insecure: boolean
  /** How whoever configured this calls the two files, for messages. */
  readonly fileOptions: { readonly credentials: string; readonly caFile: string }
}

/** The embedded registry. */
export interface LocalStorage {
  readonly kind: 'local'
  readonly rootDir: string
  /** How whoever configured this calls the directory, for messages. */
  readonly rootDirOption: string
  /** How often unused blobs are looked for; 0 for never. */
  readonly sweepIntervalMs: number
  /** How old they must be. */
  readonly sweepDelayMs: number
}

export interface Configuration {
  readonly listen: { readonly host: string | undefined; readonly port: number }
  readonly storage: RegistryStorage | LocalStorage
  readonly cache: { readonly dir: string; readonly maxBytes: number }
  readonly index: {
    readonly format: 'auto' | 'yaml' | 'json'
    /** Of each chart; 0 for all. */
    readonly versionsEach: number
    /** Where packages are fetched. Relative addresses: an empty prefix. */
    readonly chartUrls: { readonly prefix: string } | { readonly registryHost: string }
    readonly servesPartial: boolean
  }
  readonly refreshIntervalMs: number
  readonly refreshWaitMs: number
  readonly revalidateIntervalMs: number
  readonly log: { readonly format: LogFormat; readonly level: LogLevel }
}

export interface Surroundings {
  readonly args: readonly string[]
  readonly environment: Readonly<Record<string, string | undefined>>
  /** The content of the file of --config. @throws an Error whose message completes `which …`. */
  readonly readFile: (path: string) => string
  readonly platformCacheDir: string
  readonly isTerminal: boolean
}

export type ConfigurationResult =
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  | { readonly kind: 'faults'; readonly faults: readonly string[] }
  | { readonly kind: 'configuration'; readonly configuration: Configuration }

export function readConfiguration(surroundings: Surroundings): ConfigurationResult {
  const commandLine = readCommandLine(surroundings.args)
  if (commandLine.help) return { kind: 'help' }
  if (commandLine.version) return { kind: 'version' }
  const environment = readEnvironment(surroundings.environment)
  const file = readNamedFile(surroundings, pickText([commandLine, environment], 'config'))
  const sources: readonly SourceTexts[] = [commandLine, environment, file]
  const faults = sources.flatMap((source) => source.faults)
  const values: Partial<Record<OptionName, unknown>> = {}
  const given = new Map<OptionName, string>()
  for (const name of optionNames) {
    const spec: OptionSpec = options[name]
    const found = pickText(sources, name)
    if (found !== undefined) given.set(name, found.origin)
    const text = found?.text ?? spec.default
    const value = text === undefined ? undefined : tryReadValue(spec.kind, text)
    if (found !== undefined && value === undefined) {
      const shown = spec.kind.isPrintable?.(found.text) === false ? 'what may hold a password' : quote(found.text)
      faults.push(`${found.origin}: given ${shown}, wanted ${spec.kind.wanted}`)
    }
    values[name] = value
  }
  // Each value was checked against the schema its type is taken from.
  const result = combine(values as OptionValues, given, surroundings, faults)
  return faults.length > 0 || result === undefined
    ? { kind: 'faults', faults }
    : { kind: 'configuration', configuration: result }
}

/**
 * What the first source that has an option says. An empty value is none: manifests and scripts leave them behind where
 * something is to be decided by default.
 */
function pickText(sources: readonly SourceTexts[], name: OptionName): GivenText | undefined {
  return sources.map((source) => source.texts.get(name)).find((each) => each !== undefined && each.text !== '')
}

function readNamedFile(surroundings: Surroundings, named: GivenText | undefined): SourceTexts {
  if (named === undefined) return { texts: new Map(), faults: [] }
  try {
    return readConfigFile(surroundings.readFile(named.text), named.text)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return { texts: new Map(), faults: [`${named.origin}: given ${quote(named.text)}, which ${reason}`] }
  }
}

/** Looks at options together; adds to `faults`. `given` has what each option was called where it was given. */
function combine(
  values: OptionValues,
  given: ReadonlyMap<OptionName, string>,
  surroundings: Surroundings,
  faults: string[],
): Configuration | undefined {
  const nameOf = (name: OptionName) => given.get(name) ?? `--${name}`
  const isLocal = values.storage === undefined ? !given.has('storage-registry-repo') : values.storage === 'local'
  // Given wrongly, either may have been meant.
  const isUnclear = values.storage === undefined && given.has('storage')
  const [kind, other] = isLocal ? ['local', 'registry'] : ['registry', 'local']
  for (const [name, origin] of given) {
    if (!isUnclear && name.startsWith(`storage-${other}-`)) {
      faults.push(`${origin}: given together with storage ${kind}, wanted with storage ${other} alone`)
    }
  }
  const chartUrl = values['chart-url']
  if (chartUrl !== undefined && values['index-urls'] === 'oci') {
    faults.push(`${nameOf('chart-url')}: given together with ${nameOf('index-urls')}, wanted one of them`)
  }
  if (isUnclear && isLocal) return undefined
  const storage = isLocal ? combineLocal(values, nameOf, faults) : combineRegistry(values, given, nameOf, faults)
  if (storage === undefined) return undefined
  return {
    listen: { host: values['listen-host'], port: values.port },
    storage,
    cache: { dir: values['cache-dir'] ?? surroundings.platformCacheDir, maxBytes: values['cache-size'] },
    index: {
      format: values['index-format'],
      versionsEach: values['index-versions'],
      chartUrls:
        values['index-urls'] === 'oci' && storage.kind === 'registry'
          ? { registryHost: storage.host }
          : { prefix: chartUrl === undefined ? '' : `${chartUrl}/` },
      servesPartial: values['serve-partial'],
    },
    refreshIntervalMs: values['refresh-interval'],
    refreshWaitMs: values['refresh-wait'],
    revalidateIntervalMs: values['revalidate-interval'],
    log: {
      format: values['log-format'] ?? (surroundings.isTerminal ? 'text' : 'json'),
      level: values['log-level'],
    },
  }
}

function combineLocal(values: OptionValues, nameOf: (name: OptionName) => string, faults: string[]): LocalStorage {
  if (values['index-urls'] === 'oci') {
    const wanted = 'proxy: the embedded registry does not know under which name it is reached'
    faults.push(`${nameOf('index-urls')}: given oci together with the embedded registry, wanted ${wanted}`)
  }
  return {
    kind: 'local',
    rootDir: values['storage-local-rootdir'],
    rootDirOption: nameOf('storage-local-rootdir'),
    sweepIntervalMs: values['storage-local-gc-interval'],
    sweepDelayMs: values['storage-local-gc-delay'],
  }
}

function combineRegistry(
  values: OptionValues,
  given: ReadonlyMap<OptionName, string>,
  nameOf: (name: OptionName) => string,
  faults: string[],
): RegistryStorage | undefined {
  const named = values['storage-registry-repo']
  if (named === undefined && !given.has('storage-registry-repo')) {
    faults.push('--storage-registry-repo: given nothing, wanted the registry whose charts are to be served')
  }
  if (values['storage-registry-insecure'] && values['storage-registry-ca-file'] !== undefined) {
    const [insecure, caFile] = [nameOf('storage-registry-insecure'), nameOf('storage-registry-ca-file')]
    faults.push(`${insecure}: given together with ${caFile}, wanted one of them`)
  }
  const address =
    named === undefined ? undefined : parseRegistry(named, values['storage-registry-scheme'], nameOf, faults)
  const repositories = values['storage-registry-repositories'] ?? []
  for (const entry of repositories) checkRepository(entry, address?.pathPrefix ?? '', nameOf, faults)
  if (address === undefined) return undefined
  return {
    kind: 'registry',
    ...address,
    repositories,
    credentialsPath: values['storage-registry-config'],
    credentialsRequired: given.has('storage-registry-config'),
    caFile: values['storage-registry-ca-file'],
    insecure: values['storage-registry-insecure'],
    fileOptions: { credentials: nameOf('storage-registry-config'), caFile: nameOf('storage-registry-ca-file') },
  }
}

function parseRegistry(
  named: string,
  scheme: 'HTTP' | 'HTTPS' | undefined,
  nameOf: (name: OptionName) => string,
  faults: string[],
): Pick<RegistryStorage, 'host' | 'scheme' | 'pathPrefix'> | undefined {
  const match = /^(?:(https?|oci):\/\/)?([^/]+)(?:\/(.*))?$/i.exec(named)
  const host = match?.[2] ?? ''
  const url = URL.parse(`http://${host}`)
  const pathPrefix = (match?.[3] ?? '').replace(/^\/+|\/+$/g, '')
  const isPlainHost = /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d+)?$/.test(host) && url !== null
  if (!isPlainHost || (pathPrefix !== '' && !isRepositoryName(pathPrefix))) {
    // What was given is not repeated when it may hold a password.
    const shown = named.includes('@') ? 'an address with a user' : quote(named)
    faults.push(`${nameOf('storage-registry-repo')}: given ${shown}, wanted host[:port][/path]`)
    return undefined
  }
  // `oci://` is how Helm writes registries; it says nothing of the scheme.
  const prefixed = match?.[1]?.toLowerCase().replace('oci', '') || undefined
  const chosen = scheme?.toLowerCase()
  if (prefixed !== undefined && chosen !== undefined && prefixed !== chosen) {
    faults.push(
      `${nameOf('storage-registry-scheme')}: given ${scheme}, but ${nameOf('storage-registry-repo')} begins with ${prefixed}://`,
    )
  }
  const either = prefixed ?? chosen
  return { host, pathPrefix, scheme: either === 'http' || either === 'https' ? either : undefined }
}

function checkRepository(
  entry: string,
  pathPrefix: string,
  nameOf: (name: OptionName) => string,
  faults: string[],
): void {
  const name = entry.replace(/\/\*$/, '')
  const given = `${nameOf('storage-registry-repositories')}: given ${quote(entry)}`
  if (!(entry === '*' || isRepositoryName(name))) faults.push(`${given}, wanted repository names, or a path and /*`)
  else if (entry !== '*' && !isUnderPrefix(name, pathPrefix)) {
    faults.push(`${given}, which is not under the path ${quote(pathPrefix)} of ${nameOf('storage-registry-repo')}`)
  }
}
