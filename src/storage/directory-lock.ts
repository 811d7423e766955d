/**
 * Keeps a directory to one process. The lock is that of an SQLite file, because the runtime has no locks of its own: the
 * system takes it back when the process ends, however it ends.
 */

import { Database } from 'bun:sqlite'

export class DirectoryLock {
  readonly #db: Database

  private constructor(db: Database) {
    this.#db = db
  }

  /** undefined when another process holds it. @throws a system error when the file cannot be made */
  static tryTake(path: string): DirectoryLock | undefined {
    const db = new Database(path, { create: true })
    try {
      db.run('PRAGMA busy_timeout = 0')
      db.run('PRAGMA journal_mode = MEMORY')
      db.run('BEGIN EXCLUSIVE')
      return new DirectoryLock(db)
    } catch (error) {
      db.close()
      if (error instanceof Error && 'code' in error && error.code === 'SQLITE_BUSY') return undefined
      throw error
    }
  }

  release(): void {
    this.#db.close()
  }
}
