/**
 * A server that is killed again and again in one cache directory, over a registry that changes in between, and what
 * must hold of all it serves: a listing that the registry really had, whole, and never one from before the last.
 */
import { expect } from 'bun:test'
import { digestOf } from '../fakes/fake-chart.ts'
import { type FakeRegistry, openFakeRegistry } from '../fakes/fake-registry.ts'
import { openChild, waitForOutput } from '../stand/child.ts'
import { buildExecutable } from '../stand/executable.ts'
import { type LogLine, parseLog } from '../stand/server.ts'

export type Random = () => number

/** Numbers from 0 to 1, the same ones for the same seed (mulberry32). */
export function createRandom(seed: number): Random {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const REPOSITORIES = 10
const forms = ['application/json', 'text/yaml'].flatMap((accept) =>
  ['identity', 'gzip', 'zstd'].map((coding) => ({ accept, 'accept-encoding': coding })),
)

interface Entry {
  readonly name: string
  readonly version: string
  readonly digest: string
}

/** Charts that come, go and are pushed again, and every listing there has been. */
export class ChangingRegistry implements AsyncDisposable {
  readonly registry: FakeRegistry
  readonly #random: Random
  readonly #description: string
  /** Of what is there now: the file, and where it is. */
  readonly #present = new Map<
    string,
    { readonly repository: string; readonly name: string; readonly version: string }
  >()
  /** All digests that a file ever had; the last is that of now. */
  readonly #digests = new Map<string, string[]>()
  /** Which files there were at a time, and which time it was. */
  readonly #listings = new Map<string, number>()
  #pushes = 0

  private constructor(registry: FakeRegistry, random: Random, description: string) {
    this.registry = registry
    this.#random = random
    this.#description = description
  }

  static async open(random: Random, versions: number, descriptionBytes: number): Promise<ChangingRegistry> {
    const changing = new ChangingRegistry(await openFakeRegistry(), random, 'word '.repeat(descriptionBytes / 5))
    for (let i = 0; i < versions; i++) changing.#add(`team/app-${i % REPOSITORIES}`)
    changing.#note()
    return changing
  }

  /** The number of the newest listing. */
  get newest(): number {
    return this.#listings.size - 1
  }

  /** Many changes in all repositories: only while nobody reads, who would see some of them without the others. */
  changeMuch(): void {
    for (let i = 0; i < 12; i++) {
      this.#add(`team/app-${Math.floor(this.#random() * REPOSITORIES)}`)
      const file = this.pick()
      const chart = this.#present.get(file)
      if (chart === undefined) continue
      if (this.#random() < 0.5) this.#push(chart)
      else {
        this.registry.removeTag(chart.repository, chart.version)
        this.#present.delete(file)
      }
    }
    this.#note()
  }

  /** One change that is seen or not seen, and nothing in between. */
  changeOne(): void {
    this.#add('team/app-0')
    this.#note()
  }

  /** Some file that is there now. */
  pick(): string {
    return [...this.#present.keys()][Math.floor(this.#random() * this.#present.size)] ?? ''
  }

  /** Whether these bytes were once pushed as this file. */
  had(file: string, digest: string): boolean {
    return this.#digests.get(file)?.includes(digest) === true
  }

  /** The number of the listing that has these entries; fails when there was none. */
  find(entries: readonly Entry[]): number {
    const files = entries.map(({ name, version }) => `${name}-${version}.tgz`)
    const listing = this.#listings.get(keyOf(files))
    if (listing === undefined) {
      const [more, less] = [new Set(files), new Set(this.#present.keys())]
      throw new Error(
        `The registry never had these ${files.length} versions; against now: more ${[...more.difference(less)]}; less ${[...less.difference(more)]}`,
      )
    }
    for (const [i, { digest }] of entries.entries()) expect(this.had(files[i] ?? '', `sha256:${digest}`)).toBe(true)
    return listing
  }

  /** Whether all of these are what was pushed last. */
  isNow(entries: readonly Entry[]): boolean {
    return (
      this.find(entries) === this.newest &&
      entries.every(
        ({ name, version, digest }) => this.#digests.get(`${name}-${version}.tgz`)?.at(-1) === `sha256:${digest}`,
      )
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.registry[Symbol.asyncDispose]()
  }

  #add(repository: string): void {
    this.#push({ repository, name: repository.slice('team/'.length), version: `1.${this.#pushes}.0` })
  }

  #push(chart: { readonly repository: string; readonly name: string; readonly version: string }): void {
    this.#pushes += 1
    const metadata = { description: `push ${this.#pushes}: ${this.#description}end` }
    const { fileName, chartDigest } = this.registry.addChart({ ...chart, metadata })
    this.#present.set(fileName, chart)
    this.#digests.set(fileName, [...(this.#digests.get(fileName) ?? []), chartDigest])
  }

  #note(): void {
    this.#listings.set(keyOf([...this.#present.keys()]), this.#listings.size)
  }
}

function keyOf(files: readonly string[]): string {
  return digestOf([...files].sort().join('\n'))
}

/** A start of the executable that may end at any instant. */
export interface Start extends AsyncDisposable {
  readonly kill: () => Promise<void>
  readonly isKilled: () => boolean
  readonly url: Promise<string>
  readonly logLines: () => LogLine[]
}

export function openStart(registry: FakeRegistry, cacheDir: string): Promise<Start> {
  return openStartWith(cacheDir, {
    'storage-registry-repo': registry.host,
    'storage-registry-scheme': 'HTTP',
    'refresh-interval': '100ms',
    'revalidate-interval': '2s',
  })
}

export async function openStartWith(cacheDir: string, options: Readonly<Record<string, string>>): Promise<Start> {
  const all = {
    port: '0',
    'listen-host': '127.0.0.1',
    'log-format': 'json',
    'cache-dir': cacheDir,
    ...options,
  }
  const args = Object.entries(all).map(([name, value]) => `--${name}=${value}`)
  const child = openChild([await buildExecutable(), ...args], { env: { HOME: cacheDir } })
  let isKilled = false
  return {
    kill: async () => {
      isKilled = true
      child.kill('SIGKILL')
      await child.exited
    },
    isKilled: () => isKilled,
    url: waitForOutput(child, 'stdout', / at (https?:\/\/\S+)/).then((match) => match[1] ?? ''),
    logLines: () => parseLog(child.stderr()),
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  }
}

/** The index in one of its forms, whole or undefined: the answer that there is none yet. */
export async function readEntries(url: string, random: Random): Promise<readonly Entry[] | undefined> {
  const headers = forms[Math.floor(random() * forms.length)] ?? { accept: 'text/yaml' }
  const answer = await fetch(`${url}/index.yaml`, { headers, decompress: false })
  const bytes = await answer.bytes()
  if (answer.status === 503) return undefined
  expect(answer.status).toBe(200)
  expect(bytes.length).toBe(Number(answer.headers.get('content-length')))
  expect(answer.headers.get('etag')).toBe(`"${digestOf(bytes).slice('sha256:'.length)}"`)
  const coding = answer.headers.get('content-encoding') ?? 'identity'
  const text = new TextDecoder().decode(
    coding === 'gzip' ? Bun.gunzipSync(bytes) : coding === 'zstd' ? Bun.zstdDecompressSync(bytes) : bytes,
  )
  const document = (headers.accept === 'text/yaml' ? Bun.YAML.parse(text) : JSON.parse(text)) as {
    readonly entries: Record<string, readonly (Entry & { readonly description: string })[]>
  }
  const entries = Object.values(document.entries).flat()
  expect(entries.filter(({ description }) => !description.endsWith('end'))).toEqual([])
  return entries
}

/** Gets a package; fails unless its bytes are those of a push of it. */
export async function checkPackage(url: string, changing: ChangingRegistry): Promise<void> {
  const file = changing.pick()
  const answer = await fetch(`${url}/charts/${file}`)
  const bytes = await answer.bytes()
  // What was pushed a moment ago may not be found yet.
  if (answer.status === 404 || answer.status === 503) return
  expect(answer.status).toBe(200)
  expect(changing.had(file, digestOf(bytes))).toBe(true)
}
