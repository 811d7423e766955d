/**
 * One of several servers with one catalog, in a process of its own. Prints what was said in its log as JSON.
 *
 * meet <dir> <name> <others> <rounds>: opens `<dir>/<round>/catalog.sqlite` in the moment all the others do, and saves.
 * change <path> <name> <rounds>: saves listings, one after the other, that have a new tag of the repository <name>.
 * crash <path> <repositories> <bytes>: is killed while it saves a first listing, with so many bytes in the log of SQLite.
 * hold <path>: says `held` and keeps others from writing, until SIGTERM.
 */
import { Database } from 'bun:sqlite'
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CatalogFile } from '../../src/storage/catalog-file.ts'
import { captureLog } from '../telemetry/captured-log.ts'
import { chart, digest, entry, first, later } from './catalog-content.ts'

const log = captureLog()
const [what, ...args] = process.argv.slice(2)
const actions: Readonly<Record<string, (...args: string[]) => Promise<void>>> = { meet, change, crash, hold }
await actions[what ?? '']?.(...args)
console.log(JSON.stringify(log.lines.map(({ message, fields }) => [message, fields])))

async function meet(dir = '', name = '', others = '', rounds = ''): Promise<void> {
  for (let round = 0; round < Number(rounds); round++) {
    const place = join(dir, String(round))
    mkdirSync(join(place, 'met'), { recursive: true })
    writeFileSync(join(place, 'met', name), '')
    // Whoever slept here would come too late to be in anybody's way.
    while (readdirSync(join(place, 'met')).length < Number(others));
    const { catalog } = CatalogFile.open(join(place, 'cache', 'catalog.sqlite'), log)
    catalog.saveRecord(digest(name), chart(name), entry(name))
    await catalog.saveListing(later(round + 1, { [name]: { v1: digest(name) } }))
    if (round % 2 === 0) catalog.close()
  }
}

async function change(path = '', name = '', rounds = ''): Promise<void> {
  const { catalog } = CatalogFile.open(path, log)
  for (let round = 0; round < Number(rounds); round++) {
    const key = digest(`${name} ${round}`)
    catalog.saveRecord(key, chart(name, { manifest: key }), entry(name))
    await catalog.saveListing(later(round + 1, { [name]: { [`v${round}`]: key, [`v${round - 1}`]: undefined } }))
    await new Promise((resolve) => setImmediate(resolve))
  }
  catalog.close()
}

async function crash(path = '', repositories = '', minBytes = ''): Promise<void> {
  const { catalog } = CatalogFile.open(path, log)
  catalog.saveRecord(digest('new'), chart('new'), entry('new'))
  const all = Array.from({ length: Number(repositories) }, (_, i) => [`app-${i}`, { v1: digest('new') }] as const)
  let isSaved = false
  void catalog.saveListing(first(5, Object.fromEntries(all))).then(() => {
    isSaved = true
  })
  while (!isSaved) {
    // What does not fit into the memory of SQLite goes to its log before the end.
    if (statSync(`${path}-wal`).size >= Number(minBytes)) process.kill(process.pid, 'SIGKILL')
    await new Promise((resolve) => setImmediate(resolve))
  }
}

async function hold(path = ''): Promise<void> {
  using db = new Database(path, { readwrite: true })
  db.run('BEGIN IMMEDIATE')
  console.log('held')
  await new Promise((resolve) => process.once('SIGTERM', resolve))
  db.run('ROLLBACK')
}
