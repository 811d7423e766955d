/** Makes this server the one that writes to a directory: at the start, or as soon as the directory can be written. */

import { join } from 'node:path'
import { ChartRepoError, isChartRepoError } from '../errors.ts'
import type { Log } from '../telemetry/log.ts'
import { DirectoryLock } from './directory-lock.ts'
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
  #lock: DirectoryLock | undefined
  #taking: Promise<void> | undefined

  constructor(options: DirectoryLeaseOptions) {
    this.#options = options
  }

  /** @throws CONFIG_INVALID when another server has the directory; a system error when it cannot be written */
  async take(): Promise<void> {
    const { root, uploads } = this.#options
    await uploads.makeDirectory()
    const lock = DirectoryLock.tryTake(join(root, LOCK_NAME))
    if (lock === undefined) throw new ChartRepoError('CONFIG_INVALID', 'is in use by another server')
    try {
      await uploads.clear()
    } catch (error) {
      lock.release()
      throw error
    }
    this.#lock = lock
  }

  /** What could not be taken at the start is tried again: the disk may have room by now. @throws STORAGE_DENIED */
  async ensure(): Promise<void> {
    if (this.#lock !== undefined) return
    const { root, log } = this.#options
    this.#taking ??= this.take()
      .then(() => log.info('directory of the registry can be written again', { dir: root }))
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
    this.#lock?.release()
  }
}
