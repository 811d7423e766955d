/**
 * The catalog on disk: what every manifest digest means, and which tags pointed where at the last complete listing.
 *
 * It can be rebuilt from the registry at any time, so whatever is wrong with it costs a crawl and nothing else: a
 * damaged or foreign file is set aside, and where none can be written the catalog is kept in memory.
 */

import { Database } from 'bun:sqlite'
import { mkdirSync, renameSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import type { ChartRecord, LayerRecord, ManifestRecord } from '../helm/chart-record.ts'
import { tryParseVersion } from '../helm/version.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { errorFields, type Log } from '../telemetry/log.ts'
import { diskFaultCode } from './disk-fault.ts'

/** Tags of one repository; null where the tag's name alone said that it is no chart. */
export type StoredTags = ReadonlyMap<string, Digest | null>

export interface StoredCatalog {
  /** When the last published listing began, in milliseconds since the epoch; undefined before the first. */
  readonly listedAt: number | undefined
  readonly repositories: ReadonlyMap<string, StoredTags>
  readonly records: ReadonlyMap<Digest, ManifestRecord>
}

/** `OCIR`: tells this program's files from any other SQLite database. */
const APPLICATION_ID = 0x4f434952
/** Goes up when the tables or the way records are made change; other versions are rebuilt. */
const SCHEMA_VERSION = 1
/** Records are written when this many wait, or at the next snapshot. */
const BATCH_SIZE = 200

const SCHEMA = `
  CREATE TABLE record (
    digest TEXT PRIMARY KEY,
    skip_reason TEXT,
    name TEXT, version TEXT, created TEXT,
    chart_digest TEXT, chart_size INTEGER,
    provenance_digest TEXT, provenance_size INTEGER,
    entry TEXT
  ) STRICT;
  CREATE TABLE tag (repository TEXT NOT NULL, tag TEXT NOT NULL, digest TEXT, PRIMARY KEY (repository, tag)) STRICT;
  CREATE TABLE listing (id INTEGER PRIMARY KEY CHECK (id = 1), listed_at INTEGER NOT NULL) STRICT;
  PRAGMA application_id = ${APPLICATION_ID};
  PRAGMA user_version = ${SCHEMA_VERSION};
`

interface RecordRow {
  readonly digest: string
  readonly skip_reason: string | null
  readonly name: string | null
  readonly version: string | null
  readonly created: string | null
  readonly chart_digest: string | null
  readonly chart_size: number | null
  readonly provenance_digest: string | null
  readonly provenance_size: number | null
  readonly entry: string | null
}

export class CatalogFile {
  readonly #log: Log
  readonly #db: Database
  /** What waits to be written. */
  readonly #records = new Map<Digest, ManifestRecord>()
  readonly #changed = new Map<string, StoredTags | undefined>()
  #listedAt: number | undefined
  #fault: string | undefined

  private constructor(db: Database, log: Log) {
    this.#db = db
    this.#log = log
  }

  /** Opens or creates the file at `path`, and reads it whole. */
  static open(path: string, log: Log): { readonly catalog: CatalogFile; readonly stored: StoredCatalog } {
    for (const setAside of [false, true]) {
      try {
        mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
        const db = openDatabase(path)
        try {
          return { stored: readCatalog(db), catalog: new CatalogFile(db, log) }
        } catch (error) {
          db.close()
          throw error
        }
      } catch (error) {
        if (setAside || !isUnusable(error)) {
          log.warn('catalog file cannot be used; the catalog is kept in memory', { file: path, ...errorFields(error) })
          break
        }
        log.warn('catalog file is damaged or not of this version; it is set aside and rebuilt', {
          file: path,
          ...errorFields(error),
        })
        setFileAside(path, log)
      }
    }
    const db = new Database(':memory:')
    db.run(SCHEMA)
    return { stored: readCatalog(db), catalog: new CatalogFile(db, log) }
  }

  /** Keeps what a digest means. Written in batches; what a crash loses is fetched again. */
  saveRecord(digest: Digest, record: ManifestRecord): void {
    this.#records.set(digest, record)
    // A disk that refused is tried again with the next listing, not with every record.
    if (this.#records.size >= BATCH_SIZE && this.#fault === undefined) this.#write()
  }

  /**
   * Makes a complete listing the one the next start begins with, in one transaction with the records it needs.
   * `changed` has the repositories that differ from the listing before; undefined for those that are gone.
   */
  saveListing(listedAt: number, changed: ReadonlyMap<string, StoredTags | undefined>): void {
    for (const [repository, tags] of changed) this.#changed.set(repository, tags)
    this.#listedAt = listedAt
    this.#write()
  }

  close(): void {
    this.#write()
    this.#db.close()
  }

  /** Writes all that waits, or nothing of it: then it goes on waiting. */
  #write(): void {
    try {
      this.#db.transaction(() => this.#writeWaiting())()
    } catch (error) {
      const code = diskFaultCode(error)
      if (code === undefined) throw error
      if (this.#fault !== code) {
        this.#log.warn('catalog file cannot be written; a restart begins further back', errorFields(error))
      }
      this.#fault = code
      return
    }
    this.#records.clear()
    this.#changed.clear()
    if (this.#fault !== undefined) this.#log.info('catalog file can be written again')
    this.#fault = undefined
  }

  #writeWaiting(): void {
    const saveRecord = this.#db.query(
      'INSERT OR REPLACE INTO record VALUES ($digest, $skip_reason, $name, $version, $created, $chart_digest, $chart_size, $provenance_digest, $provenance_size, $entry)',
    )
    for (const [digest, record] of this.#records) saveRecord.run(toParameters(digest, record))
    const removeTags = this.#db.query('DELETE FROM tag WHERE repository = ?')
    const saveTag = this.#db.query('INSERT INTO tag (repository, tag, digest) VALUES (?, ?, ?)')
    for (const [repository, tags] of this.#changed) {
      removeTags.run(repository)
      for (const [tag, digest] of tags ?? []) saveTag.run(repository, tag, digest)
    }
    if (this.#listedAt === undefined) return
    this.#db.query('INSERT OR REPLACE INTO listing (id, listed_at) VALUES (1, ?)').run(this.#listedAt)
  }
}

function openDatabase(path: string): Database {
  const db = new Database(path, { create: true, readwrite: true, strict: true })
  try {
    // Another process may hold the lock for a moment; without a time-out that is an error at once.
    db.run('PRAGMA busy_timeout = 2000')
    // Servers that start at the same time must not both find the file empty.
    const createTables = db.transaction(() => {
      const tables = db.query<{ count: number }, []>('SELECT count(*) AS count FROM sqlite_master').get()?.count ?? 0
      if (tables === 0) db.run(SCHEMA)
    })
    createTables.immediate()
    if (pragma(db, 'application_id') !== APPLICATION_ID || pragma(db, 'user_version') !== SCHEMA_VERSION) {
      throw new ForeignFileError()
    }
    db.run('PRAGMA journal_mode = WAL')
    // A crash of the machine may lose the last transactions, never the file: good enough for what can be rebuilt.
    db.run('PRAGMA synchronous = NORMAL')
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

class ForeignFileError extends Error {
  constructor() {
    super('it was made by another program or another version')
  }
}

function isUnusable(error: unknown): boolean {
  if (error instanceof ForeignFileError) return true
  return /^SQLITE_(?:CORRUPT|NOTADB|ERROR|MISMATCH|FORMAT)/.test(diskFaultCode(error) ?? '')
}

function pragma(db: Database, name: 'application_id' | 'user_version'): number {
  return Object.values(db.query<Record<string, number>, []>(`PRAGMA ${name}`).get() ?? {})[0] ?? 0
}

function setFileAside(path: string, log: Log): void {
  try {
    renameSync(path, `${path}.set-aside`)
    // What these two hold belongs to the file that was set aside and would damage the new one.
    for (const suffix of ['-wal', '-shm']) rmSync(`${path}${suffix}`, { force: true })
  } catch (error) {
    log.warn('catalog file cannot be set aside', errorFields(error))
  }
}

function readCatalog(db: Database): StoredCatalog {
  const records = new Map<Digest, ManifestRecord>()
  for (const row of db.query<RecordRow, []>('SELECT * FROM record').iterate()) {
    const record = fromRow(row)
    if (isDigest(row.digest) && record !== undefined) records.set(row.digest, record)
  }
  const repositories = new Map<string, Map<string, Digest | null>>()
  const tags = db.query<{ repository: string; tag: string; digest: string | null }, []>('SELECT * FROM tag')
  for (const { repository, tag, digest } of tags.iterate()) {
    const stored = repositories.get(repository) ?? new Map<string, Digest | null>()
    repositories.set(repository, stored)
    if (digest === null || isDigest(digest)) stored.set(tag, digest)
  }
  const listing = db.query<{ listed_at: number }, []>('SELECT listed_at FROM listing').get()
  if (isWhole(repositories, records)) return { listedAt: listing?.listed_at, repositories, records }
  // Without the meaning of one of its tags a listing is not what was published. Nothing of it may come back later
  // beside the one that takes its place; the records that are there spare most of the crawl.
  db.run('DELETE FROM tag')
  db.run('DELETE FROM listing')
  return { listedAt: undefined, repositories: new Map(), records }
}

function isWhole(repositories: ReadonlyMap<string, StoredTags>, records: ReadonlyMap<Digest, ManifestRecord>): boolean {
  for (const tags of repositories.values()) {
    for (const digest of tags.values()) if (digest !== null && !records.has(digest)) return false
  }
  return true
}

function fromRow(row: RecordRow): ManifestRecord | undefined {
  if (row.skip_reason !== null) return { kind: 'skipped', reason: row.skip_reason }
  const chart = toLayer(row.chart_digest, row.chart_size)
  if (row.name === null || row.version === null || row.entry === null || chart === undefined) return undefined
  if (tryParseVersion(row.version) === undefined) return undefined
  return {
    kind: 'chart',
    name: row.name,
    version: row.version,
    created: row.created ?? undefined,
    chart,
    provenance: toLayer(row.provenance_digest, row.provenance_size),
    entry: row.entry,
  }
}

function toLayer(digest: string | null, size: number | null): LayerRecord | undefined {
  return digest !== null && size !== null && isDigest(digest) ? { digest, size } : undefined
}

function toParameters(digest: Digest, record: ManifestRecord): Record<keyof RecordRow, string | number | null> {
  const chart: Partial<ChartRecord> = record.kind === 'chart' ? record : {}
  return {
    digest,
    skip_reason: record.kind === 'skipped' ? record.reason : null,
    name: chart.name ?? null,
    version: chart.version ?? null,
    created: chart.created ?? null,
    chart_digest: chart.chart?.digest ?? null,
    chart_size: chart.chart?.size ?? null,
    provenance_digest: chart.provenance?.digest ?? null,
    provenance_size: chart.provenance?.size ?? null,
    entry: chart.entry ?? null,
  }
}
