/** The compiled executable, in front of a registry or as one, and what it costs in memory. */
import { readFileSync } from 'node:fs'
import { openChild, waitForOutput } from '../test/stand/child.ts'

interface CommonOptions {
  readonly executable: string
  readonly cacheDir: string
  /** More options; what is given here comes before the defaults below. */
  readonly args?: readonly string[]
}

export interface ProductOptions extends CommonOptions {
  readonly host: string
}

export interface EmbeddedOptions extends CommonOptions {
  /** Of its image layouts. */
  readonly dir: string
}

export interface Product extends AsyncDisposable {
  readonly pid: number
  readonly url: string
  /** `performance.now()` before the process was started. */
  readonly startedAt: number
  peakMiB(): number
  residentMiB(): number
  /** Versions in the snapshot, from /readyz. */
  versions(): Promise<number>
}

/** Nothing happens by itself in the time of a measurement, unless `args` say so. */
const QUIET = {
  '--refresh-interval': '24h',
  '--revalidate-interval': '8760h',
  '--refresh-wait': '60s',
  '--log-level': 'warn',
}

/** @throws with what it wrote when it does not start: an option that it does not know, for one. */
export function openProduct({ host, ...options }: ProductOptions): Promise<Product> {
  const storage = ['--storage=registry', `--storage-registry-repo=${host}`, '--storage-registry-scheme=HTTP']
  return start(storage, options)
}

/** The same as a registry of its own. */
export function openEmbedded({ dir, ...options }: EmbeddedOptions): Promise<Product> {
  return start(['--storage=local', `--storage-local-rootdir=${dir}`], options)
}

async function start(storage: readonly string[], options: CommonOptions): Promise<Product> {
  const { executable, cacheDir, args = [] } = options
  const given = new Set(args.map((arg) => arg.split('=', 1)[0]))
  const defaults = Object.entries(QUIET).filter(([name]) => !given.has(name))
  const startedAt = performance.now()
  const child = openChild([
    executable,
    ...storage,
    '--port=0',
    '--listen-host=127.0.0.1',
    `--cache-dir=${cacheDir}`,
    ...defaults.map((pair) => pair.join('=')),
    ...args,
  ])
  const [, url = ''] = await waitForOutput(child, 'stdout', / at (http:\S+)/)
  const status = (field: string): number => {
    const text = readFileSync(`/proc/${child.pid}/status`, 'utf8')
    return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(text)?.[1]) / 1024
  }
  return {
    pid: child.pid,
    url,
    startedAt,
    peakMiB: () => status('VmHWM'),
    residentMiB: () => status('VmRSS'),
    versions: async () => {
      const { versions } = (await (await fetch(`${url}/readyz`)).json()) as { versions: number }
      return versions
    },
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  }
}

/** The first whole index there is: waits for the first crawl to end. */
export async function fetchFirstIndex({ url }: Product): Promise<string> {
  for (;;) {
    const response = await fetch(`${url}/index.yaml`, { signal: AbortSignal.timeout(1_800_000) })
    const text = await response.text()
    if (response.status === 200) return text
    if (response.status !== 503) throw new Error(`GET /index.yaml was answered with ${response.status}: ${text}`)
    await Bun.sleep(10)
  }
}

/** Whether the executable knows an option, such as `--index-format`. */
export function hasOption(executable: string, option: string): boolean {
  return Bun.spawnSync([executable, '--help']).stdout.toString().includes(`${option} `)
}
