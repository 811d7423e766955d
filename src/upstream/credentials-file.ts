/**
 * The credentials file on disk, read again when it changes: secrets are rotated while the server runs.
 *
 * Kubernetes replaces mounted secrets by switching a link, so the file is looked at by its path. A file that breaks or
 * goes away while the server runs leaves the credentials that were read last in force, and says so once.
 */

import { statSync } from 'node:fs'
import { ChartRepoError, describeError } from '../errors.ts'
import { errorCode } from '../lib/error-code.ts'
import { readSmallFile } from '../lib/small-file.ts'
import { limits } from '../limits.ts'
import { errorFields, type Log } from '../telemetry/log.ts'
import { toLogText } from '../telemetry/redact.ts'
import { type Credential, type CredentialEntry, findCredential, parseCredentials } from './credentials.ts'

export interface CredentialSource {
  find(host: string, repository: string): Credential | undefined
  /** Changes whenever the credentials do, so that what was obtained with older ones is not used on. */
  readonly revision: number
}

export interface CredentialsFileOptions {
  readonly path: string
  /** An absent file is an error; without it, absence means that there are no credentials yet. */
  readonly required: boolean
  readonly log: Log
  /** Whether it has changed is looked at as often, at most. */
  readonly lookEveryMs?: number
}

/**
 * Reads the file for the first time.
 * @throws CONFIG_INVALID when it cannot be read or understood.
 */
export function openCredentialsFile(options: CredentialsFileOptions): CredentialSource {
  return new FileCredentials(options)
}

class FileCredentials implements CredentialSource {
  readonly #options: CredentialsFileOptions
  #entries: readonly CredentialEntry[] = []
  #stamp: string | undefined
  #revision = 0
  /** As of `performance.now()`. */
  #lookedAt = Number.NEGATIVE_INFINITY
  #fault: string | undefined

  constructor(options: CredentialsFileOptions) {
    this.#options = options
    const stamp = this.#readStamp()
    if (stamp !== undefined) this.#load(stamp)
    else if (options.required) throw this.#invalid('it does not exist')
  }

  get revision(): number {
    this.#reloadIfChanged()
    return this.#revision
  }

  find(host: string, repository: string): Credential | undefined {
    this.#reloadIfChanged()
    return findCredential(this.#entries, host, repository)
  }

  #reloadIfChanged(): void {
    const now = performance.now()
    if (now - this.#lookedAt < (this.#options.lookEveryMs ?? limits.credentialsLookMs)) return
    this.#lookedAt = now
    try {
      const stamp = this.#readStamp()
      if (stamp === undefined) {
        if (this.#stamp !== undefined) throw this.#invalid('it is gone')
      } else if (stamp !== this.#stamp) {
        this.#load(stamp)
        this.#options.log.info('credentials file read again', { file: this.#options.path })
      }
      this.#fault = undefined
    } catch (error) {
      const fields = errorFields(error)
      if (this.#fault !== fields['error']) {
        this.#options.log.error('credentials file cannot be used; the credentials read before stay in force', fields)
      }
      this.#fault = String(fields['error'])
    }
  }

  /** What tells one state of the file from the next. */
  #readStamp(): string | undefined {
    try {
      const stat = statSync(this.#options.path, { throwIfNoEntry: false })
      return stat && `${stat.mtimeMs} ${stat.ctimeMs} ${stat.size} ${stat.ino}`
    } catch (error) {
      throw this.#invalid(`it cannot be read (${errorCode(error)})`, error)
    }
  }

  #load(stamp: string): void {
    const { path, log } = this.#options
    const text = this.#attempt('it ', () => readSmallFile(path, limits.maxCredentialsBytes))
    const { entries, namesHelpers } = this.#attempt('', () => parseCredentials(text))
    if (namesHelpers) log.warn('credential helpers are not asked; only what "auths" has itself is used', { file: path })
    this.#entries = entries
    this.#stamp = stamp
    this.#revision += 1
  }

  #attempt<T>(subject: string, step: () => T): T {
    try {
      return step()
    } catch (error) {
      throw this.#invalid(`${subject}${describeError(error)}`)
    }
  }

  #invalid(fault: string, cause?: unknown): ChartRepoError {
    return new ChartRepoError(
      'CONFIG_INVALID',
      `Cannot use the credentials file ${toLogText(this.#options.path)}: ${fault}`,
      {
        cause,
      },
    )
  }
}
