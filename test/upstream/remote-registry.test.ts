/** The configured registry as one thing: found once, and never more than the view that was asked for. */
import { describe, expect, test } from 'bun:test'
import type { CredentialSource } from '../../src/upstream/credentials-file.ts'
import { RemoteRegistry, type RemoteRegistryOptions } from '../../src/upstream/remote-registry.ts'
import { type FakeRegistry, openFakeRegistry } from '../fakes/fake-registry.ts'
import { replyOciError } from '../fakes/fault-script.ts'
import { FakeClock } from '../lib/fake-clock.ts'
import { toDigest } from '../oci/to-digest.ts'
import { PASSWORD, USER } from '../stand/secrets.ts'
import { captureLog } from '../telemetry/captured-log.ts'
import { rejection } from './fake-send.ts'

const credentials: CredentialSource = {
  find: () => ({ kind: 'basic', username: USER, password: PASSWORD }),
  revision: 1,
}

function connect(registry: FakeRegistry, options: Partial<RemoteRegistryOptions> = {}) {
  const log = captureLog()
  const clock = new FakeClock({ skipsSleep: true })
  const remote = new RemoteRegistry({
    address: { host: registry.host, scheme: 'http' },
    pathPrefix: '',
    repositories: [],
    credentials: { find: () => undefined, revision: 0 },
    transport: { userAgent: 'test/1' },
    clock,
    log,
    ...options,
  })
  return { remote, log, clock }
}

async function openFilledRegistry(): Promise<FakeRegistry> {
  const registry = await openFakeRegistry()
  for (const repository of ['app', 'team', 'team/a', 'team/b/c', 'team2/d', 'x/team']) {
    registry.addChart({ repository, name: 'demo', version: '1.0.0' })
  }
  return registry
}

describe('RemoteRegistry.listRepositories', () => {
  test.each([
    ['', [], ['app', 'team', 'team/a', 'team/b/c', 'team2/d', 'x/team'], 1],
    ['team', [], ['team', 'team/a', 'team/b/c'], 1],
    ['nowhere', [], [], 1],
    ['', ['team/a', 'gone', 'team/a'], ['gone', 'team/a'], 0],
    ['', ['team/*'], ['team/a', 'team/b/c'], 1],
    ['', ['*'], ['app', 'team', 'team/a', 'team/b/c', 'team2/d', 'x/team'], 1],
    ['', ['team/*', 'app', 'x/*', 'team/a'], ['app', 'team/a', 'team/b/c', 'x/team'], 1],
    ['team', ['team/b/*'], ['team/b/c'], 1],
    ['team', ['*'], ['team', 'team/a', 'team/b/c'], 1],
  ])('with the path %j and the list %j', async (pathPrefix, repositories, names, catalogs) => {
    await using registry = await openFilledRegistry()
    const { remote } = connect(registry, { pathPrefix, repositories })
    const listing = await remote.listRepositories()
    expect({ ...listing, names: [...listing.names].sort() }).toEqual({ names, incomplete: undefined })
    expect(registry.count('GET', /_catalog/)).toBe(catalogs)
  })

  test.each([
    [401, /--storage-registry-config/],
    [403, /--storage-registry-repositories/],
    [404, /--storage-registry-repositories/],
  ])('says what helps when the catalog is refused with %d', async (status, advice) => {
    await using registry = await openFilledRegistry()
    registry.script({ method: 'GET', path: /_catalog/ }, replyOciError(status, 'X'))
    const { remote } = connect(registry)
    expect(await rejection(remote.listRepositories())).toMatchObject({ status, message: expect.stringMatching(advice) })
  })
})

describe('RemoteRegistry warns once', () => {
  test('of a named repository that the registry does not have', async () => {
    await using registry = await openFilledRegistry()
    const { remote, log } = connect(registry, { repositories: ['gone', 'app'] })
    for (let i = 0; i < 3; i++) {
      for (const name of ['gone', 'app']) await remote.listTags(name)
    }
    // One that was found in the catalog and is gone a moment later is nobody's slip.
    await remote.listTags('not/named')
    expect(log.lines.filter(({ level }) => level === 'warn')).toEqual([
      { level: 'warn', message: 'the registry does not have a repository that was named', fields: { view: 'gone' } },
    ])
  })

  test.each([
    ['nowhere', [], 'nowhere'],
    ['', ['nowhere/*'], 'nowhere/*'],
    ['team', ['team/x/*', 'team/y/*'], 'team/x/* team/y/*'],
  ])('of the path %j and the list %j, under which there is nothing', async (pathPrefix, repositories, view) => {
    await using registry = await openFilledRegistry()
    const { remote, log } = connect(registry, { pathPrefix, repositories })
    for (let i = 0; i < 3; i++) await remote.listRepositories()
    expect(log.lines.filter(({ level }) => level === 'warn')).toEqual([
      { level: 'warn', message: 'nothing that the registry lists is in view', fields: { view } },
    ])
  })

  test('of nothing while all that was asked for is there', async () => {
    await using registry = await openFilledRegistry()
    const { remote, log } = connect(registry, { pathPrefix: 'team', repositories: ['team/*', 'team/a'] })
    await remote.listRepositories()
    await remote.listTags('team/a')
    expect(log.messages('warn')).toEqual([])
  })
})

describe('RemoteRegistry', () => {
  test('looks for the scheme once, however many ask at the same time', async () => {
    await using registry = await openFilledRegistry()
    const { remote, log } = connect(registry, { address: { host: registry.host, scheme: undefined } })
    await Promise.all([remote.listTags('app'), remote.listTags('team'), remote.listRepositories()])
    await remote.listTags('app')
    expect([registry.tlsAttempts(), registry.count('GET', /^\/v2\/$/)]).toEqual([1, 1])
    expect(log.messages('info')).toEqual(['registry found'])
  })

  test('looks again as long as it has not found it', async () => {
    await using registry = await openFilledRegistry()
    registry.stop()
    const { remote } = connect(registry, { address: { host: registry.host, scheme: undefined } })
    expect(await rejection(remote.listTags('app'))).toMatchObject({ code: 'UPSTREAM_UNAVAILABLE' })
    registry.start()
    expect(await remote.listTags('app')).toMatchObject({ names: ['1.0.0'] })
  })

  test('goes through the whole chain: manifest, blob and package', async () => {
    await using registry = await openFakeRegistry({ requireAuth: { scheme: 'bearer', user: USER, password: PASSWORD } })
    const chart = registry.addChart({ repository: 'app', name: 'demo', version: '1.0.0' })
    const { remote, log } = connect(registry, { credentials })
    const manifest = await remote.readManifest('app', '1.0.0')
    expect(manifest?.digest).toBe(toDigest(chart.manifestDigest))
    expect(await remote.resolveTag('app', '1.0.0')).toBe(toDigest(chart.manifestDigest))
    const layer = { mediaType: 'x', digest: toDigest(chart.chartDigest), size: chart.archive.length }
    expect(await remote.readBlob('app', layer, { maxBytes: 100_000 })).toHaveLength(layer.size)
    expect(await new Response(await remote.openBlob('app', layer)).bytes()).toHaveLength(layer.size)
    expect(log.text()).not.toContain(PASSWORD)
  })
})
