/**
 * Bad options: every one gets its one clear line and exit 2, all of them at once.
 */
import { describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { openFakeRegistry } from '../fakes/fake-registry.ts'
import { PASSWORD, USER } from '../stand/secrets.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { expectFaults, good, run } from './bad-start.ts'

describe.concurrent('a bad value', () => {
  const bad: [flag: string, ...values: string[]][] = [
    ['--port', 'abc', '-1', '65536', '1.5', '0x50', '1e3'],
    ['--listen-host', 'two words', 'http://localhost', 'a/b', '127.0.0.1:99', '127.0.0.1.', '::1:x', '[::1]:99'],
    ['--storage', 'floppy'],
    [
      '--storage-registry-repo',
      'http://',
      'ftp://registry.example',
      'file:///etc',
      'registry.example:99999',
      'registry.example:port',
      'registry.example/UPPER',
      'registry.example/a//b',
      'registry.example/../x',
      'registry.example?x=1',
      'registry.example#x',
      'two words',
      '[::1',
      '/only/a/path',
    ],
    ['--storage-registry-scheme', 'gopher', 'http://'],
    ['--storage-registry-repositories', 'UPPER', 'a/*/b', '*x', '../x', 'a//b'],
    ['--storage-registry-insecure', 'maybe', '2'],
    ['--cache-size', 'abc', '-1', '10XB', '1.2.3GiB'],
    ['--refresh-interval', 'abc', '-5s', '5 parsecs', '0'],
    ['--refresh-wait', 'abc', '-5s'],
    ['--revalidate-interval', 'abc', '-1m', '0'],
    ['--index-format', 'xml', 'yaml,json'],
    ['--index-versions', 'abc', '-1', '1.5', '1e3', '9999999999'],
    ['--index-urls', 'direct', 'https'],
    ['--chart-url', 'charts.example', '//charts.example', 'ftp://charts.example', 'oci://charts.example', 'https://'],
    ['--serve-partial', 'maybe', '2'],
    ['--log-format', 'xml'],
    ['--log-level', 'loud'],
  ]
  const cases = bad.flatMap(([flag, ...values]) => values.map((value) => [flag, value] as const))

  test.each(cases)('%s=%s is told with what is wanted', async (flag, value) => {
    const others = good.filter((arg) => !arg.startsWith(`${flag}=`))
    expectFaults(await run([...others, `${flag}=${value}`]), [
      new RegExp(`^oci-chartrepo: ${flag}: given ${RegExp.escape(JSON.stringify(value))}, .*wanted`),
    ])
  })

  test('in the environment is told by the name of the variable', async () => {
    expectFaults(await run(good.slice(0, 1), { PORT: 'abc' }), [/PORT\b.*"abc".*wanted/])
  })

  test('in the file is told by file and key', async () => {
    await using dir = await openTempDir()
    const file = join(dir.path, 'settings.yaml')
    await Bun.write(file, 'port: abc\n')
    expectFaults(await run([...good.slice(0, 1), `--config=${file}`]), [/port\b.*"abc".*wanted/])
  })
})

describe.concurrent('options that cannot be', () => {
  const lines: [what: string, args: readonly string[], fault: RegExp][] = [
    ['an unknown flag', [...good, '--frobnicate'], /--frobnicate/],
    ['an unknown flag with a value', [...good, '--frobnicate=yes'], /--frobnicate/],
    ['a flag of one letter', [...good, '-p'], /-p\b/],
    ['a word that belongs to nothing', [...good, 'serve'], /"?serve"?/],
    ['a flag without its value at the end', [...good, '--log-level'], /--log-level: .*wanted/],
    [
      'a flag whose value is the next flag',
      [...good.slice(0, 2), '--log-level', '--listen-host=127.0.0.1'],
      /--log-level/,
    ],
    ['no registry at all', ['--port=0', '--storage=registry'], /--storage-registry-repo: given nothing, wanted/],
    [
      'an empty registry',
      ['--port=0', '--storage=registry', '--storage-registry-repo='],
      /--storage-registry-repo: given nothing, wanted/,
    ],
    [
      'the embedded registry and another one',
      [...good, '--storage=local'],
      /^oci-chartrepo: --storage-registry-repo: given together with storage local, wanted with storage registry/,
    ],
    [
      'a directory for charts that are elsewhere',
      [...good, '--storage-local-rootdir=charts'],
      /^oci-chartrepo: --storage-local-rootdir: given together with storage registry, wanted with storage local/,
    ],
    [
      'the embedded registry and packages that are fetched from it',
      ['--port=0', '--index-urls=oci'],
      /^oci-chartrepo: --index-urls: given oci together with the embedded registry, wanted proxy/,
    ],
    [
      'a scheme against the one of the address',
      ['--storage-registry-repo=https://127.0.0.1:9', '--storage-registry-scheme=HTTP'],
      /--storage-registry-scheme/,
    ],
    [
      'an address for packages that come from the registry itself',
      [...good, '--chart-url=https://charts.example', '--index-urls=oci'],
      /^oci-chartrepo: --chart-url: given together with --index-urls, wanted one of them/,
    ],
  ]
  test.each(lines)('%s', async (_what, args, fault) => {
    expectFaults(await run(args), [fault])
  })

  test('a registry with a user and a password in its address: told without them', async () => {
    const repo = `${USER}:${PASSWORD}@registry.example`
    for (const value of [repo, `https://${repo}/path`]) {
      expectFaults(await run([`--storage-registry-repo=${value}`]), [
        /--storage-registry-repo: given an address with a user/,
      ])
    }
  })

  // expectFaults looks for the password.
  test('an address for packages with a password or a token: told without them', async () => {
    for (const value of [`https://${USER}:${PASSWORD}@charts.example`, `https://charts.example/?token=${PASSWORD}`]) {
      expectFaults(await run([...good, `--chart-url=${value}`]), [/--chart-url: given .*wanted an address/])
    }
  })

  test('all faults are told at once', async () => {
    const args = ['--port=abc', '--log-level=loud', '--refresh-interval', 'soon', '--frobnicate', '--cache-size=big']
    expectFaults(await run([...good.slice(0, 1), ...args], { LOG_FORMAT: 'xml' }), [
      /--port: given "abc"/,
      /--log-level: given "loud"/,
      /--refresh-interval: given "soon"/,
      /--frobnicate/,
      /--cache-size: given "big"/,
      /LOG_FORMAT.*"xml"/,
    ])
  })

  test('a port that is taken: one line, not exit 0, and no stack', async () => {
    await using registry = await openFakeRegistry()
    const port = registry.host.split(':')[1]
    const { code, stdout, stderr } = await run([
      '--storage-registry-repo=127.0.0.1:9',
      '--listen-host=127.0.0.1',
      `--port=${port}`,
    ])
    expect([code === 0, stdout]).toEqual([false, ''])
    expect(stderr).toMatch(new RegExp(`^oci-chartrepo: .*${port}`, 'm'))
    expect(stderr).not.toMatch(/^\s+at |\.ts\b/m)
  })

  test('an address that is not of this machine: one line, not exit 0, and no stack', async () => {
    for (const host of ['192.0.2.1', 'no-such-host.invalid']) {
      const { code, stderr } = await run(['--storage-registry-repo=127.0.0.1:9', `--listen-host=${host}`, '--port=0'])
      expect(code).not.toBe(0)
      expect(stderr).toContain(host)
      expect(stderr).not.toMatch(/^\s+at |\.ts\b/m)
    }
  })
})
