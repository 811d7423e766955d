/**
 * Which answer each error is. The one place where a code becomes a status; what clients read is fixed here, except
 * where the error's own words are the answer (why there is no index yet).
 */

import type { ChartRepoError, ErrorCode } from '../errors.ts'

interface PublicError {
  readonly status: number
  /** One sentence; undefined for the error's own message. */
  readonly message: string | undefined
  /** Whether trying again helps, and the answer says when. */
  readonly temporary: boolean
}

const table = {
  CONFIG_INVALID: { status: 500, message: 'The server is not configured correctly.', temporary: false },
  CHART_UNKNOWN: { status: 404, message: 'There is no such chart file.', temporary: false },
  SNAPSHOT_MISSING: { status: 503, message: undefined, temporary: true },
  UPSTREAM_UNKNOWN: { status: 502, message: 'The registry does not have this.', temporary: true },
  UPSTREAM_DENIED: { status: 502, message: 'The registry refused to hand this out.', temporary: true },
  UPSTREAM_UNAVAILABLE: {
    status: 502,
    message: 'The registry cannot be reached and this is not cached.',
    temporary: true,
  },
  UPSTREAM_TIMEOUT: {
    status: 504,
    message: 'The registry did not answer in time and this is not cached.',
    temporary: true,
  },
  UPSTREAM_MALFORMED: { status: 502, message: 'The registry gave an answer that cannot be used.', temporary: true },
  DIGEST_MISMATCH: { status: 502, message: 'The registry sent other bytes than were promised.', temporary: true },
  BODY_TOO_LARGE: { status: 502, message: 'The registry sent more than can be taken.', temporary: false },
  STORAGE_FULL: { status: 503, message: 'There is no room to serve this now.', temporary: true },
} as const satisfies Record<ErrorCode, PublicError>

const DEFAULT_RETRY_AFTER_SECONDS = 5

/** The answer to an error this program names. */
export function toErrorResponse(error: ChartRepoError): Response {
  const { status, message, temporary }: PublicError = table[error.code]
  const seconds = error.retryAfterMs === undefined ? DEFAULT_RETRY_AFTER_SECONDS : Math.ceil(error.retryAfterMs / 1000)
  return textResponse(status, message ?? `${error.message}.`, temporary ? { 'retry-after': String(seconds) } : {})
}

/** One plain sentence. */
export function textResponse(
  status: number,
  sentence: string,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return new Response(`${sentence}\n`, {
    status,
    headers: { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store', ...headers },
  })
}
