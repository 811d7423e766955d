/** The way of a chart from `helm push` to `helm install`, by three generations of Helm, through the compiled executable. */
import { afterAll, beforeAll, describe, expect } from 'bun:test'
import { mkdir, readFile, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { parse } from 'yaml'
import { deleteTag, digestOf, makeChart, packageChart, pushChart } from '../stand/charts.ts'
import { HELM_VERSIONS, type Helm, openHelm } from '../stand/helm.ts'
import { isPresent } from '../stand/programs.ts'
import { openRegistry, type Registry } from '../stand/registry.ts'
import { needing } from '../stand/registry-stage.ts'
import { openServer, type Server } from '../stand/server.ts'
import { openSigningKey } from '../stand/signing.ts'
import { waitFor } from '../stand/wait-for.ts'

const NEEDED = ['docker-registry']
const SIGNING = ['docker-registry', 'gpg', 'gpgconf']

interface Stage {
  readonly registry: Registry
  readonly server: Server
  readonly helm: Helm
  /** Packages pushed before the repository was added, by `NAME-VERSION`. */
  readonly packages: ReadonlyMap<string, string>
}

interface Found {
  readonly name: string
  readonly version: string
  readonly app_version: string
  readonly description: string
}

describe.each([...HELM_VERSIONS])('Helm %s', (version) => {
  const owned = new AsyncDisposableStack()
  let stage: Stage

  beforeAll(async () => {
    if (!isPresent(...NEEDED)) return
    const registry = owned.use(await openRegistry())
    const helm = owned.use(await openHelm(version))
    const packages = new Map<string, string>()
    const push = async (chart: { name: string; version: string; [field: string]: unknown }): Promise<void> => {
      packages.set(`${chart.name}-${chart.version}`, await pushChart(helm, registry, chart, { namespace: 'team' }))
    }
    await push({ name: 'demo', version: '1.0.0', appVersion: '7.0', description: 'the first one' })
    await push({ name: 'demo', version: '1.1.0', appVersion: '7.1', description: 'the second one' })
    await push({ name: 'demo', version: '2.0.0-rc.1', appVersion: '8.0' })
    await push({ name: 'built', version: '1.2.0+build.5', description: 'has build metadata' })
    const args = [`--storage-registry-repo=${registry.host}`, '--refresh-interval=1s', '--revalidate-interval=1s']
    const server = owned.use(await openServer({ args: ['--storage=registry', ...args] }))
    await server.ready()
    await helm.succeed('repo', 'add', 'stand', server.url)
    stage = { registry, server, helm, packages }
  })

  afterAll(() => owned.disposeAsync())

  needing(NEEDED, 'search shows every version, prereleases only when asked for', async () => {
    const { helm } = stage
    expect(await search(helm, 'stand/demo')).toEqual([
      { name: 'stand/demo', version: '1.1.0', app_version: '7.1', description: 'the second one' },
    ])
    const stable = await search(helm, 'stand/demo', '--versions')
    expect(stable.map((found) => found.version)).toEqual(['1.1.0', '1.0.0'])
    const all = await search(helm, 'stand/', '--versions', '--devel')
    expect(all.map(({ name, version }) => `${name} ${version}`)).toEqual([
      'stand/built 1.2.0+build.5',
      'stand/demo 2.0.0-rc.1',
      'stand/demo 1.1.0',
      'stand/demo 1.0.0',
    ])
  })

  needing(NEEDED, 'pull brings the bytes that were pushed', async () => {
    await expectPull(stage, 'demo', '1.1.0')
    await expectPull(stage, 'demo', '1.0.0', '--version', '1.0.0')
    await expectPull(stage, 'demo', '2.0.0-rc.1', '--devel')
  })

  needing(NEEDED, 'pull finds build metadata, and both spellings of the plus are one file', async () => {
    await expectPull(stage, 'built', '1.2.0+build.5', '--version', '1.2.0+build.5')
    const pushed = await readFile(packageOf(stage, 'built-1.2.0+build.5'))
    for (const path of ['/charts/built-1.2.0+build.5.tgz', '/charts/built-1.2.0%2Bbuild.5.tgz']) {
      const response = await stage.server.get(path)
      expect(response.status, path).toBe(200)
      expect(Buffer.from(await response.arrayBuffer()).equals(pushed), path).toBe(true)
    }
  })

  needing(NEEDED, 'show prints Chart.yaml and values.yaml', async () => {
    const { stdout: chart } = await stage.helm.succeed('show', 'chart', 'stand/demo')
    expect(parse(chart)).toEqual({
      apiVersion: 'v2',
      name: 'demo',
      version: '1.1.0',
      appVersion: '7.1',
      description: 'the second one',
    })
    const { stdout: values } = await stage.helm.succeed('show', 'values', 'stand/demo')
    expect(values.trim()).toBe('greeting: hello')
  })

  needing(NEEDED, 'template renders straight from the repository', async () => {
    const { stdout } = await stage.helm.succeed('template', 'mine', 'stand/demo', '--set', 'greeting=moin')
    expect(parse(stdout)).toEqual({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'mine-demo' },
      data: { greeting: 'moin' },
    })
  })

  needing(NEEDED, 'dependency build brings what a lock file names', async () => {
    const { helm, server } = stage
    const dependencies = [
      { name: 'demo', version: '^1.0.0', repository: server.url },
      { name: 'built', version: '1.2.0+build.5', repository: server.url },
    ]
    const dir = await makeChart(helm.home, { name: 'parent', version: '0.1.0', dependencies })
    await helm.succeed('dependency', 'update', dir)
    await rm(join(dir, 'charts'), { recursive: true })
    await helm.succeed('dependency', 'build', dir)
    for (const name of ['demo-1.1.0', 'built-1.2.0+build.5']) {
      const brought = await readFile(join(dir, 'charts', `${name}.tgz`))
      expect(brought.equals(await readFile(packageOf(stage, name))), name).toBe(true)
    }
  })

  needing(SIGNING, 'pull --verify accepts a signed chart and refuses an unsigned one', async () => {
    await using key = await openSigningKey()
    const { helm, registry, server } = stage
    const dir = await makeChart(helm.home, { name: 'signed', version: '1.0.0+s.1' })
    const file = await packageChart(helm, dir, { args: key.signArgs })
    await helm.push(file, { origin: registry.origin, namespace: 'team' })
    await waitFor('the signed chart in the index', () => lists(server, 'signed'))
    await helm.succeed('repo', 'update')
    const target = await makeDir(helm, 'verified')
    const verify = ['--verify', '--keyring', key.publicKeyring, '--destination', target]
    const { code, stdout, stderr } = await helm.run('pull', 'stand/signed', ...verify)
    expect({ code, output: stdout + stderr }).toMatchObject({
      code: 0,
      output: expect.stringContaining('Chart Signer'),
    })
    expect((await readFile(join(target, basename(file)))).equals(await readFile(file))).toBe(true)
    const refused = await helm.run('pull', 'stand/demo', ...verify)
    expect(refused.code).toBe(1)
  })

  needing(NEEDED, 'repo update sees a push, a moved tag and a delete', async () => {
    const { helm, registry, server } = stage
    const versions = async (): Promise<string[]> => {
      await helm.succeed('repo', 'update')
      return (await search(helm, 'stand/moving', '--versions')).map((found) => found.version)
    }
    const push = (version: string, greeting: string): Promise<string> => {
      const files = { 'values.yaml': `greeting: ${greeting}\n` }
      return pushChart(helm, registry, { name: 'moving', version }, { namespace: 'team', files })
    }
    await push('1.0.0', 'one')
    const before = digestOf(await readFile(await push('1.1.0', 'two'))).slice('sha256:'.length)
    await waitFor('both versions in the index', () => lists(server, before))
    expect(await versions()).toEqual(['1.1.0', '1.0.0'])

    const moved = await push('1.1.0', 'three')
    const after = digestOf(await readFile(moved)).slice('sha256:'.length)
    await waitFor(
      'the moved tag in the index',
      async () => (await lists(server, after)) && !(await lists(server, before)),
    )
    expect(await versions()).toEqual(['1.1.0', '1.0.0'])
    const { stdout } = await helm.succeed('show', 'values', 'stand/moving')
    expect(stdout.trim()).toBe('greeting: three')

    await deleteTag(registry, 'team/moving', '1.1.0')
    await waitFor('the deleted version to leave the index', async () => !(await lists(server, after)))
    expect(await versions()).toEqual(['1.0.0'])
    expect((await server.get('/charts/moving-1.1.0.tgz')).status).toBe(404)
    await deleteTag(registry, 'team/moving', '1.0.0')
    await waitFor('the deleted chart to leave the index', async () => !(await lists(server, 'moving')))
    expect(await versions()).toEqual([])
  })
})

async function search(helm: Helm, ...args: readonly string[]): Promise<Found[]> {
  const { stdout } = await helm.succeed('search', 'repo', ...args, '--output', 'json')
  return JSON.parse(stdout) as Found[]
}

async function lists(server: Server, text: string): Promise<boolean> {
  return (await (await server.get('/index.yaml')).text()).includes(text)
}

function packageOf(stage: Stage, name: string): string {
  const file = stage.packages.get(name)
  if (file === undefined) throw new Error(`No package ${name} was pushed`)
  return file
}

async function expectPull(stage: Stage, name: string, version: string, ...args: readonly string[]): Promise<void> {
  const target = await makeDir(stage.helm, join('pulled', version))
  await stage.helm.succeed('pull', `stand/${name}`, '--destination', target, ...args)
  const pulled = await readFile(join(target, `${name}-${version}.tgz`))
  expect(pulled.equals(await readFile(packageOf(stage, `${name}-${version}`))), `bytes of ${name} ${version}`).toBe(
    true,
  )
}

/** Helm wants the destination of a pull to exist. */
async function makeDir(helm: Helm, name: string): Promise<string> {
  const dir = join(helm.home, name)
  await mkdir(dir, { recursive: true })
  return dir
}
