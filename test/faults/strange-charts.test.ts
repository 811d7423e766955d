/** Charts whose own names and versions would be dangerous or awkward as paths, addresses or YAML. */
import { expect, test } from 'bun:test'
import { parse } from 'yaml'
import { digestOf } from '../fakes/fake-chart.ts'
import { openFakeRegistry } from '../fakes/fake-registry.ts'
import { openServerOver } from './scene.ts'

interface Entry {
  readonly name: string
  readonly version: string
  readonly urls: readonly [string]
  readonly digest: string
}

const usable = [
  ...[
    '__proto__',
    'constructor',
    'toString',
    'null',
    '~',
    'yes',
    '1e3',
    '-a',
    'A',
    'é',
    '💥',
    'app-1.0.0.tgz',
    'x.prov',
  ],
  ...['a b', 'a%2fb', '%zz', 'a?b', 'a#b', 'a&b', 'a+b', 'a:b', 'a;b', `a'b`, 'a"b', 'x'.repeat(200)],
]
const unusable = ['', '.', '..', '../x', 'a/b', '/etc/passwd', 'a\\b', 'a\u0000b', 'a\nb', 'x'.repeat(300)]
const badVersions = ['1.0.0/../x', '1.0.0+../../x', '1.0.0\n', ' 1.0.0', '1.0.0+a_b', `1.0.0-${'x'.repeat(300)}`, '']

test('what is listed can be fetched by its address, and what cannot be a file is not listed', async () => {
  await using registry = await openFakeRegistry()
  for (const [at, name] of [...usable, ...unusable].entries()) {
    registry.addChart({ repository: `named/n${at}`, name, version: '1.0.0' })
  }
  for (const [at, version] of badVersions.entries()) {
    registry.addChart({ repository: `versioned/v${at}`, name: `v${at}`, version, tag: '1.0.0' })
  }
  await using server = await openServerOver(registry, { args: ['--refresh-interval=1h'] })
  await server.ready()
  const index = `${server.url}/index.yaml`
  const text = await (await fetch(index)).text()
  const { entries } = parse(text, { version: '1.1' }) as { entries: Record<string, Entry[]> }
  expect(Object.keys(entries).sort()).toEqual([...usable].sort())
  for (const { urls, digest, name } of Object.values(entries).flat()) {
    const answer = await fetch(new URL(urls[0], index))
    expect([name, answer.status]).toEqual([name, 200])
    expect(digestOf(await answer.bytes())).toBe(`sha256:${digest}`)
  }
})
