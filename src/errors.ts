/**
 * The one error class of the product and its closed set of codes.
 *
 * A code says what is wrong, never who noticed it. Domain code throws these; only `http/error-table.ts` turns a code
 * into a status, and a new code does not compile until it is mapped there.
 */

export type ErrorCode =
  /** An option, a configuration file or a credentials file says something that cannot be used. */
  | 'CONFIG_INVALID'
  /** No chart version has this file name. */
  | 'CHART_UNKNOWN'
  /** No complete snapshot exists yet, so nothing can be answered without lying. */
  | 'SNAPSHOT_MISSING'
  /** The registry does not have what was asked for, and said so in the registry's own terms. */
  | 'UPSTREAM_UNKNOWN'
  /** The registry refused: 401 or 403 after authentication was tried. */
  | 'UPSTREAM_DENIED'
  /** The registry could not be reached, broke the connection, or answered 429 or 5xx. */
  | 'UPSTREAM_UNAVAILABLE'
  /** The registry did not answer within the time limit. */
  | 'UPSTREAM_TIMEOUT'
  /** The registry answered something that is not what the protocol says. */
  | 'UPSTREAM_MALFORMED'
  /** Bytes do not hash to the digest, or do not have the size, that was promised. */
  | 'DIGEST_MISMATCH'
  /** A body is larger than its bound in limits.ts. */
  | 'BODY_TOO_LARGE'
  /** The disk is full: of the cache also when it is read-only, and the bytes do not fit into memory either. */
  | 'STORAGE_FULL'
  /** The directory of the embedded registry cannot be used: permissions, a read-only or failing disk, or another server has it. */
  | 'STORAGE_DENIED'
  /** A repository's directory holds something that is no image layout, or that cannot be read. */
  | 'LAYOUT_DAMAGED'
  /** What was given for a repository or a tag is no such name, or one that the embedded registry cannot keep. */
  | 'NAME_INVALID'
  /** The embedded registry has no such repository. */
  | 'REPOSITORY_UNKNOWN'
  /** The repository has no such manifest. */
  | 'MANIFEST_UNKNOWN'
  /** What was pushed as a manifest is none, or not of the type it was called. */
  | 'MANIFEST_INVALID'
  /** A manifest larger than its bound in limits.ts was pushed. */
  | 'MANIFEST_TOO_LARGE'
  /** The repository has no such blob. */
  | 'BLOB_UNKNOWN'
  /** What is to be deleted as a blob is a manifest that tags or digests lead to. */
  | 'BLOB_IS_MANIFEST'
  /** What was given for a digest is none, or not that of the bytes that were pushed with it. */
  | 'DIGEST_INVALID'
  /** There is no such upload: it was finished, cancelled, given up, or begun before the server started. */
  | 'UPLOAD_UNKNOWN'
  /** The upload cannot take this: it is in use by another request, its body broke off, or what it says of itself is no use. */
  | 'UPLOAD_INVALID'
  /** A chunk does not begin where the one before ended. */
  | 'UPLOAD_OUT_OF_ORDER'
  /** There are as many uploads as there may be. */
  | 'TOO_MANY_UPLOADS'
  /** One push by digest was to set more tags than one push may. */
  | 'TOO_MANY_TAGS'
  /** A number of entries to list was asked for that is none. */
  | 'PAGE_INVALID'

export interface ErrorOptions {
  readonly cause?: unknown
  /** Trying the same again later can succeed. Default false. */
  readonly retryable?: boolean
  /** What the other side asked to wait, in milliseconds. */
  readonly retryAfterMs?: number
  /** HTTP status of the registry, when there was one. */
  readonly status?: number
  /** What the runtime called the failure, such as `ECONNRESET`. */
  readonly runtimeCode?: string
}

/**
 * Any failure this program names. `message` is written for the operator's log: action, wanted, actual. It carries no
 * credential and no query string, because everything put into it was redacted where it was made.
 */
export class ChartRepoError extends Error {
  readonly code: ErrorCode
  readonly retryable: boolean
  readonly retryAfterMs: number | undefined
  readonly status: number | undefined
  readonly runtimeCode: string | undefined

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, { cause: options.cause })
    this.name = 'ChartRepoError'
    this.code = code
    this.retryable = options.retryable ?? false
    this.retryAfterMs = options.retryAfterMs
    this.status = options.status
    this.runtimeCode = options.runtimeCode
  }
}

/** Whether `error` is a ChartRepoError, and one of `codes` when any are given. */
export function isChartRepoError(error: unknown, ...codes: readonly ErrorCode[]): error is ChartRepoError {
  return error instanceof ChartRepoError && (codes.length === 0 || codes.includes(error.code))
}

/** One line that describes any thrown value. */
export function describeError(error: unknown): string {
  if (error instanceof Error) return error.message === '' ? error.name : error.message
  return String(error)
}
