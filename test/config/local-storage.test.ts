/** The embedded registry: when it is meant, what it is given, and which options do not go with it. */
import { describe, expect, test } from 'bun:test'
import type { LocalStorage } from '../../src/config/configuration.ts'
import { environmentName, type OptionName, optionNames } from '../../src/config/options.ts'
import { configurationOf, faultsOf, type Given } from './surroundings.ts'

const repo = '--storage-registry-repo=r.example'
const values = {
  'storage-registry-repo': 'r.example',
  'storage-registry-scheme': 'HTTPS',
  'storage-registry-config': '/c.json',
  'storage-registry-repositories': 'team/a',
  'storage-registry-ca-file': '/ca.pem',
  'storage-registry-insecure': 'false',
  'storage-local-rootdir': '/charts',
  'storage-local-gc-interval': '2h',
  'storage-local-gc-delay': '30m',
} as const satisfies Partial<Record<OptionName, string>>
const owned = Object.entries(values)
const registryOptions = owned.filter(([name]) => name.startsWith('storage-registry-'))
const localOptions = owned.filter(([name]) => name.startsWith('storage-local-'))

test('every option of either storage is looked at here', () => {
  expect(owned.map(([name]) => name)).toEqual(optionNames.filter((name) => /^storage-/.test(name)))
})

describe('the storage', () => {
  const local: LocalStorage = {
    kind: 'local',
    rootDir: './data',
    rootDirOption: '--storage-local-rootdir',
    sweepIntervalMs: 3_600_000,
    sweepDelayMs: 3_600_000,
  }
  const cases: readonly (readonly [args: readonly string[], given: Given])[] = [
    [[], {}],
    [['--storage=local'], {}],
    [['--storage=LOCAL'], {}],
    [['--storage', 'local'], {}],
    [['--storage='], {}],
    [['--storage-registry-repo='], {}],
    [['--storage=local', '--storage-registry-repo='], {}],
    [[], { environment: { STORAGE_REGISTRY_REPO: '', STORAGE: '' } }],
    [[], { environment: { STORAGE: 'local' } }],
    [['--config=c'], { files: { c: 'storage: local\nstorage-registry-repo: ""\nstorage-registry-config:\n' } }],
  ]
  test.each(cases)('is the embedded registry with %j and %j', (args, given) => {
    expect(configurationOf(args, given).storage).toEqual(local)
  })

  test.each([
    [[repo], {}],
    [[repo, '--storage='], {}],
    [[repo, '--storage=registry'], {}],
    [[], { environment: { STORAGE_REGISTRY_REPO: 'r.example' } }],
    [['--config=c'], { files: { c: 'storage-registry-repo: r.example\n' } }],
    [['--storage=registry', repo], { environment: { STORAGE: 'local' } }],
  ] satisfies [readonly string[], Given][])('is a registry elsewhere with %j and %j', (args, given) => {
    expect(configurationOf(args, given).storage).toMatchObject({ kind: 'registry', host: 'r.example' })
  })

  test.each([
    [[], { prefix: '' }],
    [['--index-urls=proxy'], { prefix: '' }],
    [['--chart-url=https://charts.example'], { prefix: 'https://charts.example/' }],
  ] as const)('leaves the addresses of packages as they are elsewhere: with %j %j', (args, chartUrls) => {
    expect(configurationOf(args).index.chartUrls).toEqual(chartUrls)
  })
})

describe('the options of the embedded registry', () => {
  const read = (rootDirOption: string): LocalStorage => ({
    kind: 'local',
    rootDir: '/charts',
    rootDirOption,
    sweepIntervalMs: 7_200_000,
    sweepDelayMs: 1_800_000,
  })

  test('mean the same from each of the three sources', () => {
    const flags = localOptions.map(([name, value]) => `--${name}=${value}`)
    const variables = localOptions.map(([name, value]) => [environmentName(name as OptionName), value])
    const c = localOptions.map(([name, value]) => `${name}: ${value}\n`).join('')
    expect(configurationOf(flags).storage).toEqual(read('--storage-local-rootdir'))
    const fromEnvironment = configurationOf([], { environment: Object.fromEntries(variables) })
    expect(fromEnvironment.storage).toEqual(read('STORAGE_LOCAL_ROOTDIR'))
    expect(configurationOf(['--config=c'], { files: { c } }).storage).toEqual(read('storage-local-rootdir in c'))
  })

  test('may be empty, and are what they are by default then', () => {
    const empty = localOptions.map(([name]) => `--${name}=`)
    expect(configurationOf(empty)).toEqual(configurationOf([]))
    expect(configurationOf([repo, ...empty])).toEqual(configurationOf([repo]))
  })

  test('say that unused blobs are never looked for', () => {
    expect(configurationOf(['--storage-local-gc-interval=0']).storage).toMatchObject({ sweepIntervalMs: 0 })
  })

  const duration = 'a duration such as 500ms, 30s or 1h30m'
  test.each([
    ['--storage-local-gc-interval=soon', `--storage-local-gc-interval: given "soon", wanted ${duration}`],
    ['--storage-local-gc-interval=-1s', `--storage-local-gc-interval: given "-1s", wanted ${duration}`],
    ['--storage-local-gc-delay=60', `--storage-local-gc-delay: given "60", wanted ${duration}`],
    ['--storage-local-rootdir= ', '--storage-local-rootdir: given "", wanted a path'],
  ])('are refused where they are no such thing: %s', (arg, fault) => {
    expect(faultsOf([arg])).toEqual([fault])
  })
})

describe('options of the other storage', () => {
  const alone = (origin: string, kind: string, other: string) =>
    `${origin}: given together with storage ${kind}, wanted with storage ${other} alone`

  test.each(registryOptions)('--%s=%s does not go with the embedded registry', (name, value) => {
    expect(faultsOf(['--storage=local', `--${name}=${value}`])).toEqual([alone(`--${name}`, 'local', 'registry')])
    const variable = environmentName(name as OptionName)
    const given = { environment: { [variable]: value } }
    expect(faultsOf(['--storage=local'], given)).toEqual([alone(variable, 'local', 'registry')])
  })

  test.each(registryOptions.filter(([name]) => name !== 'storage-registry-repo'))(
    '--%s=%s does not go without a registry',
    (name, value) => {
      expect(faultsOf([`--${name}=${value}`])).toEqual([alone(`--${name}`, 'local', 'registry')])
    },
  )

  test.each(localOptions)('--%s=%s does not go with a registry elsewhere', (name, value) => {
    for (const args of [[repo], [repo, '--storage=registry']]) {
      expect(faultsOf([...args, `--${name}=${value}`])).toEqual([alone(`--${name}`, 'registry', 'local')])
    }
    const files = { c: `${name}: ${value}\n` }
    expect(faultsOf([repo, '--config=c'], { files })).toEqual([alone(`${name} in c`, 'registry', 'local')])
  })

  test('are told all at once, and by the names they were given by', () => {
    const given = {
      environment: { STORAGE: 'local', STORAGE_REGISTRY_REPO: 'r.example', STORAGE_LOCAL_ROOTDIR: '/charts' },
      files: { c: 'storage-registry-scheme: HTTP\nstorage-registry-insecure: true\n' },
    }
    const origins = [
      'STORAGE_REGISTRY_REPO',
      'storage-registry-scheme in c',
      '--storage-registry-config',
      'storage-registry-insecure in c',
    ]
    expect(faultsOf(['--config=c', '--storage-registry-config=/c.json'], given)).toEqual(
      origins.map((origin) => alone(origin, 'local', 'registry')),
    )
  })
})

describe('packages by oci://', () => {
  const fault = (origin: string) =>
    `${origin}: given oci together with the embedded registry, wanted proxy: the embedded registry does not know under which name it is reached`

  test.each([[[]], [['--storage=local']], [['--storage-registry-repo=']]])(
    'cannot be had of the embedded registry (%j)',
    (args) => {
      expect(faultsOf([...args, '--index-urls=oci'])).toEqual([fault('--index-urls')])
      expect(faultsOf(args, { environment: { INDEX_URLS: 'OCI' } })).toEqual([fault('INDEX_URLS')])
    },
  )

  test('can be had of a registry elsewhere', () => {
    expect(configurationOf([repo, '--index-urls=oci']).index.chartUrls).toEqual({ registryHost: 'r.example' })
  })
})

describe('a storage that is none', () => {
  const fault = '--storage: given "floppy", wanted registry or local'

  test.each([
    [[]],
    [[repo]],
    [['--index-urls=oci']],
    ...owned.map(([name, value]) => [[`--${name}=${value}`]]),
    [[repo, '--storage-local-rootdir=/charts']],
  ])('is the one thing that is wrong with %j: either may have been meant', (args) => {
    expect(faultsOf(['--storage=floppy', ...args])).toEqual([fault])
  })

  test('does not hide what else is wrong', () => {
    expect(faultsOf(['--storage=floppy', '--storage-registry-repo=a b', '--storage-local-gc-delay=soon'])).toEqual([
      fault,
      '--storage-local-gc-delay: given "soon", wanted a duration such as 500ms, 30s or 1h30m',
      '--storage-registry-repo: given "a b", wanted host[:port][/path]',
    ])
  })
})
