/**
 * Every option, once: its flag, which is also its key in the file of --config, and in capitals with underscores its
 * environment variable; its kind, default and help. Names are ChartMuseum's wherever the thing is the same.
 */

import type { Static } from '@sinclair/typebox'
import { logLevels } from '../telemetry/log.ts'
import {
  byteSize,
  choice,
  count,
  duration,
  flag,
  host,
  httpUrl,
  interval,
  type OptionKind,
  path,
  port,
  text,
  textList,
} from './option-kinds.ts'

export interface OptionSpec {
  readonly kind: OptionKind
  readonly help: string
  /** As one would write it on the command line. */
  readonly default?: string
  /** What --help says where the default is no fixed text. */
  readonly defaultHelp?: string
}

export const options = {
  port: { kind: port, default: '8080', help: 'port to listen on; 0 picks a free one and prints it' },
  'listen-host': { kind: host, defaultHelp: 'all addresses', help: 'address to listen on' },
  storage: {
    kind: choice('registry', 'local'),
    defaultHelp: 'registry where one is given, else local',
    help: 'where the charts are: in a registry, or in a directory that is served as one',
  },
  'storage-registry-repo': {
    kind: { ...text, placeholder: 'HOST[:PORT][/PATH]' },
    help: 'the registry; a path limits the view to the repositories under it',
  },
  'storage-registry-scheme': {
    kind: choice('HTTP', 'HTTPS'),
    defaultHelp: 'HTTPS is tried, then HTTP',
    help: 'how the registry is reached; credentials go over guessed HTTP to this machine only',
  },
  'storage-registry-config': {
    kind: path,
    default: '/etc/secret/dockerconfigjson',
    help: 'credentials (kubernetes.io/dockerconfigjson), read again when the file changes',
  },
  'storage-registry-repositories': {
    kind: textList,
    help: 'repositories to serve, for registries that do not list them; team/* where they do',
  },
  'storage-registry-ca-file': {
    kind: path,
    help: 'PEM file of a certificate authority to trust besides the usual ones',
  },
  'storage-registry-insecure': { kind: flag, default: 'false', help: "do not check the registry's certificate" },
  'storage-local-rootdir': {
    kind: path,
    default: './data',
    help: 'directory of the embedded registry: an OCI image layout for each repository',
  },
  'storage-local-gc-interval': {
    kind: duration,
    default: '1h',
    help: 'blobs that no manifest is made of are looked for this often and removed; 0 for never',
  },
  'storage-local-gc-delay': {
    kind: duration,
    default: '1h',
    help: 'such blobs stay at least this long: longer than a push takes',
  },
  'cache-dir': {
    kind: path,
    defaultHelp: "the platform's cache directory",
    help: 'charts and the catalog are kept here',
  },
  'cache-size': { kind: byteSize, default: '2GiB', help: 'size at which the least recently used charts are removed' },
  'refresh-interval': { kind: interval, default: '30s', help: 'the registry is listed this often' },
  'refresh-wait': {
    kind: duration,
    default: '500ms',
    help: 'a reader of the index waits at most this long for a refresh',
  },
  'revalidate-interval': { kind: interval, default: '10m', help: 'a tag that was moved is noticed within this time' },
  'index-format': {
    kind: choice('auto', 'yaml', 'json'),
    default: 'auto',
    help: 'form of index.yaml; auto is JSON for Helm, which reads it faster, and YAML for others',
  },
  'index-versions': {
    kind: count,
    default: '0',
    help: 'only the newest versions of each chart are listed, so many; 0 lists all',
  },
  'index-urls': {
    kind: choice('proxy', 'oci'),
    default: 'proxy',
    help: 'packages are fetched through this server, or by oci:// from the registry itself',
  },
  'chart-url': {
    kind: httpUrl,
    help: 'put in front of the addresses of packages, where relative ones do not do',
  },
  'serve-partial': {
    kind: flag,
    default: 'false',
    help: 'serve what is there while the first crawl is under way, marked by X-Index-Partial',
  },
  'log-format': { kind: choice('text', 'json'), defaultHelp: 'text on a terminal, else json', help: 'form of the log' },
  'log-level': { kind: choice(...logLevels), default: 'info', help: 'least level that is logged' },
  config: { kind: path, help: 'YAML file with any of these options, without the dashes' },
} as const satisfies Record<string, OptionSpec>

export type OptionName = keyof typeof options

type ValueOf<N extends OptionName> = Static<(typeof options)[N]['kind']['schema']>

/** The value of each option; undefined where nobody gave one and there is no default. */
export type OptionValues = {
  readonly [N in OptionName]:
    | ValueOf<N>
    | ((typeof options)[N] extends { readonly default: string } ? never : undefined)
}

export const optionNames = Object.keys(options) as OptionName[]

export function isOptionName(name: string): name is OptionName {
  return Object.hasOwn(options, name)
}

/** `storage-registry-repo` is `STORAGE_REGISTRY_REPO` in the environment. */
export function environmentName(name: OptionName): string {
  return name.toUpperCase().replaceAll('-', '_')
}

/** The text of --help. */
export function renderHelp(): string {
  const rows = optionNames.map((name): [string, string] => {
    const spec: OptionSpec = options[name]
    const given = spec.defaultHelp ?? spec.default
    const left = `--${name}${spec.kind.placeholder === '' ? '' : ` ${spec.kind.placeholder}`}`
    return [left, `${spec.help}${given === undefined || given === 'false' ? '' : ` (default: ${given})`}`]
  })
  rows.push(['--help', 'this text'], ['--version', 'the version'])
  return `oci-chartrepo makes any OCI registry a classic Helm chart repository, or is the registry itself.

  oci-chartrepo --storage-registry-repo=registry.example.com
  oci-chartrepo --storage-local-rootdir=/var/lib/charts
  helm repo add charts http://localhost:8080

Every option is also an environment variable (--cache-dir is CACHE_DIR) and a key of
the file of --config. The command line comes first, then the environment, then the file.

${rows.map(([left, right]) => `  ${left}\n      ${right}\n`).join('')}`
}
