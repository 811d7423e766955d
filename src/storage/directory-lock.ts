/**
 * Keeps a directory to one process. The lock is that of an SQLite file, because the runtime has no locks of its own: the
 * system takes it back when the process ends, however it ends.
 */

import { Database } from 'bun:sqlite'
import { accessSync, constants } from 'node:fs'
import { errorCode } from '../lib/error-code.ts'

export class DirectoryLock {
  readonly #db: Database

  private constructor(db: Database) {
    this.#db = db
  }

  /** undefined when another process holds it. @throws a system error when the file cannot be made or written */
  static tryTake(path: string): DirectoryLock | undefined {
    const db = new Database(path, { create: true })
    try {
      db.run('PRAGMA busy_timeout = 0')
      db.run('PRAGMA journal_mode = MEMORY')
      db.run('BEGIN EXCLUSIVE')
      // Of a file that may only be read SQLite takes a lock that others can take too, and says nothing.
      db.run('PRAGMA user_version = 1')
      return new DirectoryLock(db)
    } catch (error) {
      db.close()
      if (errorCode(error) !== 'SQLITE_BUSY') throw error
      // Who cannot write is in nobody's way.
      accessSync(path, constants.W_OK)
      return undefined
    }
  }

  release(): void {
    this.#db.close()
  }
}
