/** kill -9 at any instant of a start or a push: what was acknowledged is there, and the directory is valid for any tool. */
import { describe, expect, test } from 'bun:test'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { isPresent, nameFor } from '../stand/programs.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { waitFor } from '../stand/wait-for.ts'
import { createRandom, openStartWith, type Random, type Start } from './kill-lane.ts'
import { Acknowledged, checkWithSkopeo, Pusher, readUploads } from './registry-lane.ts'

const NEEDED = ['skopeo']
const KILLS = 50
const PUSHERS = 4
/** Another one each time, so that runs add up; `KILL_SEED` repeats the instants of one. */
const SEED = Number(Bun.env['KILL_SEED'] ?? crypto.getRandomValues(new Uint32Array(1))[0])

interface Lane {
  readonly what: string
  /** So many kills, and the next start has an empty directory. */
  readonly killsPerRoot: number
  readonly options?: Readonly<Record<string, string>>
}
const lanes: readonly Lane[] = [
  { what: 'again and again', killsPerRoot: 25 },
  { what: 'while repositories are made', killsPerRoot: 3 },
  { what: 'while unused blobs are looked for', killsPerRoot: 13, options: { 'storage-local-gc-interval': '20ms' } },
  { what: 'over a directory of some age', killsPerRoot: KILLS },
]

/** What clients do with one server before its end. */
class Run {
  readonly #server: Start
  readonly #random: Random
  readonly #known: Acknowledged
  readonly #root: string
  readonly #pushers: readonly Pusher[]
  /** Ends with the server; rejects when it answered what it must not. */
  readonly done: Promise<void>
  /** Since the start. */
  pushes = 0

  constructor(
    server: Start,
    { root, known, pushers, random }: { root: string; known: Acknowledged; pushers: readonly Pusher[]; random: Random },
  ) {
    this.#server = server
    this.#root = root
    this.#known = known
    this.#pushers = pushers
    this.#random = random
    this.done = this.#use()
    // It is looked at when the server is gone.
    this.done.catch(() => undefined)
  }

  /** Resolves at some instant of the start, or of a push. */
  async instant(kill: number): Promise<string> {
    if (kill % 5 === 0) return await this.#after('the start', 250)
    const wanted = 1 + Math.floor(this.#random() * 2 * PUSHERS)
    await waitFor(`push ${wanted}`, () => this.pushes >= wanted, { everyMs: 1 })
    return await this.#after(`push ${wanted}`, 60)
  }

  async #after(event: string, maxMs: number): Promise<string> {
    const ms = this.#random() * maxMs
    await Bun.sleep(ms)
    return `${ms.toFixed()} ms after ${event}`
  }

  async #use(): Promise<void> {
    await this.#untilKilled(async () => {
      const url = await this.#server.url
      expect(await readUploads(this.#root)).toEqual([])
      await this.#known.checkServer(url, this.#random)
      const push = async (pusher: Pusher): Promise<void> => {
        for (;;) {
          await pusher.pushOne(url)
          this.pushes += 1
        }
      }
      await Promise.all(this.#pushers.map((pusher) => this.#untilKilled(() => push(pusher))))
    })
  }

  /** What fails because the server is gone is no fault. */
  async #untilKilled(work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      if (!this.#server.isKilled() || (error instanceof Error && error.message.includes('expect('))) throw error
    }
  }
}

describe.concurrent('a registry that is killed', () => {
  const name = nameFor('$what', ...NEEDED)
  test.skipIf(!isPresent(...NEEDED)).each(lanes)(name, async ({ what, killsPerRoot, options }) => {
    const random = createRandom(SEED + Bun.hash.crc32(what))
    await using dir = await openTempDir()
    const cacheDir = join(dir.path, 'cache')
    let root = ''
    let known = new Acknowledged()
    let pushers: readonly Pusher[] = []
    const instants: string[] = []
    const start = () => openStartWith(cacheDir, { storage: 'local', 'storage-local-rootdir': root, ...options })
    try {
      for (let kill = 0; kill < KILLS; kill++) {
        if (kill % killsPerRoot === 0) {
          root = join(dir.path, `root-${kill}`)
          await mkdir(root)
          known = new Acknowledged()
          pushers = Array.from({ length: PUSHERS }, (_, i) => new Pusher(`p${i}`, createRandom(random() * 1e9), known))
        }
        await using server = await start()
        const run = new Run(server, { root, known, pushers, random })
        instants.push(`${kill} in its course`)
        instants[kill] = await Promise.race([run.instant(kill), run.done.then(() => 'its own end')])
        await server.kill()
        await run.done
        expect(server.logLines().filter(({ level }) => level !== 'info')).toEqual([])
        await checkWithSkopeo(await known.checkDirectory(root), random)
      }
      await using server = await start()
      await known.checkServer(await server.url, random)
      expect(await readUploads(root)).toEqual([])
    } catch (cause) {
      throw new Error(`With KILL_SEED=${SEED}, killed at ${instants.join(', ')}`, { cause })
    }
  })
})
