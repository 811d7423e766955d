/**
 * The catalog on disk: what every manifest digest means, its index entry, and which tags pointed where at the last
 * complete listing.
 *
 * It can be rebuilt from the registry at any time, so whatever is wrong with it costs a crawl and nothing else: a
 * damaged or foreign file is set aside, and where none can be written the catalog is kept in memory.
 */

import type { Database } from 'bun:sqlite'
import { renameSync, rmSync } from 'node:fs'
import type { ManifestRecord } from '../helm/chart-record.ts'
import type { IndexEntry, IndexFormat } from '../helm/index-entry.ts'
import { errorCode } from '../lib/error-code.ts'
import { TimeSlices } from '../lib/time-slices.ts'
import { limits } from '../limits.ts'
import type { Digest } from '../oci/digest.ts'
import { errorFields, type Log } from '../telemetry/log.ts'
import { CatalogBatch, type TagChanges } from './catalog-batch.ts'
import { readCatalog, type StoredCatalog } from './catalog-rows.ts'
import { ForeignFileError, openDatabase, openMemoryDatabase, tryOpenUnwritable } from './catalog-schema.ts'
import { diskFaultCode } from './disk-fault.ts'

export interface SavedListing {
  /** When the listing began, in milliseconds since the epoch. */
  readonly listedAt: number
  /** By repository: what is different from the listing before. */
  readonly changes: ReadonlyMap<string, TagChanges>
  /** There was no listing before: whatever the file has counts for nothing. */
  readonly isFirst: boolean
}

export interface Opened {
  readonly catalog: CatalogFile
  readonly stored: StoredCatalog
}

/** Records that are written together. The file is sorted by digest: a few of them touch as many pages as many do. */
const BATCH_SIZE = 512

export class CatalogFile {
  readonly #log: Log
  #db: Database
  /** undefined when it is no file that can be written, or no longer is the one of that name. */
  #path: string | undefined
  #waiting = new CatalogBatch()
  /** What is being written in pieces, within a transaction that is open. */
  #underWay: { readonly batch: CatalogBatch; readonly rows: Generator<void> } | undefined
  #writing: Promise<void> | undefined
  #fault: string | undefined
  /** Records that wait when they are next written; more after another server was in the way. */
  #writesAt = BATCH_SIZE
  /** The file was made anew since the last whole listing: changes alone are of no use to it. */
  #lacksListing = false
  #isClosed = false

  private constructor(db: Database, path: string | undefined, log: Log) {
    this.#db = db
    this.#path = path
    this.#log = log
  }

  /** Opens or creates the file at `path`, and reads it but for the texts of entries. */
  static open(path: string, log: Log): Opened {
    for (const isLast of [false, true]) {
      try {
        return CatalogFile.#load(openDatabase(path), path, log)
      } catch (error) {
        if (isLast || !isUnusable(error)) {
          const unwritable = CatalogFile.#tryLoadUnwritable(path, log)
          const state = unwritable === undefined ? 'is kept in memory' : 'is read, and what is new kept in memory'
          log.warn(`catalog file cannot be used; the catalog ${state}`, { file: path, ...errorFields(error) })
          if (unwritable !== undefined) return unwritable
          break
        }
        log.warn('catalog file is damaged or not of this version; it is set aside and rebuilt', {
          file: path,
          ...errorFields(error),
        })
        setFileAside(path, log)
      }
    }
    return CatalogFile.#load(openMemoryDatabase(), undefined, log)
  }

  static #load(db: Database, path: string | undefined, log: Log): Opened {
    try {
      const stored = readCatalog(db)
      db.run(`PRAGMA busy_timeout = ${limits.catalogBusyMs}`)
      return { stored, catalog: new CatalogFile(db, path, log) }
    } catch (error) {
      db.close()
      throw error
    }
  }

  static #tryLoadUnwritable(path: string, log: Log): Opened | undefined {
    try {
      const db = tryOpenUnwritable(path)
      return db && CatalogFile.#load(db, undefined, log)
    } catch (error) {
      log.debug('catalog file cannot be read either', { file: path, ...errorFields(error) })
      return undefined
    }
  }

  /** Keeps what a digest means, and its entry when it is a chart's. Written in batches; what a crash loses is fetched again. */
  saveRecord(digest: Digest, record: ManifestRecord, entry?: IndexEntry): void {
    this.#waiting.saveRecord(digest, record, entry)
    // A disk that refused is tried again with the next listing, not with every record.
    if (this.#waiting.records.size >= this.#writesAt && this.#fault === undefined) void this.#writeInSlices()
  }

  /** The index entries made of some manifests; those that have been lost are left out. */
  readEntries(manifests: readonly Digest[], format: IndexFormat): ReadonlyMap<Digest, string> {
    const entries = new Map<Digest, string>()
    try {
      const rows = this.#db
        .query<{ manifest: Digest; text: string }, [string]>(
          `SELECT manifest, ${format} AS text FROM entry WHERE manifest IN (SELECT value FROM json_each(?))`,
        )
        .all(JSON.stringify(manifests))
      for (const { manifest, text } of rows) entries.set(manifest, text)
    } catch (error) {
      this.#noteFault(error, 'catalog file cannot be read; what it had is fetched again')
    }
    for (const manifest of manifests) {
      const waiting = this.#waiting.entries.get(manifest) ?? this.#underWay?.batch.entries.get(manifest)
      if (waiting !== undefined) entries.set(manifest, waiting[format])
    }
    return entries
  }

  /**
   * Makes a complete listing the one the next start begins with, in one transaction with the records it needs. Others have
   * their turn in between, however much there is to write.
   */
  async saveListing({ listedAt, changes, isFirst }: SavedListing): Promise<void> {
    if (isFirst) {
      this.#waiting.forgetListing()
      this.#waiting.replacesTags = true
      this.#lacksListing = false
    }
    if (!this.#lacksListing) {
      for (const [repository, tags] of changes) this.#waiting.saveTags(repository, tags)
      this.#waiting.listedAt = listedAt
    }
    await this.#writing
    await this.#writeInSlices()
  }

  /** Forgets the meaning of `records` and the texts of `entries`; written with the next listing. */
  forget({ records, entries }: { readonly records: Iterable<Digest>; readonly entries: Iterable<Digest> }): void {
    for (const digest of records) this.#waiting.forgetRecord(digest)
    for (const manifest of entries) this.#waiting.forgetEntry(manifest)
  }

  close(): void {
    if (this.#isClosed) return
    // Nobody is kept waiting any more, and what is not written now is lost.
    this.#db.run(`PRAGMA busy_timeout = ${limits.catalogPatientMs}`)
    // What is under way, and what came after it.
    while (this.#step());
    if (this.#begin()) while (this.#step());
    this.#isClosed = true
    this.#db.close()
  }

  /** Writes all that waits, others having their turn in between, or nothing of it: then it goes on waiting. */
  #writeInSlices(): Promise<void> {
    const write = async () => {
      const slices = new TimeSlices()
      if (this.#begin()) while (this.#step()) if (slices.isOver()) await slices.next()
    }
    this.#writing ??= write().finally(() => {
      this.#writing = undefined
    })
    return this.#writing
  }

  /** Whether what waits is being written now. */
  #begin(): boolean {
    if (this.#isClosed || this.#underWay !== undefined) return false
    return this.#attempt(() => {
      this.#db.run('BEGIN IMMEDIATE')
      const batch = this.#waiting
      this.#underWay = { batch, rows: batch.write(this.#db) }
      this.#waiting = new CatalogBatch()
    })
  }

  /** Writes one more row, or makes an end of it; whether there is more. */
  #step(): boolean {
    const { rows } = this.#underWay ?? {}
    if (rows === undefined) return false
    const isWritten = this.#attempt(() => {
      if (rows.next().done !== true) return
      this.#db.run('COMMIT')
      this.#underWay = undefined
      this.#writesAt = BATCH_SIZE
      if (this.#fault !== undefined) this.#log.info('catalog file can be written again')
      this.#fault = undefined
    })
    return isWritten && this.#underWay !== undefined
  }

  /** Whether `work` was done; else nothing of what is under way is written, and it waits again. */
  #attempt(work: () => void): boolean {
    try {
      work()
      return true
    } catch (error) {
      this.#takeBack()
      // Another server is writing: this one does so the next time.
      if (/^SQLITE_BUSY/.test(diskFaultCode(error) ?? '')) {
        this.#writesAt = this.#waiting.records.size + BATCH_SIZE
        return false
      }
      this.#noteFault(error, 'catalog file cannot be written; a restart begins further back')
      return false
    }
  }

  /** Makes what is under way wait again. */
  #takeBack(): void {
    if (this.#db.inTransaction) this.#db.run('ROLLBACK')
    const { batch } = this.#underWay ?? {}
    this.#underWay = undefined
    batch?.append(this.#waiting)
    this.#waiting = batch ?? this.#waiting
  }

  #noteFault(error: unknown, message: string): void {
    const code = diskFaultCode(error)
    if (code === undefined) throw error
    if (this.#fault === undefined) this.#log.warn(message, errorFields(error))
    this.#fault = code
    if (!isUnusable(error) || this.#path === undefined) return
    // What is damaged in it does not mend. What was read from it comes again, and goes into another.
    this.#takeBack()
    setFileAside(this.#path, this.#log)
    this.#db.close()
    this.#db = this.#reopen(this.#path)
    // Of a listing it would have the changes alone, and the next start would take them for all there is.
    this.#waiting.forgetListing()
    this.#lacksListing = true
  }

  #reopen(path: string): Database {
    try {
      return openDatabase(path)
    } catch (error) {
      this.#log.debug('catalog file cannot be made anew', errorFields(error))
      this.#path = undefined
      return openMemoryDatabase()
    }
  }
}

function isUnusable(error: unknown): boolean {
  if (error instanceof ForeignFileError) return true
  return /^SQLITE_(?:CORRUPT|NOTADB|ERROR|MISMATCH|FORMAT)/.test(diskFaultCode(error) ?? '')
}

function setFileAside(path: string, log: Log): void {
  try {
    renameSync(path, `${path}.set-aside`)
    // What these two hold belongs to the file that was set aside and would damage the new one.
    for (const suffix of ['-wal', '-shm']) rmSync(`${path}${suffix}`, { force: true })
  } catch (error) {
    // Another server that found the same has done it.
    if (errorCode(error) !== 'ENOENT') log.warn('catalog file cannot be set aside', errorFields(error))
  }
}
