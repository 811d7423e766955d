/** Proxies named by the usual environment variables, between the product and a plain HTTP registry. */
import { describe, expect, test } from 'bun:test'
import { openBrokenWire, type Wire } from '../fakes/broken-wire.ts'
import { openFakeRegistry } from '../fakes/fake-registry.ts'
import { encodeBasic, PASSWORD, USER } from '../stand/secrets.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { expectServed, openServerOver, waitForIndex, waitForRefreshError } from './scene.ts'

interface Proxy {
  readonly wire: Wire
  /** `GET http://host/path`, with the value of Proxy-Authorization. */
  readonly seen: { readonly request: string; readonly authorization: string | undefined }[]
}

/** A forward proxy that asks for what it is asked for, and passes on what a registry may see. */
function openProxy(): Proxy {
  const seen: Proxy['seen'] = []
  const wire = openBrokenWire({
    async answer({ method, target, headers }) {
      seen.push({ request: `${method} ${target}`, authorization: headers['proxy-authorization'] })
      const passed = Object.entries(headers).filter(([name]) => name === 'accept' || name === 'user-agent')
      const response = await fetch(target, { method, headers: Object.fromEntries(passed), redirect: 'manual' })
      const kept = [...response.headers].filter(([name]) => name !== 'content-length')
      return { status: response.status, headers: Object.fromEntries(kept), body: await response.bytes() }
    },
    onMalformed(bytes) {
      seen.push({ request: bytes, authorization: undefined })
    },
  })
  return { wire, seen }
}

describe.concurrent('a proxy', () => {
  test('of HTTP_PROXY is what everything goes through, with its own password', async () => {
    const { wire, seen } = openProxy()
    await using _wire = wire
    await using registry = await openFakeRegistry()
    const chart = registry.addChart({ repository: 'app', name: 'app', version: '1.0.0' })
    await using server = await openServerOver(registry, {
      env: { HTTP_PROXY: `http://${USER}:${PASSWORD}@${wire.host}` },
      args: ['--log-level=debug'],
    })
    await waitForIndex(server, [chart.fileName])
    await expectServed(server, chart)
    expect(seen.length).toBeGreaterThanOrEqual(registry.calls.length)
    for (const { request, authorization } of seen) {
      expect(request).toStartWith(`GET ${registry.origin}/v2/`)
      expect(authorization).toBe(`Basic ${encodeBasic(USER, PASSWORD)}`)
    }
  })

  test('is not used for the hosts of NO_PROXY', async () => {
    const { wire, seen } = openProxy()
    await using _wire = wire
    await using registry = await openFakeRegistry()
    const chart = registry.addChart({ repository: 'app', name: 'app', version: '1.0.0' })
    await using server = await openServerOver(registry, {
      env: { HTTP_PROXY: wire.origin, NO_PROXY: 'example.com,127.0.0.1' },
    })
    await waitForIndex(server, [chart.fileName])
    expect(seen).toEqual([])
  })

  test('that is not there is a reason in /readyz, without its password', async () => {
    await using dir = await openTempDir()
    await using registry = await openFakeRegistry()
    const { wire } = openProxy()
    wire.stop()
    await using server = await openServerOver(registry, {
      env: { HTTP_PROXY: `http://${USER}:${PASSWORD}@${wire.host}` },
      args: [`--cache-dir=${dir.path}`],
    })
    expect(await waitForRefreshError(server)).not.toContain(PASSWORD)
    expect((await server.get('/index.yaml')).status).toBe(503)
    expect(registry.calls).toEqual([])
  })
})
