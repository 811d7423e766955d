/**
 * Bad files that options name: one clear line each and exit 2; the fault is named, what is in the file never.
 */
import { describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { openFakeRegistry } from '../fakes/fake-registry.ts'
import { encodeBasic, PASSWORD, USER } from '../stand/secrets.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { expectFaults, good, run } from './bad-start.ts'
import { openServerOver, waitForIndex } from './scene.ts'

describe.concurrent('files', () => {
  test('that were asked for and are not there', async () => {
    expectFaults(
      await run([
        ...good,
        '--storage-registry-config=/nowhere/config.json',
        '--storage-registry-ca-file=/nowhere/ca.pem',
      ]),
      [/--storage-registry-config.*\/nowhere\/config\.json/, /--storage-registry-ca-file.*\/nowhere\/ca\.pem/],
    )
    expectFaults(await run([...good, '--config=/nowhere/settings.yaml']), [/--config.*\/nowhere\/settings\.yaml/])
  })

  test('that are directories', async () => {
    await using dir = await openTempDir()
    for (const flag of ['--storage-registry-config', '--storage-registry-ca-file', '--config']) {
      expectFaults(await run([...good, `${flag}=${dir.path}`]), [new RegExp(flag)])
    }
  })

  test.each(['--storage-registry-config', '--storage-registry-ca-file', '--config'])(
    'that never end, for %s',
    async (flag) => {
      expectFaults(await run([...good, `${flag}=/dev/zero`]), [
        new RegExp(`${flag}: .*/dev/zero.* is not a regular file`),
      ])
    },
  )

  const brokenCredentials: [what: string, text: string][] = [
    ['nothing', ''],
    ['no JSON', `{"auths": {"x": {"password": "${PASSWORD}"`],
    ['YAML', `auths:\n  x:\n    password: ${PASSWORD}\n`],
    ['an array', `["${PASSWORD}"]`],
    ['no auths', `{"x": {"username": "${USER}", "password": "${PASSWORD}"}}`],
    ['auths that are no object', `{"auths": "${PASSWORD}"}`],
    ['an entry that is no object', `{"auths": {"x": "${encodeBasic(USER, PASSWORD)}"}}`],
    ['a number for a password', '{"auths": {"x": {"username": "u", "password": 7}}}'],
    ['an auth that is no base64', `{"auths": {"x": {"auth": "${PASSWORD}:?"}}}`],
    ['an auth without a colon', `{"auths": {"x": {"auth": "${Buffer.from(PASSWORD).toString('base64')}"}}}`],
    ['a password without a user', `{"auths": {"x": {"password": "${PASSWORD}"}}}`],
    ['a token of two lines', `{"auths": {"x": {"registrytoken": "${PASSWORD}\\r\\nX: y"}}}`],
  ]
  test.each(brokenCredentials)('of credentials with %s: the fault is named, not the content', async (_what, text) => {
    await using dir = await openTempDir()
    const file = join(dir.path, 'config.json')
    await Bun.write(file, text)
    const finished = await run([...good, `--storage-registry-config=${file}`])
    expectFaults(finished, [/--storage-registry-config/])
    expect(finished.stderr).not.toContain(Buffer.from(PASSWORD).toString('base64'))
  })

  test('of credentials are named in the line, whoever named them', async () => {
    await using dir = await openTempDir()
    const file = join(dir.path, 'config.json')
    await Bun.write(file, '{')
    expectFaults(await run([...good, `--storage-registry-config=${file}`]), [new RegExp(RegExp.escape(file))])
    expectFaults(await run(good, { STORAGE_REGISTRY_CONFIG: file }), [new RegExp(RegExp.escape(file))])
  })

  test('of credentials that are too large', async () => {
    await using dir = await openTempDir()
    const file = join(dir.path, 'config.json')
    await Bun.write(file, `{"auths": {}, "x": "${'x'.repeat(2 << 20)}"}`)
    expectFaults(await run([...good, `--storage-registry-config=${file}`]), [/--storage-registry-config/])
  })

  test.each([
    ['nothing in it', ''],
    ['text', 'not a certificate\n'],
    ['half a certificate', '-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIU\n'],
    ['rubbish in a certificate', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'],
  ])('of a certificate authority with %s', async (_what, text) => {
    await using dir = await openTempDir()
    const file = join(dir.path, 'ca.pem')
    await Bun.write(file, text)
    expectFaults(await run([...good, `--storage-registry-ca-file=${file}`]), [/--storage-registry-ca-file/])
  })

  test.each([
    ['no YAML', 'port: [1\n', 1],
    ['a list', '- port\n', 1],
    ['a text', 'port\n', 1],
    ['an unknown key', 'frobnicate: 1\n', 1],
    ['a flag for a key', '--port: 1\n', 1],
    ['a key twice', 'port: 1\nport: 2\n', 1],
    ['a list for a number', 'port: [1, 2]\n', 1],
    ['a map for a text', 'log-level: {a: b}\n', 1],
    ['another --config', 'config: other.yaml\n', 1],
    ['three faults', 'port: abc\nlog-level: loud\nfrobnicate: 1\n', 3],
  ])('of settings with %s', async (_what, text, faults) => {
    await using dir = await openTempDir()
    const file = join(dir.path, 'settings.yaml')
    await Bun.write(file, text)
    const finished = await run([...good.slice(0, 1), `--config=${file}`])
    expectFaults(
      finished,
      Array.from({ length: faults }, () => new RegExp(RegExp.escape(file))),
    )
  })

  test('of settings that explode (aliases upon aliases)', async () => {
    await using dir = await openTempDir()
    const file = join(dir.path, 'settings.yaml')
    const levels = Array.from(
      { length: 12 },
      (_, level) => `l${level}: &l${level} [${Array(10).fill(level === 0 ? 'x' : `*l${level - 1}`)}]`,
    )
    await Bun.write(file, `${levels.join('\n')}\n`)
    const finished = await run([...good.slice(0, 1), `--config=${file}`])
    expect(finished.code).toBe(2)
    expect(finished.stderr.length).toBeLessThan(20_000)
  })

  test('a cache directory that cannot be: charts are served from memory, and it is said', async () => {
    await using dir = await openTempDir()
    await Bun.write(join(dir.path, 'file'), 'x')
    await using registry = await openFakeRegistry()
    const chart = registry.addChart({ repository: 'app', name: 'app', version: '1.0.0' })
    await using server = await openServerOver(registry, { args: [`--cache-dir=${join(dir.path, 'file', 'cache')}`] })
    await waitForIndex(server, [chart.fileName])
    expect((await server.get(`/charts/${chart.fileName}`)).status).toBe(200)
    expect(server.logLines().filter(({ level }) => level === 'warn')).not.toEqual([])
  })
})
