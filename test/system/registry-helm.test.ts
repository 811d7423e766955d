/** One server is the registry that Helm pushes to and the repository that it installs from, for three generations of Helm. */
import { afterAll, beforeAll, describe, expect } from 'bun:test'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse } from 'yaml'
import { type ChartDescription, digestOf, makeChart, packageChart } from '../stand/charts.ts'
import { HELM_VERSIONS, type Helm, type HelmVersion, openHelm } from '../stand/helm.ts'
import { readLayouts } from '../stand/image-layouts.ts'
import { type LocalServer, openLocalServer } from '../stand/local-server.ts'
import { isPresent } from '../stand/programs.ts'
import { needing } from '../stand/registry-stage.ts'
import { openSigningKey, type SigningKey } from '../stand/signing.ts'
import { openTempDir } from '../stand/temp-dir.ts'

const NEEDED = ['gpg', 'gpgconf']

/** Helm 3.9 has no such flag: it speaks plain HTTP to a loopback address by itself. */
const plainHttpOf = (version: HelmVersion) => (version === '3.9.4' ? [] : ['--plain-http'])

describe.each([...HELM_VERSIONS])('Helm %s', (version) => {
  const plainHttp = plainHttpOf(version)
  const owned = new AsyncDisposableStack()
  let root: string
  let server: LocalServer
  let helm: Helm
  let key: SigningKey

  beforeAll(async () => {
    if (!isPresent(...NEEDED)) return
    root = join(owned.use(await openTempDir()).path, 'root')
    server = owned.use(await openLocalServer(root))
    helm = owned.use(await openHelm(version))
    key = owned.use(await openSigningKey())
    await push({ name: 'demo', version: '1.0.0', appVersion: '7.0', description: 'the first one' })
    await helm.succeed('repo', 'add', 'own', server.url)
  })

  afterAll(() => owned.disposeAsync())

  /** The path of the package, which is signed, and in the index. */
  async function push(chart: ChartDescription): Promise<string> {
    const dir = await makeChart(join(helm.home, 'charts', chart.version), chart)
    const file = await packageChart(helm, dir, { args: key.signArgs })
    await helm.push(file, { origin: server.origin, namespace: 'team' })
    const hex = digestOf(await readFile(file)).slice('sha256:'.length)
    // The very next request has it.
    expect(await (await server.get('/index.yaml')).text()).toContain(hex)
    return file
  }

  async function makeDir(name: string): Promise<string> {
    const dir = join(helm.home, name)
    await mkdir(dir, { recursive: true })
    return dir
  }

  needing(NEEDED, 'finds what it pushed', async () => {
    await push({ name: 'demo', version: '1.1.0', appVersion: '7.1', description: 'the second one' })
    await push({ name: 'built', version: '1.2.0+build.5' })
    await helm.succeed('repo', 'update')
    const { stdout } = await helm.succeed('search', 'repo', 'own/', '--versions', '--output', 'json')
    const found = JSON.parse(stdout) as { name: string; version: string; app_version: string }[]
    expect(found.map((each) => [each.name, each.version, each.app_version])).toEqual([
      ['own/built', '1.2.0+build.5', ''],
      ['own/demo', '1.1.0', '7.1'],
      ['own/demo', '1.0.0', '7.0'],
    ])
  })

  needing(NEEDED, 'pulls and verifies what it signed, by the repository and by the registry', async () => {
    const file = await push({ name: 'signed', version: '1.0.0+s.1' })
    await helm.succeed('repo', 'update')
    const verify = ['--verify', '--keyring', key.publicKeyring]
    const sources = [
      ['own/signed'],
      [`oci://${server.host}/team/signed`, '--version', '1.0.0+s.1', ...plainHttp],
    ] as const
    for (const [at, source] of sources.entries()) {
      const target = await makeDir(`verified-${at}`)
      const { stdout, stderr } = await helm.succeed('pull', ...source, ...verify, '--destination', target)
      expect(stdout + stderr).toContain('Chart Signer')
      for (const suffix of ['', '.prov']) {
        const pulled = await readFile(join(target, `signed-1.0.0+s.1.tgz${suffix}`))
        expect(pulled.equals(await readFile(file + suffix)), `${source[0]} ${suffix}`).toBe(true)
      }
    }
  })

  needing(NEEDED, 'renders a chart straight from the repository and from the registry', async () => {
    const sources = [
      ['own/demo', '--version', '1.0.0'],
      [`oci://${server.host}/team/demo`, '--version', '1.0.0', ...plainHttp],
    ]
    for (const source of sources) {
      const { stdout } = await helm.succeed('template', 'mine', ...source, '--set', 'greeting=moin')
      // Helm 4 writes what it pulled in front of what it renders.
      const [rendered = ''] = stdout.split(/^---$/m).slice(-1)
      expect(parse(rendered)).toMatchObject({ metadata: { name: 'mine-demo' }, data: { greeting: 'moin' } })
    }
  })

  needing(NEEDED, 'sees a version that was pushed again, and misses one that was deleted', async () => {
    await push({ name: 'moving', version: '1.0.0', description: 'at first' })
    const again = await push({ name: 'moving', version: '1.0.0', description: 'again' })
    expect(
      Buffer.from(await (await server.get('/charts/moving-1.0.0.tgz')).bytes()).equals(await readFile(again)),
    ).toBe(true)
    await push({ name: 'moving', version: '2.0.0' })
    await helm.succeed('repo', 'update')
    const { stdout } = await helm.succeed('show', 'chart', 'own/moving', '--version', '1.0.0')
    expect(parse(stdout)).toMatchObject({ description: 'again' })
    const target = await makeDir('moved')
    await helm.succeed('pull', 'own/moving', '--version', '1.0.0', '--destination', target)
    expect((await readFile(join(target, 'moving-1.0.0.tgz'))).equals(await readFile(again))).toBe(true)

    const deleted = await server.get('/v2/team/moving/manifests/2.0.0', { method: 'DELETE' })
    expect(deleted.status).toBe(202)
    expect((await server.get('/charts/moving-2.0.0.tgz')).status).toBe(404)
    await helm.succeed('repo', 'update')
    const search = await helm.succeed('search', 'repo', 'own/moving', '--versions', '--output', 'json')
    expect((JSON.parse(search.stdout) as { version: string }[]).map((each) => each.version)).toEqual(['1.0.0'])
    await readLayouts(root)
  })
})
