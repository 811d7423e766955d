/** kill -9 at any instant of a start, a crawl or a write: the next start serves a valid index, and nothing piles up. */
import { describe, expect, test } from 'bun:test'
import { readdir, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { openFakeRegistry } from '../fakes/fake-registry.ts'
import type { LogLine } from '../stand/server.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { waitFor } from '../stand/wait-for.ts'
import {
  ChangingRegistry,
  checkPackage,
  createRandom,
  openStart,
  type Random,
  readEntries,
  type Start,
} from './kill-lane.ts'
import { openServerOver, waitForHealth, waitForIndex } from './scene.ts'

/** What was logged of trouble; that the index is large is none here. */
function complaints(lines: readonly LogLine[]): readonly LogLine[] {
  return lines.filter(({ level, msg }) => level !== 'info' && !msg.startsWith('index is larger'))
}

const KILLS = 25
const VERSIONS = 300
/** Another one each time, so that runs add up; `KILL_SEED` repeats the instants of one. */
const SEED = Number(Bun.env['KILL_SEED'] ?? crypto.getRandomValues(new Uint32Array(1))[0])

interface Lane {
  readonly what: string
  /** Of each version's description. With the larger one the documents are files. */
  readonly descriptionBytes: number
  /** So many kills, and the next start has an empty cache directory. */
  readonly killsPerCache: number
}
const lanes: readonly Lane[] = [
  { what: 'a small index', descriptionBytes: 100, killsPerCache: KILLS },
  { what: 'a small index, and first crawls', descriptionBytes: 100, killsPerCache: 4 },
  { what: 'an index in files', descriptionBytes: 18_000, killsPerCache: KILLS },
  { what: 'an index in files, and first crawls', descriptionBytes: 18_000, killsPerCache: 4 },
]

/** The number of the last listing that was seen in a cache directory, -1 before: never an earlier one from then on. */
interface Seen {
  listing: number
}

/** Whether there is an index; fails unless it is one that may be served. */
async function check(url: string, changing: ChangingRegistry, seen: Seen, random: Random): Promise<boolean> {
  const entries = await readEntries(url, random)
  if (entries === undefined) {
    // Only before the first whole index; from then on each start has one at once.
    expect(seen.listing).toBe(-1)
    return false
  }
  const listing = changing.find(entries)
  expect(listing).toBeGreaterThanOrEqual(seen.listing)
  seen.listing = listing
  await checkPackage(url, changing)
  return true
}

/** What one server did before its end. */
class Run {
  readonly #server: Start
  readonly #changing: ChangingRegistry
  readonly #random: Random
  readonly #seen: Seen
  readonly #callsBefore: number
  /** Ends with the server; rejects when it served what it must not. */
  readonly done: Promise<void>
  /** Whether it has served a whole index. */
  isServing = false

  constructor(server: Start, { changing, random, seen }: { changing: ChangingRegistry; random: Random; seen: Seen }) {
    this.#server = server
    this.#changing = changing
    this.#random = random
    this.#seen = seen
    this.#callsBefore = changing.registry.calls.length
    this.done = this.#use()
  }

  /** Resolves at some instant of the start, of the crawl, or while it serves and writes what changes. */
  async instant(kill: number): Promise<string> {
    const { calls } = this.#changing.registry
    const [phase, share] = [kill % 5, this.#random()]
    if (phase === 0) return await this.#after('the start', share * 300)
    if (phase === 1) {
      const wanted = Math.ceil(share ** 2 * 2 * VERSIONS)
      await waitFor('the crawl', () => this.isServing || calls.length - this.#callsBefore >= wanted, { everyMs: 1 })
      return await this.#after(`request ${wanted}`, this.#random() * 20)
    }
    await waitFor('a whole index', () => this.isServing, { everyMs: 1 })
    return await this.#after('the index', share * 400)
  }

  async #after(event: string, ms: number): Promise<string> {
    await Bun.sleep(ms)
    return `${ms.toFixed()} ms after ${event}`
  }

  /** Reads and pushes until the server is killed; what fails by that is no fault. */
  async #use(): Promise<void> {
    while (!this.#server.isKilled()) {
      try {
        const url = await this.#server.url
        if (await check(url, this.#changing, this.#seen, this.#random)) this.isServing = true
      } catch (error) {
        if (this.#server.isKilled() && !isAssertion(error)) return
        throw error
      }
      if (this.#random() < 0.5) this.#changing.changeOne()
    }
  }
}

function isAssertion(error: unknown): boolean {
  return error instanceof Error && /expect\(|never had/.test(error.message)
}

/** Everything below `dir` whose name says that it was never finished. */
async function findUnfinished(dir: string): Promise<string[]> {
  return (await readdir(dir, { recursive: true })).filter((name) => name.endsWith('.part'))
}

describe.concurrent('a server that is killed', () => {
  test.each(lanes)('$what', async ({ what, descriptionBytes, killsPerCache }) => {
    const random = createRandom(SEED + Bun.hash.crc32(what))
    await using dir = await openTempDir()
    await using changing = await ChangingRegistry.open(random, VERSIONS, descriptionBytes)
    let cacheDir = ''
    let seen: Seen = { listing: -1 }
    let checkedStarts = 0
    const instants: string[] = []
    try {
      for (let kill = 0; kill < KILLS; kill++) {
        if (kill % killsPerCache === 0) {
          cacheDir = join(dir.path, `cache-${kill}`)
          seen = { listing: -1 }
        }
        await using server = await openStart(changing.registry, cacheDir)
        const run = new Run(server, { changing, random, seen })
        instants.push(`${kill} in its course`)
        instants[kill] = await Promise.race([run.instant(kill), run.done.then(() => 'its own end')])
        await server.kill()
        await run.done
        if (run.isServing) checkedStarts += 1
        expect(complaints(server.logLines())).toEqual([])
        changing.changeMuch()
      }
      expect(checkedStarts).toBeGreaterThanOrEqual((KILLS / 5) * 3)

      await using server = await openStart(changing.registry, cacheDir)
      const url = await server.url
      await check(url, changing, seen, random)
      await waitFor('all that was pushed', async () => {
        const entries = await readEntries(url, random)
        return entries !== undefined && changing.isNow(entries)
      })
      // One kill leaves what one server had under way: an index and a package.
      for (const cache of await readdir(dir.path)) {
        expect((await findUnfinished(join(dir.path, cache))).length).toBeLessThanOrEqual(2 * killsPerCache)
      }
      expect(complaints(server.logLines())).toEqual([])
    } catch (cause) {
      throw new Error(`With KILL_SEED=${SEED}, killed at ${instants.join(', ')}`, { cause })
    }
  })
})

/** Where a server has what it is writing, below its cache directory that has this catalog. */
const unfinished: [what: string, nameOf: (id: string, catalog: string) => string][] = [
  ['index', (id) => `index/.${id}.part`],
  ['package', (id) => `blobs/sha256/ab/.${'ab'.repeat(32)}.${id}.part`],
  ['catalog', (id, catalog) => `${catalog}.${id}.part`],
]

test.concurrent.each(unfinished)(
  'the %s that a killed server left unfinished is removed once it can belong to none that runs',
  async (what, nameOf) => {
    await using dir = await openTempDir()
    await using registry = await openFakeRegistry()
    const { fileName } = registry.addChart({ repository: 'app', name: 'app', version: '1.0.0' })
    const args = [`--cache-dir=${dir.path}`]
    {
      await using server = await openServerOver(registry, { args })
      await waitForIndex(server, [fileName])
    }
    const catalog = (await readdir(dir.path)).find((name) => name.endsWith('.sqlite')) ?? ''
    const addLeftover = async (): Promise<string> => {
      const path = join(dir.path, nameOf(crypto.randomUUID(), catalog))
      await Bun.write(what === 'index' ? join(path, 'index.yaml') : path, 'half of it')
      return path
    }
    const [old, young] = [await addLeftover(), await addLeftover()]
    const twoHoursAgo = Date.now() / 1000 - 7200
    await utimes(old, twoHoursAgo, twoHoursAgo)
    await using server = await openServerOver(registry, { args })
    await waitForHealth(server)
    const isThere = (path: string) =>
      stat(path).then(
        () => true,
        () => false,
      )
    await waitFor('the end of what is old', async () => !(await isThere(old)), { timeoutMs: 5000 })
    expect(await isThere(young)).toBe(true)
  },
)
