/** A real registry that stops and comes back: what is known is served on, over a restart too. */
import { afterAll, beforeAll, describe, expect } from 'bun:test'
import { join } from 'node:path'
import { parse } from 'yaml'
import { chartArtifact, pushArtifact } from '../stand/charts.ts'
import { isPresent } from '../stand/programs.ts'
import { openRegistry, type Registry } from '../stand/registry.ts'
import { needing } from '../stand/registry-stage.ts'
import { openServer, type Server } from '../stand/server.ts'
import { openTempDir, type TempDir } from '../stand/temp-dir.ts'
import { waitFor } from '../stand/wait-for.ts'

const NEEDED = ['docker-registry']

async function push(registry: Registry, version: string): Promise<void> {
  await pushArtifact(registry, 'team/demo', version, await chartArtifact({ name: 'demo', version }))
}

async function versionsOf(server: Server): Promise<string[]> {
  const { entries } = parse(await (await server.get('/index.yaml')).text()) as {
    entries: { demo: { version: string }[] }
  }
  return entries.demo.map(({ version }) => version)
}

describe('a real registry that stops', () => {
  const owned = new AsyncDisposableStack()
  let temp: TempDir
  let registry: Registry

  beforeAll(async () => {
    if (!isPresent(...NEEDED)) return
    temp = owned.use(await openTempDir())
    registry = owned.use(await openRegistry())
    for (const version of ['1.0.0', '2.0.0']) await push(registry, version)
  })
  afterAll(() => owned.disposeAsync())

  needing(
    NEEDED,
    'is not missed: index and cached charts are served, over a restart too, and it is fresh again soon',
    async () => {
      const args = [
        `--storage-registry-repo=${registry.host}`,
        '--refresh-interval=1s',
        `--cache-dir=${join(temp.path, 'cache')}`,
      ]
      {
        await using server = await openServer({ args })
        await server.ready()
        const index = await (await server.get('/index.yaml')).text()
        const chart = await (await server.get('/charts/demo-1.0.0.tgz')).bytes()

        await registry.stop()
        const { snapshotAgeSeconds } = await waitFor('an age that grows, and the reason', async () => {
          const readiness = await server.readyz()
          return readiness.snapshotAgeSeconds > 3 && readiness.refresh.error !== null ? readiness : undefined
        })
        const served = await server.get('/index.yaml')
        expect(Number(served.headers.get('x-snapshot-age'))).toBeGreaterThanOrEqual(snapshotAgeSeconds)
        expect(await served.text()).toBe(index)
        expect(await (await server.get('/charts/demo-1.0.0.tgz')).bytes()).toEqual(chart)
        const uncached = await server.get('/charts/demo-2.0.0.tgz')
        expect([uncached.status, Number(uncached.headers.get('retry-after')) > 0]).toEqual([502, true])
        expect(await server.stop()).toBe(0)
      }
      await using restarted = await openServer({ args })
      // The very first request: nothing was asked of anybody yet.
      expect(await versionsOf(restarted)).toEqual(['2.0.0', '1.0.0'])
      expect((await restarted.get('/charts/demo-1.0.0.tgz')).status).toBe(200)

      await registry.start()
      await push(registry, '3.0.0')
      await waitFor('what was pushed since', async () => (await versionsOf(restarted)).includes('3.0.0'))
      const { ready, refresh } = await waitFor('a good refresh', async () => {
        const readiness = await restarted.readyz()
        return readiness.refresh.ok ? readiness : undefined
      })
      expect([ready, refresh.error]).toEqual([true, null])
    },
  )
})
