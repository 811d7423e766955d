/** A thousand chart versions in a real registry: all of them, with all of their fields, for every Helm. */
import { afterAll, beforeAll, describe, expect } from 'bun:test'
import { join } from 'node:path'
import { parse } from 'yaml'
import type { ChartDescription } from '../stand/charts.ts'
import { HELM_VERSIONS, openHelm } from '../stand/helm.ts'
import { pushManyCharts } from '../stand/many-charts.ts'
import { isPresent } from '../stand/programs.ts'
import { openRegistry } from '../stand/registry.ts'
import { needing } from '../stand/registry-stage.ts'
import { openServer, type Server } from '../stand/server.ts'

const NEEDED = ['docker-registry']

describe('a thousand versions', () => {
  const stack = new AsyncDisposableStack()
  let server: Server
  let pushed: readonly ChartDescription[]

  beforeAll(async () => {
    if (!isPresent(...NEEDED)) return
    const registry = stack.use(await openRegistry())
    pushed = await pushManyCharts(registry, { charts: 25, versions: 40 })
    server = stack.use(await openServer({ args: ['--storage=registry', `--storage-registry-repo=${registry.host}`] }))
    await server.ready()
  })
  afterAll(() => stack.disposeAsync())

  needing(NEEDED, 'the index has every version with every field of its Chart.yaml', async () => {
    const text = await (await server.get('/index.yaml')).text()
    const index = parse(text, { version: '1.1' }) as { entries: Record<string, Record<string, unknown>[]> }
    const entries = Object.values(index.entries).flat()
    expect(entries).toHaveLength(1000)
    const byFile = new Map(entries.map((entry) => [`${entry['name']}-${entry['version']}`, entry]))
    for (const chart of pushed) expect(byFile.get(`${chart.name}-${chart.version}`)).toMatchObject(chart)
  })

  for (const version of HELM_VERSIONS) {
    needing(NEEDED, `Helm ${version} adds, searches, pulls and templates`, async () => {
      await using helm = await openHelm(version)
      await helm.succeed('repo', 'add', 'all', server.url)
      const found = JSON.parse(
        (await helm.succeed('search', 'repo', 'all/', '--versions', '-o', 'json')).stdout,
      ) as unknown[]
      expect(found).toHaveLength(1000)
      await helm.succeed('pull', 'all/app-7', '--version', '1.2.3')
      expect(await Bun.file(join(helm.home, 'app-7-1.2.3.tgz')).exists()).toBe(true)
      expect((await helm.succeed('template', 'shop', 'all/app-20')).stdout).toContain('greeting: hello')
    })
  }
})
