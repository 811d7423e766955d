/**
 * Options come from flags, environment and file, in this order; and what the executable says of itself.
 */
import { describe, expect, test } from 'bun:test'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { openFakeRegistry } from '../fakes/fake-registry.ts'
import { PROJECT_ROOT } from '../stand/executable.ts'
import { findSecrets, PASSWORD, USER } from '../stand/secrets.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { good, run } from './bad-start.ts'
import { openServerOver, waitForIndex } from './scene.ts'

describe.concurrent('where options come from', () => {
  /** Starts it with a registry from each source and says which one it took. */
  async function takenRegistry(sources: { file?: string; env?: string; args?: readonly string[] }): Promise<string> {
    await using dir = await openTempDir()
    await using registry = await openFakeRegistry()
    const file = join(dir.path, 'settings.yaml')
    await Bun.write(file, sources.file === undefined ? '{}\n' : `storage-registry-repo: ${sources.file}\n`)
    await using server = await openServerOver(registry, {
      args: ['--storage-registry-scheme', 'HTTP', `--config=${file}`, ...(sources.args ?? [])],
      env: sources.env === undefined ? {} : { STORAGE_REGISTRY_REPO: sources.env },
      bare: true,
    })
    return / of (\S+)/.exec(server.stdout())?.[1] ?? ''
  }

  test('flags before environment before file', async () => {
    const file = '127.0.0.1:3'
    const env = '127.0.0.1:4'
    expect(await takenRegistry({ file })).toBe('http://127.0.0.1:3')
    expect(await takenRegistry({ file, env })).toBe('http://127.0.0.1:4')
    expect(await takenRegistry({ file, env, args: ['--storage-registry-repo=127.0.0.1:5'] })).toBe('http://127.0.0.1:5')
    expect(await takenRegistry({ file, args: ['--storage-registry-repo', '127.0.0.1:6'] })).toBe('http://127.0.0.1:6')
  })

  test('--flag=value, --flag value, the environment and the file mean the same', async () => {
    await using dir = await openTempDir()
    const file = join(dir.path, 'settings.yaml')
    await using registry = await openFakeRegistry()
    const chart = registry.addChart({ repository: 'team/app', name: 'app', version: '1.0.0' })
    registry.addChart({ repository: 'other/app', name: 'other', version: '1.0.0' })
    const settings = {
      'storage-registry-repo': `${registry.host}/team`,
      'storage-registry-scheme': 'http',
      'refresh-interval': '1h',
      'log-level': 'debug',
    }
    const entries = Object.entries(settings)
    await Bun.write(file, entries.map(([key, value]) => `${key}: ${value}\n`).join(''))
    const variables = entries.map(([key, value]) => [key.toUpperCase().replaceAll('-', '_'), value] as const)
    const ways = [
      { args: entries.map(([key, value]) => `--${key}=${value}`) },
      { args: entries.flatMap(([key, value]) => [`--${key}`, value]) },
      { env: Object.fromEntries(variables) },
      { args: [`--config=${file}`] },
      { args: ['--config', file] },
      { env: { CONFIG: file } },
    ]
    for (const way of ways) {
      await using server = await openServerOver(registry, { ...way, bare: true })
      await waitForIndex(server, [chart.fileName])
      expect(server.logLines().some(({ level }) => level === 'debug')).toBe(true)
    }
  })

  test('values of a file may be numbers, booleans and lists', async () => {
    await using dir = await openTempDir()
    const file = join(dir.path, 'settings.yaml')
    await using registry = await openFakeRegistry()
    const names = ['a', 'b'].map((name) => registry.addChart({ repository: name, name, version: '1.0.0' }).fileName)
    registry.addChart({ repository: 'c', name: 'c', version: '1.0.0' })
    await Bun.write(
      file,
      `storage-registry-repo: "${registry.host}"\nstorage-registry-scheme: HTTP\nport: 0\n` +
        'storage-registry-insecure: false\nstorage-registry-repositories: [a, b]\n',
    )
    await using server = await openServerOver(registry, { args: [`--config=${file}`], bare: true })
    await waitForIndex(server, names)
  })

  test('the options of the index may come from any of them', async () => {
    await using dir = await openTempDir()
    const file = join(dir.path, 'settings.yaml')
    await using registry = await openFakeRegistry()
    for (const version of ['1.0.0', '1.1.0']) registry.addChart({ repository: 'app', name: 'app', version })
    await Bun.write(file, 'index-versions: 1\nserve-partial: true\nindex-format: yaml\n')
    await using server = await openServerOver(registry, {
      args: [`--config=${file}`, '--chart-url', 'https://charts.example/a/'],
      env: { INDEX_FORMAT: 'json' },
    })
    await server.ready()
    const answer = await server.get('/index.yaml')
    const { entries } = (await answer.json()) as { entries: Record<string, { urls: string[] }[]> }
    expect(answer.headers.get('vary')).toBe('Accept-Encoding')
    expect(entries['app']?.map(({ urls }) => urls)).toEqual([['https://charts.example/a/charts/app-1.1.0.tgz']])
  })

  test('a flag without a value is a yes', async () => {
    await using registry = await openFakeRegistry()
    await using server = await openServerOver(registry, { args: ['--storage-registry-insecure'] })
    expect(
      server.logLines().some(({ level, msg }) => level === 'warn' && /verif|certificate|insecure/i.test(msg)),
    ).toBe(true)
  })

  test('an empty value, as manifests and shells leave it behind, is none', async () => {
    await using dir = await openTempDir()
    const file = join(dir.path, 'settings.yaml')
    await Bun.write(file, 'cache-size: ""\nrefresh-wait:\n')
    await using registry = await openFakeRegistry()
    const chart = registry.addChart({ repository: 'app', name: 'app', version: '1.0.0' })
    await using server = await openServerOver(registry, {
      args: ['--storage-registry-scheme=', '--log-level', '', `--config=${file}`],
      env: { REVALIDATE_INTERVAL: '', STORAGE: '' },
    })
    await waitForIndex(server, [chart.fileName])
  })

  test('the scheme may stand in front of the registry, in any case', async () => {
    await using registry = await openFakeRegistry()
    const chart = registry.addChart({ repository: 'app', name: 'app', version: '1.0.0' })
    for (const repo of [`http://${registry.host}`, `HTTP://${registry.host}/`]) {
      await using server = await openServerOver(registry, { args: [`--storage-registry-repo=${repo}`], bare: true })
      await waitForIndex(server, [chart.fileName])
    }
    expect(registry.tlsAttempts()).toBe(0)
  })

  test('without a scheme HTTPS is tried, then HTTP', async () => {
    await using registry = await openFakeRegistry()
    const chart = registry.addChart({ repository: 'app', name: 'app', version: '1.0.0' })
    await using server = await openServerOver(registry, {
      args: [`--storage-registry-repo=${registry.host}`],
      bare: true,
    })
    await waitForIndex(server, [chart.fileName])
    expect(registry.tlsAttempts()).toBeGreaterThan(0)
  })

  test("the old tool's command line starts it", async () => {
    await using registry = await openFakeRegistry()
    const chart = registry.addChart({ repository: 'app', name: 'app', version: '1.0.0' })
    await using server = await openServerOver(registry, {
      args: [
        '--port',
        '0',
        '--storage',
        'registry',
        '--storage-registry-repo',
        registry.host,
        '--storage-registry-scheme',
        'HTTP',
      ],
      bare: true,
    })
    await waitForIndex(server, [chart.fileName])
  })
})

describe.concurrent('what it says of itself', () => {
  const flags = [
    '--port',
    '--listen-host',
    '--storage',
    '--storage-registry-repo',
    '--storage-registry-scheme',
    '--storage-registry-config',
    '--storage-registry-repositories',
    '--storage-registry-ca-file',
    '--storage-registry-insecure',
    '--cache-dir',
    '--cache-size',
    '--refresh-interval',
    '--refresh-wait',
    '--revalidate-interval',
    '--index-format',
    '--index-versions',
    '--index-urls',
    '--chart-url',
    '--serve-partial',
    '--log-format',
    '--log-level',
    '--config',
    '--help',
    '--version',
  ]

  test('--help names every flag with its default, on stdout', async () => {
    const env = { STORAGE_REGISTRY_REPO: `${USER}:${PASSWORD}@host` }
    for (const args of [['--help'], [...good, '--help'], ['--help', '--port=abc']]) {
      const { code, stdout, stderr } = await run(args, env)
      expect([code, stderr]).toEqual([0, ''])
      for (const flag of flags) expect(stdout).toMatch(new RegExp(`(^|\\s)${flag}\\b(?!-)`, 'm'))
      for (const value of ['8080', '2GiB', '30s', '500ms', '10m', '/etc/secret/dockerconfigjson', 'CACHE_DIR']) {
        expect(stdout).toContain(value)
      }
      expect(findSecrets(stdout)).toEqual([])
    }
  })

  test('--version is name and version', async () => {
    const { version } = (await Bun.file(join(PROJECT_ROOT, 'package.json')).json()) as { version: string }
    const { code, stdout, stderr } = await run(['--version'])
    expect([code, stdout.trim(), stderr]).toEqual([0, `oci-chartrepo ${version}`, ''])
  })

  test('the start-up line says what is served, from where, as whom', async () => {
    await using dir = await openTempDir()
    await using registry = await openFakeRegistry({ requireAuth: { scheme: 'basic', user: USER, password: PASSWORD } })
    const chart = registry.addChart({ repository: 'app', name: 'app', version: '1.0.0' })
    const config = join(dir.path, 'secret', 'config.json')
    await mkdir(join(dir.path, 'secret'))
    await Bun.write(config, JSON.stringify({ auths: { [registry.host]: { username: USER, password: PASSWORD } } }))
    await using server = await openServerOver(registry, { args: [`--storage-registry-config=${config}`] })
    await waitForIndex(server, [chart.fileName])
    expect(server.stdout()).toMatch(
      new RegExp(
        `^oci-chartrepo \\d+\\.\\d+\\.\\d+ serves the charts of http://${registry.host} \\(as ${USER}\\) at ${server.url}\\n$`,
      ),
    )
  })
})
