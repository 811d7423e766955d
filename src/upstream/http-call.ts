/**
 * One request to a registry, and the shape every link of the client's chain has.
 *
 * The chain, from the outside in: redirects → authentication → retry → pool → log → transport. Each link is a function
 * from `Send` to `Send` in a file of its own and knows nothing of the others.
 */

import { ChartRepoError } from '../errors.ts'
import { tryParseJson } from '../lib/json.ts'
import { parseRetryAfter } from '../lib/retry-after.ts'
import { redactUrl } from '../telemetry/redact.ts'

/**
 * What an answer is needed for: a chart that somebody waits for, a list (catalog, tags), or a single tag of a crawl, its
 * manifest and config included. In this order calls get their place in the pool.
 */
export type CallPurpose = 'chart' | 'list' | 'tag'

export interface HttpCall {
  readonly method: 'GET' | 'HEAD' | 'POST'
  readonly url: URL
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** What a token has to allow, such as `repository:team/demo:pull`. */
  readonly scope?: string
  /**
   * With a bound the body is read whole within the attempt, so that a cut or stalled body is retried like any other
   * fault. Without one the body streams, and only the headers are covered by retries.
   */
  readonly maxBodyBytes?: number
  /** Default `tag`. */
  readonly purpose?: CallPurpose
  /** It was sent before, and not answered well. */
  readonly isRepeat?: boolean
  readonly signal?: AbortSignal | undefined
}

/** Sends a call. Resolves with any status; throws a ChartRepoError when there is no usable answer. */
export type Send = (call: HttpCall) => Promise<Response>

/** `GET https://host/v2/demo/tags/list`, for messages. */
export function describeCall(call: Pick<HttpCall, 'method' | 'url'>): string {
  return `${call.method} ${redactUrl(call.url)}`
}

/** The failure an answer other than 2xx stands for; its body has been read and is only searched for error codes. */
export async function toStatusError(call: HttpCall, response: Response): Promise<ChartRepoError> {
  const { status } = response
  const codes = (await readErrorCodes(response))?.join(', ') ?? ''
  const message = `${describeCall(call)} was answered ${status}${codes === '' ? '' : ` ${codes}`}`
  if (status === 401 || status === 403) return new ChartRepoError('UPSTREAM_DENIED', message, { status })
  if (status === 404) return new ChartRepoError('UPSTREAM_UNKNOWN', message, { status })
  if (status === 408 || status === 429 || status >= 500) {
    const retryAfterMs = parseRetryAfter(response.headers.get('retry-after'), Date.now())
    const options = { status, retryable: true, ...(retryAfterMs !== undefined && { retryAfterMs }) }
    return new ChartRepoError('UPSTREAM_UNAVAILABLE', message, options)
  }
  return new ChartRepoError('UPSTREAM_MALFORMED', message, { status })
}

/**
 * The codes of an OCI error document (distribution spec 1.1, "Error codes"), or undefined when the body is none: then
 * the answer may come from a proxy in between. Messages are left alone: they are foreign text and may echo anything.
 */
export async function readErrorCodes(response: Response): Promise<readonly string[] | undefined> {
  const document = tryParseJson(await response.text())
  if (typeof document !== 'object' || document === null || !('errors' in document)) return undefined
  if (!Array.isArray(document.errors)) return undefined
  return document.errors
    .map((error: unknown) => (typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined))
    .filter((code): code is string => typeof code === 'string' && /^[A-Z_]{1,64}$/.test(code))
    .slice(0, 5)
}
