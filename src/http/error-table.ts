/**
 * Which answer each error is. The one place where a code becomes a status; what clients read is fixed here, except
 * where the error's own words are the answer (why there is no index yet, what is wrong with what was pushed).
 */

import type { ChartRepoError, ErrorCode } from '../errors.ts'

interface PublicError {
  readonly status: number
  /** One sentence; undefined for the error's own message. */
  readonly message: string | undefined
  /** Whether trying again helps, and the answer says when. */
  readonly temporary: boolean
  /** What the distribution spec 1.1 calls it ("Error codes"): a 4xx must have one of its codes. UNKNOWN when absent. */
  readonly ociCode?: string
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
  STORAGE_FULL: { status: 503, message: 'There is no room for this now.', temporary: true, ociCode: 'DENIED' },
  STORAGE_DENIED: {
    status: 500,
    message: 'The server cannot write to the directory of its registry; its log has the reason.',
    temporary: false,
    ociCode: 'DENIED',
  },
  LAYOUT_DAMAGED: {
    status: 500,
    message: 'What the server has of this is damaged; its log has the reason.',
    temporary: false,
  },
  NAME_INVALID: { status: 400, message: undefined, temporary: false, ociCode: 'NAME_INVALID' },
  REPOSITORY_UNKNOWN: {
    status: 404,
    message: 'There is no such repository.',
    temporary: false,
    ociCode: 'NAME_UNKNOWN',
  },
  MANIFEST_UNKNOWN: {
    status: 404,
    message: 'There is no such manifest.',
    temporary: false,
    ociCode: 'MANIFEST_UNKNOWN',
  },
  MANIFEST_INVALID: { status: 400, message: undefined, temporary: false, ociCode: 'MANIFEST_INVALID' },
  MANIFEST_TOO_LARGE: { status: 413, message: undefined, temporary: false, ociCode: 'SIZE_INVALID' },
  BLOB_UNKNOWN: { status: 404, message: 'There is no such blob.', temporary: false, ociCode: 'BLOB_UNKNOWN' },
  BLOB_IS_MANIFEST: {
    status: 400,
    message: 'This is a manifest, which is deleted as one.',
    temporary: false,
    ociCode: 'UNSUPPORTED',
  },
  DIGEST_INVALID: { status: 400, message: undefined, temporary: false, ociCode: 'DIGEST_INVALID' },
  UPLOAD_UNKNOWN: { status: 404, message: undefined, temporary: false, ociCode: 'BLOB_UPLOAD_UNKNOWN' },
  UPLOAD_INVALID: { status: 400, message: undefined, temporary: false, ociCode: 'BLOB_UPLOAD_INVALID' },
  UPLOAD_OUT_OF_ORDER: { status: 416, message: undefined, temporary: false, ociCode: 'BLOB_UPLOAD_INVALID' },
  TOO_MANY_UPLOADS: { status: 429, message: undefined, temporary: true, ociCode: 'TOOMANYREQUESTS' },
  TOO_MANY_TAGS: { status: 414, message: undefined, temporary: false, ociCode: 'UNSUPPORTED' },
  PAGE_INVALID: { status: 400, message: undefined, temporary: false, ociCode: 'UNSUPPORTED' },
} as const satisfies Record<ErrorCode, PublicError>

const DEFAULT_RETRY_AFTER_SECONDS = 5

/** Whether whoever runs the server has to know of it, and not only whoever asked. */
export function isServerFault({ code }: ChartRepoError): boolean {
  return table[code].status >= 500 && code !== 'SNAPSHOT_MISSING'
}

/** The answer to an error this program names. */
export function toErrorResponse(error: ChartRepoError): Response {
  const { status, message }: PublicError = table[error.code]
  return textResponse(status, message ?? `${error.message}.`, retryHeaders(error))
}

/** The same under /v2: the error document of the distribution spec 1.1 ("Error codes"). */
export function toRegistryErrorResponse(error: ChartRepoError): Response {
  const { status, message, ociCode = 'UNKNOWN' }: PublicError = table[error.code]
  return registryErrorResponse(status, ociCode, message ?? `${error.message}.`, retryHeaders(error))
}

export function registryErrorResponse(
  status: number,
  code: string,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return Response.json(
    { errors: [{ code, message }] },
    { status, headers: { 'cache-control': 'no-store', ...headers } },
  )
}

function retryHeaders({ code, retryAfterMs }: ChartRepoError): Readonly<Record<string, string>> {
  if (!table[code].temporary) return {}
  const seconds = retryAfterMs === undefined ? DEFAULT_RETRY_AFTER_SECONDS : Math.ceil(retryAfterMs / 1000)
  return { 'retry-after': String(seconds) }
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
