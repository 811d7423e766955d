/** One registry with everything that registries hold beside good charts: acceptance line 3. */
import { afterAll, beforeAll, describe, expect } from 'bun:test'
import { parse } from 'yaml'
import {
  type Artifact,
  CHART_LAYER_TYPE,
  CONFIG_TYPE,
  chartArtifact,
  DOCKER_MANIFEST_TYPE,
  digestOf,
  LEGACY_CHART_LAYER_TYPE,
  OCI_INDEX_TYPE,
  PROVENANCE_LAYER_TYPE,
  packDirectly,
  pushArtifact,
  pushManifest,
} from '../stand/charts.ts'
import { isPresent } from '../stand/programs.ts'
import { openRegistry, type Registry } from '../stand/registry.ts'
import { needing, nextCrawl } from '../stand/registry-stage.ts'
import { type LogLine, openServer, type Server } from '../stand/server.ts'
import { waitFor } from '../stand/wait-for.ts'

const NEEDED = ['docker-registry']
const IMAGE_CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json'
const IMAGE_LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar+gzip'
const CREATED = 'org.opencontainers.image.created'

interface Entry {
  readonly name: string
  readonly version: string
  readonly urls: readonly string[]
  readonly digest?: string
  readonly created?: string
  readonly [field: string]: unknown
}

interface Index {
  readonly apiVersion: string
  readonly entries: Readonly<Record<string, readonly Entry[]>>
}

const image: Artifact = {
  config: { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [] } },
  configMediaType: IMAGE_CONFIG_TYPE,
  layers: [{ mediaType: IMAGE_LAYER_TYPE, bytes: 'no real layer' }],
}

const owned = new AsyncDisposableStack()
let registry: Registry
let server: Server
let index: Index
let log: readonly LogLine[]
/** Layer bytes by what the tests call them. */
const archives = new Map<string, Uint8Array<ArrayBuffer>>()
/** `repository:tag` of everything that is no chart, with what its log line has to give as the reason. */
const skipped = new Map<string, RegExp>()

beforeAll(async () => {
  if (!isPresent(...NEEDED)) return
  registry = owned.use(await openRegistry())
  await pushGoodCharts()
  await pushTags()
  await pushTwins()
  await pushDoubtfulCharts()
  await pushOthers()
  const freshness = ['--refresh-interval=1s', '--revalidate-interval=1s']
  server = owned.use(
    await openServer({ args: ['--storage=registry', `--storage-registry-repo=${registry.host}`, ...freshness] }),
  )
  await server.ready()
  // Several crawls: whatever is said per crawl instead of once shows.
  for (let round = 0; round < 2; round++) await nextCrawl(registry)
  index = parse(await (await server.get('/index.yaml')).text()) as Index
  log = server.logLines()
})

afterAll(() => owned.disposeAsync())

async function pushGoodCharts(): Promise<void> {
  await push('plain/web', '1.0.0', await keep('web-1.0.0', { name: 'web', version: '1.0.0', appVersion: '2.4' }))
  await push('plain/web', '1.1.0-beta.2', await keep('web-beta', { name: 'web', version: '1.1.0-beta.2' }))
  await push('plain/web', '1.1.0-beta.11', await keep('web-beta11', { name: 'web', version: '1.1.0-beta.11' }))
  for (const [tag, created] of [
    ['1', '2024-05-01T10:00:00+02:00'],
    ['2', '2025-05-01T10:00:00Z'],
  ] as const) {
    const chart = await keep(`built-${tag}`, { name: 'built', version: `1.0.0+b${tag}` })
    await push('plain/built', `1.0.0_b${tag}`, { ...chart, annotations: { [CREATED]: created } })
  }
  await push('a/very/deep/path/of/names/deep', '0.1.0', await keep('deep', { name: 'deep', version: '0.1.0' }))
  const signed = await keep('signed', { name: 'signed', version: '1.0.0' })
  await push('plain/signed', '1.0.0', {
    ...signed,
    layers: [{ mediaType: PROVENANCE_LAYER_TYPE, bytes: 'the provenance\n' }, ...signed.layers],
  })
  const legacy = await keep('legacy', { name: 'legacy', version: '1.0.0' })
  const layers = legacy.layers.map(({ bytes }) => ({ mediaType: LEGACY_CHART_LAYER_TYPE, bytes }))
  await push('plain/legacy', '1.0.0', { ...legacy, layers })
  const docker = await keep('docker', { name: 'docker', version: '1.0.0' })
  await push('plain/docker', '1.0.0', { ...docker, manifestMediaType: DOCKER_MANIFEST_TYPE })
  const child = await push('plain/indexed', undefined, await keep('indexed', { name: 'indexed', version: '1.0.0' }))
  const list = { schemaVersion: 2, mediaType: OCI_INDEX_TYPE, manifests: [child] }
  await pushManifest(registry, 'plain/indexed', '1.0.0', OCI_INDEX_TYPE, JSON.stringify(list))
}

/** Several tags of one version, and a tag that says something else than the chart. */
async function pushTags(): Promise<void> {
  const chart = await keep('tagged', { name: 'tagged', version: '1.2.3' })
  for (const tag of ['1.2.3', '1.2', '1', 'latest', 'stable']) await push('plain/tagged', tag, chart)
  await push('plain/renamed', 'v9', await keep('other-name', { name: 'other-name', version: '3.0.0' }))
  const old = await keep('twice-old', { name: 'twice', version: '1.0.0', description: 'an older build' })
  await push('plain/twice', 'latest', old)
  await push(
    'plain/twice',
    '1.0.0',
    await keep('twice-new', { name: 'twice', version: '1.0.0', description: 'the build' }),
  )
}

async function pushTwins(): Promise<void> {
  for (const namespace of ['zoo', 'zoo-a', 'aviary']) {
    const description = `of ${namespace}`
    await push(
      `${namespace}/twin`,
      '1.0.0',
      await keep(`twin-${namespace}`, { name: 'twin', version: '1.0.0', description }),
    )
  }
  await push('zoo/twin', '1.1.0', await keep('twin-only', { name: 'twin', version: '1.1.0' }))
}

/** Charts whose metadata has faults that an index cannot repeat, and that is no reason to hide them. */
async function pushDoubtfulCharts(): Promise<void> {
  await push('doubtful/types', '1.0.0', {
    ...(await keep('types', { name: 'types', version: '1.0.0' })),
    config: {
      apiVersion: 'v2',
      name: 'types',
      version: '1.0.0',
      description: 'yes',
      appVersion: 1.1,
      deprecated: 'yes',
      keywords: 'web',
      annotations: { good: 'on', bad: 5 },
      maintainers: [{ name: 'A', phone: '1' }, 'B'],
      dependencies: [{ name: 'x', version: 2, repository: 'https://example.com' }],
      unknownField: { a: 1 },
      urls: ['https://example.com/evil.tgz'],
      digest: '0'.repeat(64),
    },
  })
  await push('doubtful/lenient', 'x', await keep('lenient', { name: 'lenient', version: 'v1.2' }))
  const dated = await keep('dated', { name: 'dated', version: '1.0.0' })
  await push('doubtful/dated', '1.0.0', { ...dated, annotations: { [CREATED]: '2024-01-01 00:00:00' } })
}

async function pushOthers(): Promise<void> {
  const skip = async (repository: string, tag: string, artifact: Artifact, reason: RegExp): Promise<void> => {
    skipped.set(`${repository}:${tag}`, reason)
    await push(repository, tag, artifact)
  }
  await skip('mixed/image', '1.0.0', image, /config/)
  // Beside good charts, in one repository.
  await skip('plain/web', 'image', { ...image, config: { os: 'linux' } }, /config/)
  const signature: Artifact = {
    ...image,
    layers: [{ mediaType: 'application/vnd.dev.cosign.simplesigning.v1+json', bytes: '{}' }],
  }
  await skip('plain/web', `sha256-${'ab'.repeat(32)}.sig`, signature, /config|signature|referrer/)
  const child = await push('mixed/multi', 'amd64', { ...image, config: { os: 'linux', variant: 'child' } })
  skipped.set('mixed/multi:amd64', /config/)
  skipped.set('mixed/multi:1.0.0', /index|chart/)
  const manifests = [{ ...child, platform: { os: 'linux', architecture: 'amd64' } }]
  const list = { schemaVersion: 2, mediaType: OCI_INDEX_TYPE, manifests }
  await pushManifest(registry, 'mixed/multi', '1.0.0', OCI_INDEX_TYPE, JSON.stringify(list))

  const { layers } = await chartArtifact({ name: 'broken', version: '1.0.0' })
  const broken: readonly (readonly [string, Artifact['config'], RegExp])[] = [
    ['no-json', '{"name": "broken", "version"', /JSON/],
    ['no-utf8', new Uint8Array([0x7b, 0xff, 0x7d]), /JSON/],
    ['list', '["broken", "1.0.0"]', /object/],
    ['null', 'null', /object/],
    ['no-name', { version: '1.0.0' }, /name/],
    ['path-name', { name: '../../broken', version: '1.0.0' }, /name/],
    ['dot-name', { name: '..', version: '1.0.0' }, /name/],
    ['no-version', { name: 'broken' }, /version/i],
    ['number-version', { name: 'broken', version: 1.2 }, /version/i],
    ['four-numbers', { name: 'broken', version: '1.2.3.4' }, /version/i],
    ['bad-prerelease', { name: 'broken', version: '1.2.3-01' }, /version/i],
    ['word-version', { name: 'broken', version: 'latest' }, /version/i],
    ['long-name', { name: 'n'.repeat(300), version: '1.0.0' }, /name/],
  ]
  for (const [what, config, reason] of broken) await skip(`broken/${what}`, '1.0.0', { config, layers }, reason)
  await skip('broken/no-layers', '1.0.0', { config: { name: 'broken', version: '1.0.0' }, layers: [] }, /layer/)
  const provenance = { mediaType: PROVENANCE_LAYER_TYPE, bytes: 'alone' }
  await skip(
    'broken/lone-provenance',
    '1.0.0',
    { config: { name: 'broken', version: '1.0.0' }, layers: [provenance] },
    /layer/,
  )
}

describe('a repository of all kinds of things', () => {
  needing(NEEDED, 'has an index of exactly the good charts, newest first', () => {
    const listed = Object.entries(index.entries).map(([name, entries]) => [name, entries.map(({ version }) => version)])
    expect(listed).toEqual([
      ['built', ['1.0.0+b2', '1.0.0+b1']],
      ['dated', ['1.0.0']],
      ['deep', ['0.1.0']],
      ['docker', ['1.0.0']],
      ['indexed', ['1.0.0']],
      ['legacy', ['1.0.0']],
      ['lenient', ['v1.2']],
      ['other-name', ['3.0.0']],
      ['signed', ['1.0.0']],
      ['tagged', ['1.2.3']],
      ['twice', ['1.0.0']],
      ['twin', ['1.1.0', '1.0.0']],
      ['types', ['1.0.0']],
      ['web', ['1.1.0-beta.11', '1.1.0-beta.2', '1.0.0']],
    ])
  })

  needing(NEEDED, 'gives each entry the digest of the chart layer and an address with its bytes', async () => {
    const names: readonly (readonly [string, string, string])[] = [
      ['web', '1.0.0', 'web-1.0.0'],
      ['built', '1.0.0+b1', 'built-1'],
      ['deep', '0.1.0', 'deep'],
      ['signed', '1.0.0', 'signed'],
      ['legacy', '1.0.0', 'legacy'],
      ['docker', '1.0.0', 'docker'],
      ['indexed', '1.0.0', 'indexed'],
      ['lenient', 'v1.2', 'lenient'],
    ]
    for (const [name, version, archive] of names) await expectBytes(name, version, archive)
  })

  needing(NEEDED, 'serves the provenance that stands in front of the chart, and none where there is none', async () => {
    const provenance = await server.get('/charts/signed-1.0.0.tgz.prov')
    expect({ status: provenance.status, text: await provenance.text() }).toEqual({
      status: 200,
      text: 'the provenance\n',
    })
    expect((await server.get('/charts/web-1.0.0.tgz.prov')).status).toBe(404)
  })

  needing(NEEDED, 'takes the tag that spells the version when tags of one version differ', async () => {
    expect(entryOf('twice', '1.0.0')['description']).toBe('the build')
    await expectBytes('twice', '1.0.0', 'twice-new')
  })

  needing(
    NEEDED,
    'takes the lexically first of repositories with the same name and version, with one warning',
    async () => {
      expect(entryOf('twin', '1.0.0')['description']).toBe('of aviary')
      await expectBytes('twin', '1.0.0', 'twin-aviary')
      await expectBytes('twin', '1.1.0', 'twin-only')
      const warnings = log.filter((line) => line.level === 'warn' && mentions(line, 'twin-1.0.0.tgz'))
      for (const loser of ['zoo/twin', 'zoo-a/twin']) {
        expect(
          warnings.filter((line) => mentions(line, loser)),
          `warnings about ${loser}`,
        ).toHaveLength(1)
      }
      expect(warnings.every((line) => mentions(line, 'aviary/twin'))).toBe(true)
    },
  )

  needing(NEEDED, 'keeps what is right in doubtful metadata, and the log names what was left out once', () => {
    const { urls, digest, ...fields } = entryOf('types', '1.0.0')
    expect(fields).toEqual({
      apiVersion: 'v2',
      name: 'types',
      version: '1.0.0',
      description: 'yes',
      annotations: { good: 'on' },
      maintainers: [{ name: 'A' }],
      dependencies: [{ name: 'x', repository: 'https://example.com' }],
    })
    expect({ urls, digest }).toEqual({ urls: ['charts/types-1.0.0.tgz'], digest: hexOf('types') })
    const lines = linesWith('doubtful/types')
    expect(lines).toHaveLength(1)
    for (const field of ['appVersion', 'deprecated', 'keywords', 'phone', 'unknownField', 'urls']) {
      expect(JSON.stringify(lines[0])).toContain(field)
    }
  })

  needing(NEEDED, 'tells when a version was created if the annotation is a time', () => {
    expect(entryOf('built', '1.0.0+b1').created).toBe('2024-05-01T08:00:00Z')
    expect(entryOf('built', '1.0.0+b2').created).toBe('2025-05-01T10:00:00Z')
    expect(entryOf('dated', '1.0.0')).not.toHaveProperty('created')
    expect(entryOf('web', '1.0.0')).not.toHaveProperty('created')
  })

  needing(NEEDED, 'names each thing it skipped once in the log, with the reason', () => {
    for (const [what, reason] of skipped) {
      const [repository = '', tag = ''] = what.split(':')
      const lines = linesWith(repository).filter((line) => mentions(line, tag))
      expect(lines, what).toHaveLength(1)
      expect(JSON.stringify(lines[0]), what).toMatch(reason)
    }
  })

  needing(NEEDED, 'says nothing about the good charts and holds no error', () => {
    for (const repository of ['plain/signed', 'plain/legacy', 'plain/docker', 'plain/tagged', 'a/very/deep']) {
      expect(linesWith(repository), repository).toEqual([])
    }
    expect(log.filter(({ level }) => level === 'error')).toEqual([])
  })

  needing(NEEDED, 'logs a thing once more when it is pushed anew', async () => {
    await push('mixed/image', '1.0.0', { ...image, config: { os: 'windows' } })
    const lines = (): LogLine[] => server.logLines().filter((line) => mentions(line, 'mixed/image'))
    await waitFor('the second line', () => lines().length === 2)
  })
})

async function push(repository: string, tag: string | undefined, artifact: Artifact): ReturnType<typeof pushArtifact> {
  return pushArtifact(registry, repository, tag, artifact)
}

/** A chart whose archive the tests know by `key`. */
async function keep(
  key: string,
  chart: { name: string; version: string; [field: string]: unknown },
): Promise<Artifact> {
  const bytes = await packDirectly(chart, { 'README.md': key })
  archives.set(key, bytes)
  return {
    config: { apiVersion: 'v2', ...chart },
    configMediaType: CONFIG_TYPE,
    layers: [{ mediaType: CHART_LAYER_TYPE, bytes }],
  }
}

function entryOf(name: string, version: string): Entry {
  const entry = index.entries[name]?.find((each) => each.version === version)
  if (entry === undefined) throw new Error(`The index has no ${name} ${version}`)
  return entry
}

function hexOf(archive: string): string {
  return digestOf(archives.get(archive) ?? '').slice('sha256:'.length)
}

async function expectBytes(name: string, version: string, archive: string): Promise<void> {
  const { urls, digest } = entryOf(name, version)
  expect(digest, `digest of ${name}`).toBe(hexOf(archive))
  const response = await fetch(new URL(urls[0] ?? '', `${server.url}/`))
  expect(digestOf(await response.bytes()), `bytes of ${name}`).toBe(`sha256:${hexOf(archive)}`)
}

/** Log lines about a repository: not those about one whose name only begins the same. */
function linesWith(repository: string): LogLine[] {
  return log.filter((line) => mentions(line, repository))
}

function mentions(line: LogLine, text: string): boolean {
  const escaped = text.replaceAll(/[.+]/g, '\\$&')
  return new RegExp(`(?<![\\w/.-])${escaped}(?![\\w-]|\\.\\w)`).test(JSON.stringify(line))
}
