/** From options to a configuration: order, defaults, and all that can be wrong, each in a line of its own. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { environmentName, optionNames, renderHelp } from '../../src/config/options.ts'
import { PASSWORD } from '../stand/secrets.ts'
import { configurationOf, faultsOf, type Given, readGiven } from './surroundings.ts'

const repo = '--storage-registry-repo=r.example'

describe('readConfiguration', () => {
  test('needs nothing but a registry', () => {
    expect(configurationOf([repo])).toEqual({
      listen: { host: undefined, port: 8080 },
      storage: {
        kind: 'registry',
        host: 'r.example',
        scheme: undefined,
        pathPrefix: '',
        repositories: [],
        credentialsPath: '/etc/secret/dockerconfigjson',
        credentialsRequired: false,
        caFile: undefined,
        insecure: false,
        fileOptions: { credentials: '--storage-registry-config', caFile: '--storage-registry-ca-file' },
      },
      cache: { dir: '/platform/cache', maxBytes: 2 * 1024 ** 3 },
      index: { format: 'auto', versionsEach: 0, chartUrls: { prefix: '' }, servesPartial: false },
      refreshIntervalMs: 30_000,
      refreshWaitMs: 500,
      revalidateIntervalMs: 600_000,
      log: { format: 'json', level: 'info' },
    })
  })

  test('takes the command line before the environment before the file before the default', () => {
    const given = {
      environment: { PORT: '2', REFRESH_WAIT: '2s', CONFIG: 'c.yaml' },
      files: { 'c.yaml': 'port: 3\nrefresh-wait: 3s\ncache-size: 3KiB\n' },
    }
    const { listen, refreshWaitMs, cache, refreshIntervalMs } = configurationOf([repo, '--port=1'], given)
    expect([listen.port, refreshWaitMs, cache.maxBytes, refreshIntervalMs]).toEqual([1, 2000, 3072, 30_000])
  })

  test('takes an empty value for none, wherever it stands', () => {
    const given = {
      environment: { STORAGE_REGISTRY_SCHEME: '', PORT: '', CONFIG: 'c' },
      files: { c: 'port: ""\nlog-level:\n' },
    }
    expect(configurationOf([repo, '--storage-registry-scheme=', '--listen-host='], given)).toMatchObject({
      listen: { port: 8080, host: undefined },
      storage: { scheme: undefined },
      log: { level: 'info' },
    })
  })

  test('gives every option the same meaning from each of its three sources', () => {
    const values = {
      port: '0',
      'listen-host': '127.0.0.1',
      storage: 'registry',
      'storage-registry-repo': 'r.example:5000/team',
      'storage-registry-scheme': 'HTTP',
      'storage-registry-config': '/c.json',
      'storage-registry-repositories': 'team/a,team/b/*',
      'storage-registry-ca-file': '/ca.pem',
      'storage-registry-insecure': 'false',
      'cache-dir': '/cache',
      'cache-size': '1MiB',
      'refresh-interval': '5s',
      'refresh-wait': '1s',
      'revalidate-interval': '1m',
      'index-format': 'json',
      'index-versions': '3',
      'index-urls': 'proxy',
      'chart-url': 'https://charts.example/x',
      'serve-partial': 'true',
      'log-format': 'text',
      'log-level': 'debug',
    }
    // The embedded registry has options of its own, which go with no other: local-storage.test.ts.
    const others = optionNames.filter((name) => name === 'config' || name.startsWith('storage-local-'))
    expect([...Object.keys(values), ...others].sort()).toEqual([...optionNames].sort())
    const entries = Object.entries(values)
    const flags = configurationOf(entries.map(([name, value]) => `--${name}=${value}`))
    const apart = configurationOf(entries.flatMap(([name, value]) => (value === 'false' ? [] : [`--${name}`, value])))
    const variables = entries.map(([name, value]) => [environmentName(name as (typeof optionNames)[number]), value])
    const yaml = entries.map(([name, value]) => `${name}: ${JSON.stringify(value)}\n`).join('')
    expect(apart).toEqual(flags)
    // All but what the two files are called in messages: that is as they were given.
    const named = (credentials: string, caFile: string) => ({
      ...flags,
      storage: { ...flags.storage, fileOptions: { credentials, caFile } },
    })
    expect(configurationOf([], { environment: Object.fromEntries(variables) })).toEqual(
      named('STORAGE_REGISTRY_CONFIG', 'STORAGE_REGISTRY_CA_FILE'),
    )
    expect(configurationOf(['--config=c.yaml'], { files: { 'c.yaml': yaml } })).toEqual(
      named('storage-registry-config in c.yaml', 'storage-registry-ca-file in c.yaml'),
    )
    expect(flags).toMatchObject({
      listen: { host: '127.0.0.1', port: 0 },
      storage: {
        kind: 'registry',
        host: 'r.example:5000',
        scheme: 'http',
        pathPrefix: 'team',
        repositories: ['team/a', 'team/b/*'],
        credentialsRequired: true,
      },
      cache: { dir: '/cache', maxBytes: 1024 ** 2 },
      index: {
        format: 'json',
        versionsEach: 3,
        chartUrls: { prefix: 'https://charts.example/x/' },
        servesPartial: true,
      },
    })
  })

  test.each([
    ['r.example', 'r.example', undefined, ''],
    ['r.example:5000', 'r.example:5000', undefined, ''],
    ['r.example/', 'r.example', undefined, ''],
    ['r.example/team', 'r.example', undefined, 'team'],
    ['r.example/team/charts/', 'r.example', undefined, 'team/charts'],
    ['http://r.example', 'r.example', 'http', ''],
    ['HTTPS://r.example:443/team', 'r.example:443', 'https', 'team'],
    ['[::1]:5000', '[::1]:5000', undefined, ''],
    ['127.0.0.1:5000', '127.0.0.1:5000', undefined, ''],
    ['localhost', 'localhost', undefined, ''],
    ['oci://r.example/team', 'r.example', undefined, 'team'],
    ['OCI://127.0.0.1:5000', '127.0.0.1:5000', undefined, ''],
  ] as const)('reads the registry %s', (named, host, scheme, pathPrefix) => {
    expect(configurationOf([`--storage-registry-repo=${named}`]).storage).toMatchObject({ host, scheme, pathPrefix })
  })

  test.each([
    ...[
      '/',
      'r.example:port',
      'r.example:70000',
      'ftp://r.example',
      'http://',
      'a b',
      'r.example/UPPER',
      'r.example/a//b',
      'r.example/..',
    ],
    ...['r.example?x=1', 'r.example#x', 'http:r.example', '[::1', 'ü.example', 'r.example/team:tag', 'r.example/a@b'],
  ])('refuses the registry %s', (named) => {
    expect(faultsOf([`--storage-registry-repo=${named}`])).toEqual([
      expect.stringMatching(/^--storage-registry-repo: given .*, wanted host\[:port\]\[\/path\]$/),
    ])
  })

  test('does not repeat an address that may hold a password', () => {
    const faults = faultsOf([`--storage-registry-repo=https://user:${PASSWORD}@r.example`])
    expect(faults.join('\n')).not.toContain(PASSWORD)
  })

  const faults: readonly (readonly [string, readonly string[], Given, readonly string[]])[] = [
    [
      'no registry',
      ['--storage=registry'],
      {},
      ['--storage-registry-repo: given nothing, wanted the registry whose charts are to be served'],
    ],
    [
      'two schemes',
      ['--storage-registry-repo=http://r', '--storage-registry-scheme=HTTPS'],
      {},
      ['--storage-registry-scheme: given HTTPS, but --storage-registry-repo begins with http://'],
    ],
    [
      'a list outside of the path',
      ['--storage-registry-repo=r/team', '--storage-registry-repositories=other/a,team/b'],
      {},
      [
        '--storage-registry-repositories: given "other/a", which is not under the path "team" of --storage-registry-repo',
      ],
    ],
    [
      'names that are none',
      [repo, '--storage-registry-repositories=A,b*,c/*/d,**'],
      {},
      ['A', 'b*', 'c/*/d', '**'].map(
        (name) => `--storage-registry-repositories: given "${name}", wanted repository names, or a path and /*`,
      ),
    ],
    [
      'an unknown flag',
      [repo, '--portt=1', '-x'],
      {},
      ['--portt: unknown option; --help lists them', '-x: unknown option; --help lists them'],
    ],
    [
      'something beside the options',
      [repo, 'serve'],
      {},
      ['"serve": given beside the options, wanted nothing but options'],
    ],
    [
      'a flag without its value',
      [repo, '--port'],
      {},
      ['--port: given no value, wanted a port number from 0 to 65535'],
    ],
    ['a bad flag', [repo, '--port=abc'], {}, ['--port: given "abc", wanted a port number from 0 to 65535']],
    [
      'a bad variable',
      [repo],
      { environment: { PORT: 'abc' } },
      ['PORT: given "abc", wanted a port number from 0 to 65535'],
    ],
    [
      'a bad file entry',
      [repo, '--config=c'],
      { files: { c: 'port: abc\n' } },
      ['port in c: given "abc", wanted a port number from 0 to 65535'],
    ],
    [
      'an unknown key',
      [repo, '--config=c'],
      { files: { c: 'portt: 1\n__proto__: 2\n' } },
      ['"portt" in c: unknown option; --help lists them', '"__proto__" in c: unknown option; --help lists them'],
    ],
    [
      'a file in the file',
      [repo, '--config=c'],
      { files: { c: 'config: d\n' } },
      ['config in c: a file cannot name another file'],
    ],
    [
      'a map in the file',
      [repo, '--config=c'],
      { files: { c: 'port: {a: 1}\n' } },
      ['port in c: wanted a port number from 0 to 65535'],
    ],
    ['a file that is a list', [repo, '--config=c'], { files: { c: '- a\n' } }, ['c: wanted a map of options']],
    [
      'a file that is no YAML',
      [repo, '--config=c'],
      { files: { c: 'port: 1\n  b: [\n' } },
      [expect.stringMatching(/^c: line \d+ is not YAML/)],
    ],
    [
      'a key twice',
      [repo, '--config=c'],
      { files: { c: 'port: 1\nport: 2\n' } },
      [expect.stringMatching(/^c: line 2 is not YAML/)],
    ],
    ['no such file', [repo, '--config=c'], {}, ['--config: given "c", which cannot be read (ENOENT)']],
    [
      'no such file, named in the environment',
      [repo, '--config='],
      { environment: { CONFIG: 'c' } },
      ['CONFIG: given "c", which cannot be read (ENOENT)'],
    ],
    [
      'a registry in the environment',
      [],
      { environment: { STORAGE_REGISTRY_REPO: 'a b' } },
      ['STORAGE_REGISTRY_REPO: given "a b", wanted host[:port][/path]'],
    ],
    [
      'options of two sources that do not go together',
      ['--config=c'],
      {
        environment: { STORAGE_REGISTRY_SCHEME: 'HTTP', STORAGE_REGISTRY_REPOSITORIES: 'B,other' },
        files: { c: 'storage-registry-repo: https://r/team\n' },
      },
      [
        'STORAGE_REGISTRY_SCHEME: given HTTP, but storage-registry-repo in c begins with https://',
        'STORAGE_REGISTRY_REPOSITORIES: given "B", wanted repository names, or a path and /*',
        'STORAGE_REGISTRY_REPOSITORIES: given "other", which is not under the path "team" of storage-registry-repo in c',
      ],
    ],
    [
      'a certificate that is both trusted and not looked at',
      [repo, '--storage-registry-insecure'],
      { environment: { STORAGE_REGISTRY_CA_FILE: 'ca.pem' } },
      ['--storage-registry-insecure: given together with STORAGE_REGISTRY_CA_FILE, wanted one of them'],
    ],
  ]
  test.each(faults)('says what is wrong: %s', (_what, args, given, lines) => {
    expect(faultsOf(args, given)).toEqual([...lines])
  })

  test('does not repeat what may be the value of an option that it does not know', () => {
    const seen = faultsOf([repo, '--basic-auth-pass', PASSWORD, 'stray'])
    expect(seen).toEqual([
      '--basic-auth-pass: unknown option; --help lists them',
      '"stray": given beside the options, wanted nothing but options',
    ])
  })

  test('takes a list in a file only for an option of several values', () => {
    expect(faultsOf([repo, '--config=c'], { files: { c: 'cache-dir: [/a, /b]\n' } })).toEqual([
      'cache-dir in c: wanted a path',
    ])
  })

  test('says all that is wrong at once, of all sources', () => {
    const given = { environment: { LOG_LEVEL: 'loud' }, files: { c: 'cache-size: big\n' } }
    const seen = faultsOf(['--port=x', '--nope', '--storage=floppy', '--config=c'], given)
    const origins = seen.map((line) => line.split(':')[0] ?? '')
    expect(origins.sort()).toEqual(['--nope', '--port', '--storage', 'LOG_LEVEL', 'cache-size in c'])
  })

  test('answers --help and --version whatever else is wrong', () => {
    expect(readGiven(['--help', '--port=x'])).toEqual({ kind: 'help' })
    expect(readGiven(['-h'])).toEqual({ kind: 'help' })
    expect(readGiven(['--version', '--nope'])).toEqual({ kind: 'version' })
  })

  test('takes one dash for two, as the old tool did, and lists that are given several times', () => {
    const args = ['-port', '1', '-storage-registry-repo=r']
    const { listen, storage } = configurationOf([
      ...args,
      '--storage-registry-repositories=a',
      '--storage-registry-repositories',
      'b,c',
    ])
    expect([listen.port, storage]).toMatchObject([1, { host: 'r', repositories: ['a', 'b', 'c'] }])
  })

  test('takes the last of a flag that is given twice', () => {
    expect(configurationOf([repo, '--port=1', '--port=2']).listen.port).toBe(2)
  })

  test('writes the log for people on a terminal, for machines elsewhere', () => {
    expect(configurationOf([repo], { isTerminal: true }).log.format).toBe('text')
    expect(configurationOf([repo, '--log-format=json'], { isTerminal: true }).log.format).toBe('json')
  })

  test('keeps every fault on one line that no terminal obeys, whatever was given', () => {
    const odd = ['--x\ny', '--\u001b[31m', '--\u009b31m=1', '--port=\u009b31m', '--port=\u001b[31m', 'a\r\nb', '\u0085']
    const file = { CONFIG: 'c' }
    const files = { c: `"a\\u009b31m": 1\n"b\\nc": 2\nport: "\\u0085"\n` }
    const seen = odd.flatMap((arg) => faultsOf([arg, '--storage=registry'], { environment: file, files }))
    expect(seen.filter((fault) => /\p{Cc}|[\u2028\u2029]/u.test(fault))).toEqual([])
    expect(seen.length).toBeGreaterThanOrEqual(odd.length * 4)
  })

  test('never throws, and each fault is one short line without control characters', () => {
    const name = fc.constantFrom(...optionNames)
    const arg = fc.oneof(
      fc.tuple(name, fc.string({ unit: 'binary' })).map(([key, value]) => `--${key}=${value}`),
      fc.string({ unit: 'binary' }),
      fc.string({ unit: 'binary', minLength: 200 }).map((text) => `--port=${text}`),
    )
    const file = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.dictionary(name, fc.jsonValue()).map((value) => JSON.stringify(value)),
    )
    fc.assert(
      fc.property(fc.array(arg, { maxLength: 4 }), file, (args, content) => {
        const result = readGiven([...args, '--config=c.yaml'], { files: { 'c.yaml': content } })
        if (result.kind !== 'faults') return
        for (const fault of result.faults) {
          expect(fault).not.toMatch(/\p{Cc}/u)
          expect(fault.length).toBeLessThan(1000)
        }
      }),
      { numRuns: 300 },
    )
  })
})

test('renderHelp names every option with its kind and default', () => {
  const help = renderHelp()
  for (const name of optionNames) expect(help).toContain(`  --${name}`)
  expect(help).toContain('--port PORT\n      port to listen on; 0 picks a free one and prints it (default: 8080)')
  expect(help.split('\n').filter((line) => line.length > 140)).toEqual([])
})
