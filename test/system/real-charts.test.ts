/** Charts as projects write them (test/charts), packaged and pushed by real Helm: what the index says of them, and their bytes. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { parse } from 'yaml'
import { digestOf, OCI_MANIFEST_TYPE, packageChart, packDirectly } from '../stand/charts.ts'
import { PROJECT_ROOT } from '../stand/executable.ts'
import { HELM_VERSIONS, type Helm, openHelm } from '../stand/helm.ts'
import { isPresent } from '../stand/programs.ts'
import { openRegistry, type Registry } from '../stand/registry.ts'
import { needing } from '../stand/registry-stage.ts'
import { openServer, type Server } from '../stand/server.ts'

const NEEDED = ['docker-registry']
const SOURCES = join(PROJECT_ROOT, 'test', 'charts')
const CHARTS = ['certificate-operator', 'metrics-dashboards', 'old-ledger', 'ops-library', 'web-shop'] as const
type ChartName = (typeof CHARTS)[number]

/** What `helm dependency update` would have brought. */
const DEPENDENCIES: Readonly<Partial<Record<ChartName, Readonly<Record<string, string>>>>> = {
  'web-shop': {
    postgres: '15.2.9',
    cache: '8.4.0',
    search: '2.3.1',
    mailer: '1.4.7',
    queue: '3.12.0',
    images: '0.9.4',
    audit: '0.0.1',
  },
  'old-ledger': { postgres: '8.1.2' },
}

/** Fields of Helm 2 that Helm itself leaves out of the metadata it pushes. */
const UNKNOWN_FIELDS = ['engine', 'tillerVersion']

interface Entry {
  readonly version: string
  readonly urls: readonly string[]
  readonly created?: string
  readonly digest?: string
  readonly [field: string]: unknown
}

const owned = new AsyncDisposableStack()
let registry: Registry
let server: Server
/** Paths of the packages that were pushed. */
const packages = new Map<ChartName, string>()
let entries: Readonly<Record<string, readonly Entry[]>>

beforeAll(async () => {
  if (!isPresent(...NEEDED)) return
  registry = owned.use(await openRegistry())
  const helm = owned.use(await openHelm('4.2.3'))
  for (const name of CHARTS) {
    const dir = join(helm.home, name)
    await cp(join(SOURCES, name), dir, { recursive: true })
    for (const [dependency, version] of Object.entries(DEPENDENCIES[name] ?? {})) {
      await mkdir(join(dir, 'charts'), { recursive: true })
      const bytes = await packDirectly({ name: dependency, version })
      await writeFile(join(dir, 'charts', `${dependency}-${version}.tgz`), bytes)
    }
    if (name === 'metrics-dashboards') await writeDashboards(join(dir, 'dashboards'))
    const file = await packageChart(helm, dir)
    await helm.push(file, { origin: registry.origin, namespace: 'projects' })
    packages.set(name, file)
  }
  server = owned.use(
    await openServer({ args: ['--storage=registry', `--storage-registry-repo=${registry.host}/projects`] }),
  )
  await server.ready()
  entries = (parse(await (await server.get('/index.yaml')).text()) as { entries: typeof entries }).entries
})

afterAll(() => owned.disposeAsync())

describe('charts of real projects', () => {
  test('are all of test/charts', async () => {
    expect((await readdir(SOURCES)).toSorted()).toEqual([...CHARTS])
  })

  for (const name of CHARTS) {
    needing(NEEDED, `${name} is listed with every field of its Chart.yaml`, async () => {
      const { urls, created, digest, ...fields } = onlyEntry(name)
      expect<Record<string, unknown>>(fields).toEqual(await readSource(name))
      const version = onlyEntry(name).version
      expect(urls).toEqual([`charts/${name}-${version}.tgz`])
      expect(`sha256:${digest}`).toBe(digestOf(await readFile(packageOf(name))))
      expect(created).toBe(await readCreated(name, version))
    })
  }

  needing(NEEDED, 'are what Helm itself pushed as their configuration', async () => {
    for (const name of CHARTS) {
      const { urls: _urls, created: _created, digest: _digest, ...fields } = onlyEntry(name)
      const manifest = await readManifest(name, onlyEntry(name).version)
      const config = await registry.fetch(`/v2/projects/${name}/blobs/${manifest.config.digest}`)
      expect<unknown>(fields, name).toEqual(asHelmTakesIt((await config.json()) as Record<string, unknown>))
    }
  })

  for (const version of HELM_VERSIONS) {
    needing(NEEDED, `Helm ${version} reads the index and pulls each of them byte for byte`, async () => {
      await using helm = await openHelm(version)
      await helm.succeed('repo', 'add', 'projects', server.url)
      const { stdout } = await helm.succeed('search', 'repo', 'projects/', '--devel', '--output', 'json')
      const found = (JSON.parse(stdout) as { name: string; description: string }[]).map(({ name }) => name)
      expect(found).toEqual(CHARTS.map((name) => `projects/${name}`))
      for (const name of CHARTS) {
        expect(await pull(helm, name), name).toBe(digestOf(await readFile(packageOf(name))))
      }
    })
  }

  needing(NEEDED, 'install with what is in their packages: subcharts, resource definitions, large files', async () => {
    await using helm = await openHelm('4.2.3')
    await helm.succeed('repo', 'add', 'projects', server.url)
    const template = async (name: ChartName): Promise<string> => {
      return (
        await helm.succeed('template', 'mine', `projects/${name}`, '--devel', '--include-crds', '--kube-version=1.30')
      ).stdout
    }
    const shop = await template('web-shop')
    expect(shop).toContain('image: "registry.example.com/shop/storefront:2026.11"')
    expect(shop).toContain('name: mine-mailer')
    expect(await template('certificate-operator')).toContain('name: certificates.pki.example.com')
    expect(await template('metrics-dashboards')).toContain(`size: "${DASHBOARD_BYTES}"`)
  })
})

const DASHBOARD_BYTES = 300_000

/** Large files that do not shrink in an archive, made here because nobody reads them. The same ones in every run. */
async function writeDashboards(dir: string): Promise<void> {
  await mkdir(dir)
  for (const name of ['cluster', 'nodes']) {
    let text = ''
    for (let i = 0; text.length < DASHBOARD_BYTES; i++)
      text += Bun.CryptoHasher.hash('sha256', `${name} ${i}`, 'base64')
    await writeFile(join(dir, `${name}.json`), text.slice(0, DASHBOARD_BYTES))
  }
}

/**
 * Chart.yaml as Helm takes it: dependencies of the old form joined in, empty texts and unknown fields left out, and
 * every white space in the texts that Helm shows in tables turned into a space (annotations keep theirs).
 */
async function readSource(name: ChartName): Promise<Record<string, unknown>> {
  const read = async (file: string): Promise<Record<string, unknown>> =>
    parse(await readFile(join(SOURCES, name, file), 'utf8'))
  const chart = await read('Chart.yaml')
  const joined = name === 'old-ledger' ? { ...chart, ...(await read('requirements.yaml')) } : chart
  return asHelmTakesIt(Object.fromEntries(Object.entries(joined).filter(([field]) => !UNKNOWN_FIELDS.includes(field))))
}

function asHelmTakesIt(chart: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const entries = Object.entries(chart)
  return Object.fromEntries(
    entries.map(([field, value]) => [field, field === 'annotations' ? value : withoutEmpty(value)]),
  )
}

function withoutEmpty(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll(/\s/g, ' ')
  if (Array.isArray(value)) return value.map(withoutEmpty)
  if (typeof value !== 'object' || value === null) return value
  const kept = Object.entries(value).filter(([, item]) => item !== '')
  return Object.fromEntries(kept.map(([key, item]) => [key, withoutEmpty(item)]))
}

function onlyEntry(name: ChartName): Entry {
  const [entry, ...more] = entries[name] ?? []
  if (entry === undefined || more.length > 0)
    throw new Error(`The index has ${more.length + 1} entries of ${name}, not one`)
  return entry
}

function packageOf(name: ChartName): string {
  const file = packages.get(name)
  if (file === undefined) throw new Error(`${name} was not pushed`)
  return file
}

interface Manifest {
  readonly config: { readonly digest: string }
  readonly annotations: Readonly<Record<string, string>>
}

async function readManifest(name: ChartName, version: string): Promise<Manifest> {
  const path = `/v2/projects/${name}/manifests/${version.replaceAll('+', '_')}`
  return (await (await registry.fetch(path, { headers: { accept: OCI_MANIFEST_TYPE } })).json()) as Manifest
}

/** The time that Helm wrote into the manifest, in UTC. */
async function readCreated(name: ChartName, version: string): Promise<string> {
  const { annotations } = await readManifest(name, version)
  return new Date(annotations['org.opencontainers.image.created'] ?? '').toISOString().replace('.000Z', 'Z')
}

/** Digest of the file that `helm pull` saves. */
async function pull(helm: Helm, name: ChartName): Promise<string> {
  await helm.succeed('pull', `projects/${name}`, '--devel')
  return digestOf(await readFile(join(helm.home, basename(packageOf(name)))))
}
