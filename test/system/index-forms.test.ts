/** One index in every form, as real Helm and a shared cache read it, from the compiled executable over a real registry. */
import { afterAll, beforeAll, describe, expect } from 'bun:test'
import { readdir, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { parse } from 'yaml'
import { type ChartDescription, chartArtifact, digestOf, pushArtifact } from '../stand/charts.ts'
import { HELM_VERSIONS, type Helm, openHelm } from '../stand/helm.ts'
import { isPresent } from '../stand/programs.ts'
import { openRegistry, type Registry } from '../stand/registry.ts'
import { needing } from '../stand/registry-stage.ts'
import { openServer, type Server } from '../stand/server.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { waitFor } from '../stand/wait-for.ts'

const NEEDED = ['docker-registry']
const FORMATS = ['yaml', 'json'] as const
const CODINGS = ['identity', 'gzip', 'zstd'] as const
const forms = FORMATS.flatMap((format) => CODINGS.map((coding) => [format, coding] as const))
const decoders = { identity: (bytes: Buffer) => bytes, gzip: gunzipSync, zstd: zstdDecompressSync } as const

/** Words that YAML 1.1 takes for something else, and text that each format escapes in its own way. */
const AWKWARD = {
  appVersion: '1_000',
  description: 'on: "yes"\n\ttab \\ # no comment, \u0085 \u2028 \u{1f600} 日本語\n',
  keywords: ['yes', '~', '0x1F', '12:30:45', '2026-01-01', '=', '<<', '- a'],
  annotations: { no: 'off', 'a: b': '{"c": [1]}', '1.0': 'null' },
} as const

const CHARTS: readonly ChartDescription[] = [
  { name: 'demo', version: '1.0.0', appVersion: '7.0', description: 'the first one' },
  { name: 'demo', version: '1.1.0', appVersion: '7.1', description: 'the second one' },
  { name: 'demo', version: '2.0.0-rc.1', appVersion: '8.0' },
  { name: 'built', version: '1.2.0+build.5' },
  { name: 'awkward', version: '0.1.0', ...AWKWARD },
]

interface Entry {
  readonly version: string
  readonly urls: readonly string[]
  readonly digest: string
}

const owned = new AsyncDisposableStack()
let registry: Registry
/** Digests of the packages, by file name. */
const packages = new Map<string, string>()

beforeAll(async () => {
  if (!isPresent(...NEEDED)) return
  registry = owned.use(await openRegistry())
  for (const chart of CHARTS) await push(registry, chart)
  // A tag is any word: the version is what the chart itself says.
  await push(registry, { name: 'tagged', version: '3.0.0' }, 'stable')
})

afterAll(() => owned.disposeAsync())

async function push(to: Registry, chart: ChartDescription, tag = chart.version.replaceAll('+', '_')): Promise<void> {
  const artifact = await chartArtifact(chart)
  packages.set(`${chart.name}-${chart.version}.tgz`, digestOf(artifact.layers[0]?.bytes ?? ''))
  await pushArtifact(to, `team/${chart.name}`, tag, artifact)
}

async function serve(to: Registry, ...args: readonly string[]): Promise<Server> {
  const server = await openServer({ args: [`--storage-registry-repo=${to.host}`, '--refresh-interval=1s', ...args] })
  await server.ready()
  return server
}

/** Asks as curl does: for one form, with nothing decoded on the way. */
async function ask(server: Server, [format, coding]: (typeof forms)[number], headers: Record<string, string> = {}) {
  const asking = { accept: `application/${format}`, 'accept-encoding': coding, 'user-agent': 'curl/8.5.0', ...headers }
  const response = await fetch(`${server.url}/index.yaml`, { headers: asking, decompress: false })
  return { response, bytes: Buffer.from(await response.bytes()) }
}

async function etagsOf(server: Server): Promise<string[]> {
  return Promise.all(forms.map(async (form) => (await ask(server, form)).response.headers.get('etag') ?? 'none'))
}

async function entriesOf(server: Server): Promise<Readonly<Record<string, readonly Entry[]>>> {
  return JSON.parse((await ask(server, ['json', 'identity'])).bytes.toString()).entries
}

describe('the forms', () => {
  needing(NEEDED, 'have one content, whoever decodes and parses them', async () => {
    await using server = await serve(registry)
    const contents: unknown[] = []
    for (const form of forms) {
      const [format, coding] = form
      const { response, bytes } = await ask(server, form)
      expect(response.status).toBe(200)
      expect(Object.fromEntries(response.headers)).toMatchObject({
        'content-type': `application/${format}`,
        'content-length': String(bytes.length),
        etag: `"${digestOf(bytes).slice('sha256:'.length)}"`,
        'cache-control': 'public, max-age=1, stale-if-error=86400',
        vary: 'Accept, Accept-Encoding, User-Agent',
      })
      expect(response.headers.get('content-encoding')).toBe(coding === 'identity' ? null : coding)
      const text = decoders[coding](bytes).toString()
      // Helm before 3.13 reads JSON as YAML.
      contents.push(parse(text, { version: '1.1' }), parse(text, { version: '1.2' }))
      if (format === 'json') contents.push(JSON.parse(text))
    }
    const [first] = contents as { readonly entries: Record<string, readonly object[]> }[]
    expect(Object.keys(first?.entries ?? {})).toEqual(['awkward', 'built', 'demo', 'tagged'])
    expect(first?.entries['awkward']?.[0]).toMatchObject({ name: 'awkward', ...AWKWARD })
    for (const content of contents) expect(content).toEqual(first)
  })

  needing(NEEDED, 'have their entity tags after a restart, and on replicas with empty caches', async () => {
    await using cache = await openTempDir()
    const run = async (...args: readonly string[]): Promise<string[]> => {
      await using server = await serve(registry, ...args)
      const etags = await etagsOf(server)
      expect(await server.stop()).toBe(0)
      return etags
    }
    const before = await run(`--cache-dir=${cache.path}`)
    expect(new Set(before).size).toBe(forms.length)
    expect(await run(`--cache-dir=${cache.path}`)).toEqual(before)
    expect(await run()).toEqual(before)
    // What says other addresses is another document.
    for (const etag of await run('--chart-url=https://charts.example')) expect(before).not.toContain(etag)
  })

  needing(NEEDED, 'are each revalidated by a shared cache, and sent anew when a chart is pushed', async () => {
    await using changing = await openRegistry()
    await push(changing, { name: 'growing', version: '1.0.0' })
    await using server = await serve(changing)
    const held = await etagsOf(server)
    const revalidate = () =>
      Promise.all(forms.map((form, at) => ask(server, form, { 'if-none-match': held[at] ?? '' })))
    for (const [at, { response, bytes }] of (await revalidate()).entries()) {
      expect([response.status, bytes.length, response.headers.get('etag')]).toEqual([304, 0, held[at] ?? ''])
      expect(response.headers.get('vary')).toBe('Accept, Accept-Encoding, User-Agent')
      expect(response.headers.get('cache-control')).toBe('public, max-age=1, stale-if-error=86400')
    }
    await push(changing, { name: 'growing', version: '1.1.0' })
    const answers = await waitFor('the new version in every form', async () => {
      const all = await revalidate()
      return all.every(({ response }) => response.status === 200) && all
    })
    for (const [at, { response, bytes }] of answers.entries()) {
      const text = decoders[forms[at]?.[1] ?? 'identity'](bytes).toString()
      expect(parse(text).entries.growing.map(({ version }: Entry) => version)).toEqual(['1.1.0', '1.0.0'])
      expect(held).not.toContain(response.headers.get('etag') ?? 'none')
    }
  })

  needing(NEEDED, 'are YAML or JSON alone where that is asked for, whoever reads them', async () => {
    for (const format of FORMATS) {
      await using server = await serve(registry, `--index-format=${format}`)
      for (const form of forms) {
        const { response } = await ask(server, form, { 'user-agent': 'Helm/4.2.3' })
        expect(response.headers.get('content-type')).toBe(`application/${format}`)
        expect(response.headers.get('vary')).toBe('Accept-Encoding')
      }
    }
  })
})

describe('an index that is too large for memory', () => {
  needing(NEEDED, 'is the same from disk, whole and in ranges, after a restart too', async () => {
    await using large = await openRegistry()
    const versions = Array.from({ length: 60 }, (_, minor) => `1.${minor}.0`)
    for (const [seed, version] of versions.entries()) {
      // Text that no coding makes much smaller.
      const words = Array.from({ length: 1600 }, (_, at) => digestOf(`${seed} ${at}`).slice('sha256:'.length))
      await push(large, { name: 'large', version, description: words.join(' ') })
    }
    await using cache = await openTempDir()
    const read = async (): Promise<string[]> => {
      await using server = await serve(large, `--cache-dir=${cache.path}`)
      const onDisk = await Array.fromAsync(new Bun.Glob('index/*/index.*').scan({ cwd: cache.path }))
      expect(onDisk.map((path) => basename(path)).sort()).toEqual([
        'index.json',
        'index.json.gz',
        'index.json.zst',
        'index.yaml',
        'index.yaml.gz',
        'index.yaml.zst',
      ])
      for (const form of forms) {
        // The first two come from the file, the ones behind them from memory.
        const first = await ask(server, form, { range: 'bytes=0-999' })
        expect(first.response.status).toBe(206)
        const { response, bytes } = await ask(server, form)
        const etag = `"${digestOf(bytes).slice('sha256:'.length)}"`
        expect([response.status, response.headers.get('etag')]).toEqual([200, etag])
        expect(response.headers.get('content-length')).toBe(String(bytes.length))
        const text = decoders[form[1]](bytes).toString()
        expect(text.length).toBeGreaterThan(5 * 1024 * 1024)
        expect(text.match(/"?version"?: ?"1\.\d+\.0"/g)).toHaveLength(versions.length)
        const pieces = [first.bytes]
        for (const range of [`1000-${bytes.length - 1001}`, `${bytes.length - 1000}-`]) {
          const part = await ask(server, form, { range: `bytes=${range}`, 'if-range': etag })
          expect(part.response.status).toBe(206)
          pieces.push(part.bytes)
        }
        expect(Buffer.concat(pieces).equals(bytes)).toBe(true)
        expect((await ask(server, form, { 'if-none-match': etag })).response.status).toBe(304)
      }
      return await etagsOf(server)
    }
    const before = await read()
    expect(await read()).toEqual(before)
  })
})

describe.each([...HELM_VERSIONS])('Helm %s', (version) => {
  needing(NEEDED, 'finds and pulls the same from each --index-format', async () => {
    await using helm = await openHelm(version)
    const begins = { auto: '{"apiVersion"', yaml: 'apiVersion: v1\n', json: '{"apiVersion"' } as const
    const seen: unknown[] = []
    for (const format of ['auto', 'yaml', 'json'] as const) {
      await using server = await serve(registry, `--index-format=${format}`)
      await helm.succeed('repo', 'add', format, server.url)
      // What it keeps of a repository is what it was sent.
      const kept = await readFile(join(helm.home, '.helm/cache/repository', `${format}-index.yaml`), 'utf8')
      expect(kept).toStartWith(begins[format])
      const { stdout } = await helm.succeed('search', 'repo', `${format}/`, '--versions', '--devel', '-o', 'json')
      seen.push(JSON.parse(stdout.replaceAll(`"${format}/`, '"')))
      await expectPulled(helm, 'demo-1.1.0.tgz', `${format}/demo`)
      await expectPulled(helm, 'built-1.2.0+build.5.tgz', `${format}/built`, '--version', '1.2.0+build.5')
      await helm.succeed('show', 'chart', `${format}/awkward`)
    }
    const [first, ...others] = seen as readonly Record<string, string>[][]
    expect(first?.map((found) => `${found['name']} ${found['version']}`)).toEqual([
      'awkward 0.1.0',
      'built 1.2.0+build.5',
      'demo 2.0.0-rc.1',
      'demo 1.1.0',
      'demo 1.0.0',
      'tagged 3.0.0',
    ])
    for (const other of others) expect(other).toEqual(first ?? [])
  })

  needing(NEEDED, 'pulls through the address of --chart-url', async () => {
    await using other = openOtherAddress()
    await using server = await serve(registry, `--chart-url=${other.url}/mirror/`)
    other.forwardTo(server.url)
    await using helm = await openHelm(version)
    await helm.succeed('repo', 'add', 'stand', server.url)
    await expectPulled(helm, 'demo-1.1.0.tgz', 'stand/demo')
    await expectPulled(helm, 'built-1.2.0+build.5.tgz', 'stand/built', '--version', '1.2.0+build.5')
    expect(other.asked).toEqual(['/mirror/charts/demo-1.1.0.tgz', '/mirror/charts/built-1.2.0+build.5.tgz'])
  })

  // Over plain HTTP only Helm 4 has to be told; 3.17 knows the flag, 3.9 does not, and neither needs it on this machine.
  const flags = version === '4.2.3' ? ['--plain-http'] : []

  needing(NEEDED, 'pulls from the registry itself by --index-urls=oci', async () => {
    await using server = await serve(registry, '--index-urls=oci')
    await using helm = await openHelm(version)
    await helm.succeed('repo', 'add', 'stand', server.url)
    if (flags.length > 0) {
      // Before anything is in its cache of packages.
      const untold = await helm.run('pull', 'stand/demo')
      expect([untold.code, untold.stderr]).toEqual([1, expect.stringContaining('HTTP response to HTTPS client')])
    }
    await expectPulled(helm, 'demo-1.1.0.tgz', 'stand/demo', ...flags)
    await expectPulled(helm, 'demo-1.0.0.tgz', 'stand/demo', '--version', '1.0.0', ...flags)
    await expectPulled(helm, 'built-1.2.0+build.5.tgz', 'stand/built', '--version', '1.2.0+build.5', ...flags)
    // Helm names the file after the tag.
    await helm.succeed('pull', 'stand/tagged', ...flags)
    expect(digestOf(await readFile(join(helm.home, 'tagged-stable.tgz')))).toBe(packages.get('tagged-3.0.0.tgz') ?? '')
    await helm.succeed('template', 'x', 'stand/demo', ...flags)
    expect(server.logLines().filter((line) => String(line['path']).startsWith('/charts/'))).toEqual([])
  })
})

describe('--index-versions=2', () => {
  needing(NEEDED, 'lists the newest two of each chart, and serves the others on', async () => {
    await using server = await serve(registry, '--index-versions=2')
    const entries = await entriesOf(server)
    expect(entries['demo']?.map(({ version }) => version)).toEqual(['2.0.0-rc.1', '1.1.0'])
    expect(entries['built']).toHaveLength(1)
    for (const form of forms) {
      const { bytes } = await ask(server, form)
      expect(parse(decoders[form[1]](bytes).toString()).entries).toEqual(entries)
    }
    expect(await server.readyz()).toMatchObject({ charts: 4, versions: 5 })
    const old = await server.get('/charts/demo-1.0.0.tgz')
    expect([old.status, digestOf(await old.bytes())]).toEqual([200, packages.get('demo-1.0.0.tgz') ?? ''])
    await using helm = await openHelm('4.2.3')
    await helm.succeed('repo', 'add', 'stand', server.url)
    const { stdout } = await helm.succeed('search', 'repo', 'stand/demo', '--versions', '--devel', '-o', 'json')
    expect(JSON.parse(stdout).map(({ version }: Entry) => version)).toEqual(['2.0.0-rc.1', '1.1.0'])
    // What is not listed has an address all the same.
    expect((await helm.run('pull', 'stand/demo', '--version', '1.0.0')).code).toBe(1)
    await expectPulled(helm, 'demo-1.0.0.tgz', `${server.url}/charts/demo-1.0.0.tgz`)
  })
})

describe('the addresses of packages', () => {
  needing(NEEDED, 'are relative, behind --chart-url, or in the registry', async () => {
    const cases = [
      [[], 'charts/built-1.2.0+build.5.tgz', 'charts/tagged-3.0.0.tgz'],
      [
        ['--chart-url=https://charts.example/a'],
        'https://charts.example/a/charts/built-1.2.0+build.5.tgz',
        'https://charts.example/a/charts/tagged-3.0.0.tgz',
      ],
      [
        ['--index-urls=oci'],
        `oci://${registry.host}/team/built:1.2.0+build.5`,
        `oci://${registry.host}/team/tagged:stable`,
      ],
    ] as const
    for (const [args, built, tagged] of cases) {
      await using server = await serve(registry, ...args)
      const entries = await entriesOf(server)
      expect([entries['built']?.[0]?.urls, entries['tagged']?.[0]?.urls]).toEqual([[built], [tagged]])
    }
  })
})

/** `helm pull` leaves this one file behind, with the bytes that were pushed. */
async function expectPulled(helm: Helm, file: string, ...args: readonly string[]): Promise<void> {
  await using target = await openTempDir()
  await helm.succeed('pull', ...args, '--destination', target.path)
  expect(await readdir(target.path)).toEqual([file])
  expect(digestOf(await readFile(join(target.path, file)))).toBe(packages.get(file) ?? '')
}

/** Another address of the server: `/mirror/charts/…` and nothing else. */
function openOtherAddress() {
  const asked: string[] = []
  let target = ''
  const proxy = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch: (request) => {
      const { pathname } = new URL(request.url)
      asked.push(pathname)
      if (!pathname.startsWith('/mirror/charts/')) return new Response('no', { status: 404 })
      return fetch(target + pathname.slice('/mirror'.length))
    },
  })
  return {
    url: `http://127.0.0.1:${proxy.port}`,
    asked,
    forwardTo: (url: string) => {
      target = url
    },
    [Symbol.asyncDispose]: () => proxy.stop(true),
  }
}
