/**
 * The outermost link: follows redirects by hand, because registries send blobs from object storage.
 *
 * Invariant: a hop to another origin carries no credential and no header but those it needs, and never leads from
 * HTTPS to plain HTTP. Presigned addresses expire within minutes, so none is remembered.
 */

import { ChartRepoError } from '../errors.ts'
import { limits } from '../limits.ts'
import { redactUrl } from '../telemetry/redact.ts'
import { describeCall, type HttpCall, type Send } from './http-call.ts'

const REDIRECTS = new Set([301, 302, 303, 307, 308])

/** `send` must authenticate by origin alone, so that a hop elsewhere stays without credentials. */
export function withRedirects(send: Send): Send {
  return async (call) => {
    let hop = call
    for (let hops = 0; hops <= limits.maxRedirects; hops++) {
      const response = await send(hop)
      if (!REDIRECTS.has(response.status)) return response
      await response.body?.cancel()
      hop = followRedirect(hop, response.headers.get('location'))
    }
    throw malformed(call, `it was redirected more than ${limits.maxRedirects} times`)
  }
}

function followRedirect(call: HttpCall, location: string | null): HttpCall {
  const target = location === null ? null : URL.parse(location, call.url)
  if (target === null) throw malformed(call, 'it was redirected without a usable Location')
  if (target.protocol !== 'http:' && target.protocol !== 'https:') {
    throw malformed(call, `it was redirected to ${target.protocol}, HTTP is wanted`)
  }
  if (call.url.protocol === 'https:' && target.protocol === 'http:') {
    throw malformed(call, `it was redirected from HTTPS to ${redactUrl(target)}`)
  }
  target.username = ''
  target.password = ''
  const { scope, headers, ...rest } = call
  if (target.origin === call.url.origin) return { ...call, url: target }
  const kept = Object.entries(headers ?? {}).filter(([name]) => name === 'accept' || name === 'range')
  return { ...rest, headers: Object.fromEntries(kept), url: target }
}

function malformed(call: HttpCall, fault: string): ChartRepoError {
  return new ChartRepoError('UPSTREAM_MALFORMED', `Cannot follow ${describeCall(call)}: ${fault}`)
}
