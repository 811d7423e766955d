/** What the tests of protected registries share: a registry with one chart, the product over it, and its two outcomes. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { chartArtifact, pushArtifact } from './charts.ts'
import { openChild } from './child.ts'
import { buildExecutable } from './executable.ts'
import { isPresent, nameFor } from './programs.ts'
import { openRegistry, type Registry, type RegistryOptions } from './registry.ts'
import { openServer, type Server } from './server.ts'
import { openTempDir, type TempDir } from './temp-dir.ts'
import { waitFor } from './wait-for.ts'

/** Registers the hooks that open a registry with one chart for the tests of a `describe`. */
export function openStage(needed: readonly string[], options: RegistryOptions): { registry: Registry; temp: TempDir } {
  const owned = new AsyncDisposableStack()
  const stage = {} as { registry: Registry; temp: TempDir }
  beforeAll(async () => {
    if (!isPresent(...needed)) return
    stage.temp = owned.use(await openTempDir())
    stage.registry = owned.use(await openRegistry(options))
    await pushArtifact(stage.registry, 'team/demo', '1.0.0', await chartArtifact({ name: 'demo', version: '1.0.0' }))
  })
  afterAll(() => owned.disposeAsync())
  return stage
}

/** A test that is skipped, and says so, where one of the programs is missing. */
export function needing(programs: readonly string[], name: string, run: () => void | Promise<void>): void {
  test.skipIf(!isPresent(...programs))(nameFor(name, ...programs), run)
}

/** The product over that registry; another `--storage-registry-repo` in `args` wins. */
export function openFor(registry: Registry, ...args: readonly string[]): Promise<Server> {
  const target = args.some((arg) => arg.startsWith('--storage-registry-repo=')) ? [] : [repoFlag(registry)]
  return openServer({ args: ['--storage=registry', ...target, '--refresh-interval=1s', ...args] })
}

export function repoFlag(registry: Registry, path = ''): string {
  return `--storage-registry-repo=${registry.host}${path}`
}

/** The chart of the stage is there, whole. */
export async function expectServes(server: Server): Promise<void> {
  expect(await server.ready()).toMatchObject({ charts: 1, versions: 1, refresh: { ok: true, error: null } })
  expect((await server.get('/charts/demo-1.0.0.tgz')).status).toBe(200)
}

/** The start goes through, and every way of asking tells why there is nothing to serve. */
export async function expectRefused(server: Server, reason: RegExp): Promise<void> {
  const error = await waitFor('a failed refresh', async () => (await server.readyz()).refresh.error)
  expect(error).toMatch(reason)
  expect((await server.get('/readyz')).status).toBe(503)
  const index = await server.get('/index.yaml')
  expect(index.status).toBe(503)
  expect(index.headers.get('retry-after')).toMatch(/^\d+$/)
  expect(await index.text()).toMatch(reason)
  const complaints = server.logLines().filter(({ level }) => level === 'warn' || level === 'error')
  expect(complaints.map((line) => JSON.stringify(line)).join('\n')).toMatch(reason)
}

/** Words a person reads a refusal in. */
export const DENIED = /401|403|denied|refused|unauthori[sz]ed|authenticat|credential/i

/** Resolves when the product has listed the registry anew, from beginning to end, since the call. */
export async function nextCrawl(registry: Registry): Promise<void> {
  const crawls = (): number => registry.countAnswered('GET', /^\/v2\/_catalog/)
  // The crawl under way may have begun before the call; the second one after it begins when the first one is over.
  const wanted = crawls() + 2
  await waitFor('the next crawl', () => crawls() >= wanted)
}

/** A start that is expected to fail before anything is contacted; one that goes on to listen is ended and told apart. */
export async function startInVain(...args: readonly string[]): Promise<{ code: number | 'listens'; stderr: string }> {
  const common = ['--storage=registry', '--storage-registry-repo=127.0.0.1:1', '--port=0', '--listen-host=127.0.0.1']
  await using temp = await openTempDir()
  const command = [await buildExecutable(), ...common, `--cache-dir=${temp.path}/cache`, ...args]
  await using child = openChild(command, { cwd: temp.path, env: { HOME: temp.path } })
  let ended = false
  void child.exited.then(() => {
    ended = true
  })
  await waitFor('the start to fail', () => ended || child.stdout().includes(' at http'))
  return { code: ended ? await child.exited : 'listens', stderr: child.stderr() }
}

export function expectOneLine(stderr: string, flag: string): void {
  const lines = stderr.trimEnd().split('\n')
  expect(lines).toHaveLength(1)
  expect(lines[0]).toStartWith(`oci-chartrepo: ${flag}: `)
}
