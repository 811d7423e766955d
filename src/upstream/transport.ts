/**
 * The innermost link: one attempt over Bun's fetch, with its time limits and its bounds.
 *
 * Redirects are handed out, not followed, and bodies are never decompressed: digests are of the bytes as sent.
 */

import { ChartRepoError } from '../errors.ts'
import { readBoundedBody } from '../lib/bounded-body.ts'
import { errorCode } from '../lib/error-code.ts'
import { limits } from '../limits.ts'
import { describeCall, type HttpCall, type Send } from './http-call.ts'

export interface TransportOptions {
  readonly userAgent: string
  /** PEM of the certificate authorities that are trusted besides the platform's. */
  readonly caCertificates?: readonly string[]
  /** Takes any certificate. */
  readonly insecure?: boolean
  readonly attemptTimeoutMs?: number
  readonly stallTimeoutMs?: number
}

export function createTransport(options: TransportOptions): Send {
  const { attemptTimeoutMs = limits.attemptTimeoutMs, stallTimeoutMs = limits.stallTimeoutMs } = options
  const tls = {
    ...(options.caCertificates !== undefined && { ca: [...options.caCertificates] }),
    ...(options.insecure === true && { rejectUnauthorized: false }),
  }

  return async (call) => {
    const controller = new AbortController()
    const giveUp = () => controller.abort(timeout(describeCall(call), attemptTimeoutMs))
    const timer = setTimeout(giveUp, attemptTimeoutMs)
    try {
      const response = await fetch(call.url, {
        method: call.method,
        headers: { ...call.headers, 'user-agent': options.userAgent },
        ...(call.body !== undefined && { body: call.body }),
        signal: call.signal === undefined ? controller.signal : AbortSignal.any([call.signal, controller.signal]),
        redirect: 'manual',
        decompress: false,
        tls,
      })
      if (call.method === 'HEAD' || response.body === null) return response
      if (!response.ok) return await readErrorBody(response)
      if (call.maxBodyBytes === undefined) {
        return new Response(guardStream(response, controller, call, stallTimeoutMs), response)
      }
      const bytes = await readBoundedBody(response, call.maxBodyBytes, () => `the answer to ${describeCall(call)}`)
      return new Response(bytes, response)
    } catch (error) {
      throw toTransportError(error, call)
    } finally {
      clearTimeout(timer)
    }
  }
}

/** An answer whose body is only looked at for diagnostics: what is over the bound is cut off. */
async function readErrorBody(response: Response): Promise<Response> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of response.body ?? []) {
    chunks.push(chunk)
    length += chunk.byteLength
    if (length > limits.maxErrorBodyBytes) break
  }
  const bytes = Buffer.concat(chunks).subarray(0, limits.maxErrorBodyBytes)
  // 304 and its kin must not have a body, not even an empty one.
  return new Response(bytes.byteLength === 0 ? null : bytes, response)
}

/** The body, given up when it is silent for too long (time counts only while somebody is reading) or takes too long in all. */
function guardStream(
  response: Response,
  controller: AbortController,
  call: HttpCall,
  stallTimeoutMs: number,
): ReadableStream<Uint8Array> {
  const reader = (response.body ?? new Blob().stream()).getReader()
  const abort = (ms: number) => () => controller.abort(timeout(describeCall(call), ms))
  const bytes = Number(response.headers.get('content-length') ?? Number.POSITIVE_INFINITY)
  const neededMs = limits.streamStartMs + (bytes * 1000) / limits.minStreamBytesPerSecond
  const overallMs = Math.min(limits.streamTimeoutMs, neededMs || limits.streamTimeoutMs)
  const overall = setTimeout(abort(overallMs), overallMs)
  return new ReadableStream<Uint8Array>({
    async pull(stream) {
      const stall = setTimeout(abort(stallTimeoutMs), stallTimeoutMs)
      try {
        const { done, value } = await reader.read()
        if (!done) return stream.enqueue(value)
        clearTimeout(overall)
        stream.close()
      } catch (error) {
        clearTimeout(overall)
        // As in an attempt: the runtime's own words are not passed on.
        throw controller.signal.aborted ? controller.signal.reason : toTransportError(error, call)
      } finally {
        clearTimeout(stall)
      }
    },
    cancel: (reason) => {
      clearTimeout(overall)
      return reader.cancel(reason)
    },
  })
}

function timeout(what: string, ms: number): ChartRepoError {
  return new ChartRepoError('UPSTREAM_TIMEOUT', `${what} was not answered within ${Math.round(ms / 100) / 10} s`, {
    retryable: true,
  })
}

function brokenOff(what: string, code: string): ChartRepoError {
  return new ChartRepoError('UPSTREAM_UNAVAILABLE', `${what} failed: ${explain(code)}`, {
    runtimeCode: code,
    retryable: !PERMANENT.test(code),
  })
}

/** Failures that no second attempt mends: names, certificates, and addresses that fetch does not take. */
const PERMANENT = /CERT|TLS|SSL|UNABLE_TO|INVALID_URL|UnsupportedProtocol|UnsupportedProxyProtocol/i

/**
 * What fetch threw, by its code alone: its own messages quote addresses, and those of object storage carry signatures.
 * The caller's own abort reason is passed on as it is.
 */
function toTransportError(error: unknown, call: HttpCall): unknown {
  if (error instanceof ChartRepoError || call.signal?.aborted === true) return error
  return brokenOff(describeCall(call), errorCode(error))
}

function explain(code: string): string {
  if (/SELF_SIGNED|UNABLE_TO_GET_ISSUER|UNABLE_TO_VERIFY/.test(code)) {
    return `its certificate is not from a trusted authority (${code}); --storage-registry-ca-file names one`
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return 'its certificate is for another name'
  if (code === 'ECONNREFUSED' || code === 'ConnectionRefused') return 'nothing listens there (connection refused)'
  if (code === 'ENOTFOUND') return 'the host name does not resolve'
  if (code === 'ECONNRESET') return 'the connection was broken off'
  if (code === 'EPROTO') return 'the other side does not speak TLS (EPROTO)'
  return code === '' ? 'the answer is not HTTP' : code
}
