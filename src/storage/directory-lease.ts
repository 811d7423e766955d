/**
 * Makes this server the one that writes to a directory: at the start, as soon as the directory can be written, and again
 * when what shows it was removed.
 */

import { join } from 'node:path'
import { ChartRepoError, isChartRepoError } from '../errors.ts'
import type { Log } from '../telemetry/log.ts'
import { DirectoryLock } from './directory-lock.ts'
import { type FileStamp, stampOf } from './file-stamp.ts'
import type { UploadFiles } from './upload-files.ts'

export interface DirectoryLeaseOptions {
  readonly root: string
  /** What an earlier run has left of them is removed by whoever has the directory. */
  readonly uploads: UploadFiles
  readonly log: Log
}

const LOCK_NAME = '.lock'

export class DirectoryLease {
  readonly #options: DirectoryLeaseOptions
  /** undefined as long as the directory cannot be written. */
  #lock: { readonly held: DirectoryLock; readonly inode: FileStamp['inode'] | undefined } | undefined
  #taking: Promise<void> | undefined

  constructor(options: DirectoryLeaseOptions) {
    this.#options = options
  }

  /** @throws CONFIG_INVALID when another server has the directory; a system error when it cannot be written */
  async take(): Promise<void> {
    const { uploads } = this.#options
    await uploads.makeDirectory()
    const held = DirectoryLock.tryTake(this.#lockPath)
    if (held === undefined) throw new ChartRepoError('CONFIG_INVALID', 'is in use by another server')
    try {
      await uploads.clear()
    } catch (error) {
      held.release()
      throw error
    }
    this.#lock = { held, inode: stampOf(this.#lockPath)?.inode }
  }

  /**
   * What could not be taken at the start is tried again: the disk may have room by now. So is what somebody removed.
   * @throws STORAGE_DENIED
   */
  async ensure(): Promise<void> {
    if (this.#isTaken()) return
    const { root, log } = this.#options
    const wasTaken = this.#lock !== undefined
    this.#taking ??= this.#takeAgain()
      .then(() => {
        if (!wasTaken) log.info('directory of the registry can be written again', { dir: root })
        else log.warn('somebody removed files of the registry; uploads under way are lost', { dir: root })
      })
      .finally(() => {
        this.#taking = undefined
      })
    try {
      await this.#taking
    } catch (cause) {
      if (!isChartRepoError(cause, 'CONFIG_INVALID')) throw cause
      throw new ChartRepoError('STORAGE_DENIED', `The directory of the registry ${cause.message}`, { cause })
    }
  }

  release(): void {
    this.#lock?.held.release()
    this.#lock = undefined
  }

  /** Looked at each time: whoever finds no lock there takes the directory for free. */
  #isTaken(): boolean {
    if (this.#lock === undefined || stampOf(this.#lockPath)?.inode !== this.#lock.inode) return false
    return stampOf(this.#options.uploads.dir) !== undefined
  }

  async #takeAgain(): Promise<void> {
    this.release()
    await this.take()
  }

  get #lockPath(): string {
    return join(this.#options.root, LOCK_NAME)
  }
}
