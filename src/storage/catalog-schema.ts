/**
 * The SQLite file of the catalog: its tables, and how it is opened by several servers at once.
 *
 * Invariant: under its final name the file is whole from the first moment on. Where the file system has hard links, no
 * two servers can give a new file that name.
 */

import { constants, Database } from 'bun:sqlite'
import { existsSync, linkSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { ENTRY_VERSION } from '../helm/index-entry.ts'
import { errorCode } from '../lib/error-code.ts'
import { limits } from '../limits.ts'

/** `OCIR`: tells this program's files from any other SQLite database. */
const APPLICATION_ID = 0x4f434952
/** Goes up when the tables or the way records are made change; other versions are rebuilt. */
const SCHEMA_VERSION = 2 * 1000 + ENTRY_VERSION

/** `entry` has the long texts apart from `record`, so that a start reads only what is held in memory. */
const SCHEMA = `
  CREATE TABLE record (
    digest TEXT PRIMARY KEY,
    skip_reason TEXT,
    name TEXT, version TEXT, created TEXT,
    chart_digest TEXT, chart_size INTEGER,
    provenance_digest TEXT, provenance_size INTEGER,
    manifest TEXT
  ) STRICT;
  CREATE TABLE entry (manifest TEXT PRIMARY KEY, yaml TEXT NOT NULL, json TEXT NOT NULL) STRICT;
  CREATE TABLE tag (repository TEXT NOT NULL, tag TEXT NOT NULL, digest TEXT, PRIMARY KEY (repository, tag)) STRICT;
  CREATE TABLE listing (id INTEGER PRIMARY KEY CHECK (id = 1), listed_at INTEGER NOT NULL) STRICT;
  PRAGMA application_id = ${APPLICATION_ID};
  PRAGMA user_version = ${SCHEMA_VERSION};
`

/** Opens the file at `path`, creating it first where there is none. @throws an SQLite error, or ForeignFileError */
export function openDatabase(path: string): Database {
  removeUnfinished(path)
  if (!existsSync(path)) createFile(path)
  return check(new Database(path, { create: false, readwrite: true, strict: true }))
}

/**
 * Opens a file that cannot be written, for what there is to read in it; undefined when it is not sure to be whole: what
 * its last writer left beside it cannot be taken in.
 */
export function tryOpenUnwritable(path: string): Database | undefined {
  const waiting = statSync(`${path}-wal`, { throwIfNoEntry: false })
  if (!existsSync(path) || (waiting?.size ?? 0) > 0) return undefined
  const address = `file:${encodeURI(path).replaceAll('?', '%3f').replaceAll('#', '%23')}?immutable=1`
  return check(new Database(address, constants.SQLITE_OPEN_READONLY | constants.SQLITE_OPEN_URI))
}

export function openMemoryDatabase(): Database {
  const db = new Database(':memory:', { strict: true })
  db.run(SCHEMA)
  return db
}

/** A file that SQLite can read and that is none of ours. Never leaves storage/: the file is set aside. */
export class ForeignFileError extends Error {
  constructor() {
    super('it was made by another program or another version')
  }
}

function check(db: Database): Database {
  try {
    db.run(`PRAGMA busy_timeout = ${limits.catalogPatientMs}`)
    if (pragma(db, 'application_id') !== APPLICATION_ID || pragma(db, 'user_version') !== SCHEMA_VERSION) {
      throw new ForeignFileError()
    }
    // A crash of the machine may lose the last transactions, never the file: good enough for what can be rebuilt.
    db.run('PRAGMA synchronous = NORMAL')
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

/** Makes an empty catalog beside `path` and gives it that name, unless another server was quicker. */
function createFile(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const part = `${path}.${crypto.randomUUID()}.part`
  try {
    const db = new Database(part, { create: true, readwrite: true, strict: true })
    try {
      // Changing this later would take a lock that nobody waits for.
      db.run('PRAGMA journal_mode = WAL')
      db.run(SCHEMA)
    } finally {
      db.close(true)
    }
    giveName(part, path)
  } finally {
    for (const suffix of ['', '-wal', '-shm']) rmSync(`${part}${suffix}`, { force: true })
  }
}

/** What servers that were killed in the middle of `createFile` have left. */
function removeUnfinished(path: string): void {
  const dir = dirname(path)
  const names = existsSync(dir) ? readdirSync(dir) : []
  for (const name of names) {
    if (!name.startsWith(`${basename(path)}.`) || !/\.part(?:-wal|-shm)?$/.test(name)) continue
    const file = statSync(join(dir, name), { throwIfNoEntry: false })
    if (file !== undefined && Date.now() - file.mtimeMs > limits.stalePartFileMs)
      rmSync(join(dir, name), { force: true })
  }
}

function giveName(part: string, path: string): void {
  try {
    linkSync(part, path)
  } catch (error) {
    const code = errorCode(error)
    if (code === 'EEXIST') return
    // Not every file system has links.
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes(code)) throw error
    if (!existsSync(path)) renameSync(part, path)
  }
}

function pragma(db: Database, name: 'application_id' | 'user_version'): number {
  return Object.values(db.query<Record<string, number>, []>(`PRAGMA ${name}`).get() ?? {})[0] ?? 0
}
