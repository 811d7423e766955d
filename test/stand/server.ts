/** The product under test: the compiled executable on a free port, with its own cache directory. */
import { expect } from 'bun:test'
import { join } from 'node:path'
import { openChild, waitForOutput } from './child.ts'
import { buildExecutable } from './executable.ts'
import { findSecrets } from './secrets.ts'
import { openTempDir } from './temp-dir.ts'
import { waitFor } from './wait-for.ts'

export interface Problem {
  readonly repository: string
  readonly tag?: string
  readonly reason: string
}

/** Body of /readyz. */
export interface Readiness {
  readonly ready: boolean
  readonly charts: number
  readonly versions: number
  /** The contract's type; in fact null until the first complete crawl, where no test looks at it. */
  readonly snapshotAgeSeconds: number
  readonly refresh: { readonly ok: boolean; readonly error: string | null; readonly problems: readonly Problem[] }
}

export interface LogLine {
  readonly time: string
  readonly level: string
  readonly msg: string
  readonly [field: string]: unknown
}

export interface ServerOptions {
  /** Added to --port=0, --listen-host=127.0.0.1, --log-format=json and --cache-dir; an option given here wins. */
  readonly args?: readonly string[]
  /** The whole environment but PATH and HOME (the temporary directory). */
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** A command that becomes the executable, which is given to it with its arguments: `setpriv …`. */
  readonly launcher?: readonly string[]
}

export interface Server extends AsyncDisposable {
  /** `http://127.0.0.1:41234`, no slash at the end. */
  readonly url: string
  readonly pid: number
  readonly cacheDir: string
  stdout(): string
  /** What it logged so far, as text and by line. */
  log(): string
  logLines(): LogLine[]
  get(path: string, init?: RequestInit): Promise<Response>
  readyz(): Promise<Readiness>
  /** Resolves when /readyz says ready. */
  ready(): Promise<Readiness>
  /** SIGTERM; the exit code. */
  stop(): Promise<number>
  kill(signal?: NodeJS.Signals): void
}

/** @throws when it exits instead of listening: use `runCommand` with `buildExecutable()` for starts that must fail. */
export async function openServer(options: ServerOptions = {}): Promise<Server> {
  const temp = await openTempDir()
  const args = withDefaults(options.args ?? [], {
    '--port': '0',
    '--listen-host': '127.0.0.1',
    '--log-format': 'json',
    '--cache-dir': options.env?.['CACHE_DIR'] ?? join(temp.path, 'cache'),
  })
  const child = openChild([...(options.launcher ?? []), await buildExecutable(), ...args], {
    env: { HOME: temp.path, ...options.env },
    cwd: options.cwd ?? temp.path,
  })
  const close = async (): Promise<void> => {
    await child.stop()
    await temp[Symbol.asyncDispose]()
  }
  try {
    const url = (await waitForOutput(child, 'stdout', / at (https?:\/\/\S+)/))[1] ?? ''
    const get = (path: string, init?: RequestInit): Promise<Response> => fetch(url + path, init)
    const readyz = async (): Promise<Readiness> => (await (await get('/readyz')).json()) as Readiness
    return {
      url,
      pid: child.pid,
      cacheDir: findOption(args, '--cache-dir') ?? '',
      stdout: child.stdout,
      log: child.stderr,
      logLines: () => parseLog(child.stderr()),
      get,
      readyz,
      ready: async () => {
        try {
          return await waitFor('the server to be ready', async () => {
            const readiness = await readyz()
            return readiness.ready ? readiness : undefined
          })
        } catch (cause) {
          throw new Error(`The server did not become ready; its log:\n${child.stderr()}`, { cause })
        }
      },
      stop: child.stop,
      kill: child.kill,
      [Symbol.asyncDispose]: async () => {
        await close()
        expect(findSecrets(child.stdout() + child.stderr()), 'secrets in the output of the server').toEqual([])
      },
    }
  } catch (cause) {
    await close()
    throw cause
  }
}

/** The JSON lines of a log; a line that is no JSON fails, because a log collector would choke on it too. */
export function parseLog(text: string): LogLine[] {
  const lines = text.split('\n')
  // The last piece is empty, or a line that is still being written.
  return lines
    .slice(0, -1)
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as LogLine)
}

function withDefaults(args: readonly string[], defaults: Readonly<Record<string, string>>): string[] {
  const absent = Object.entries(defaults).filter(([flag]) => findOption(args, flag) === undefined)
  return [...absent.map(([flag, value]) => `${flag}=${value}`), ...args]
}

function findOption(args: readonly string[], flag: string): string | undefined {
  const at = args.indexOf(flag)
  if (at >= 0) return args[at + 1]
  return args.find((arg) => arg.startsWith(`${flag}=`))?.slice(flag.length + 1)
}
