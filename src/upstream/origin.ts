/**
 * Where a registry is: its host as configured, and the scheme it speaks, found out when nobody said.
 *
 * Invariant: plain HTTP that was only guessed is never trusted with credentials unless the host is this machine,
 * because somebody in between can make HTTPS fail.
 */

import { ChartRepoError, describeError, isChartRepoError } from '../errors.ts'
import { limits } from '../limits.ts'
import { canonicalHost } from './credentials.ts'
import type { Send } from './http-call.ts'
import { isLoopbackHost } from './network-address.ts'

export interface RegistryAddress {
  /** `host[:port]` as configured. */
  readonly host: string
  /** undefined: HTTPS is tried, then HTTP. */
  readonly scheme: 'http' | 'https' | undefined
}

export interface RegistryOrigin {
  readonly url: URL
  readonly sendCredentials: boolean
  /** HTTPS failed and HTTP did not: that may be different in a while. */
  readonly guessed: boolean
}

/** Docker Hub's name and its API's host differ. */
export function apiHost(host: string): string {
  return canonicalHost(host) === canonicalHost('docker.io') ? 'registry-1.docker.io' : host
}

/**
 * The origin of a registry. Asks it only when the scheme was left open.
 * @throws UPSTREAM_UNAVAILABLE when neither scheme has a registry behind it.
 */
export async function findOrigin(send: Send, address: RegistryAddress): Promise<RegistryOrigin> {
  const host = apiHost(address.host)
  if (address.scheme !== undefined)
    return { url: new URL(`${address.scheme}://${host}`), sendCredentials: true, guessed: false }
  const https = new URL(`https://${host}`)
  const http = new URL(`http://${host}`)
  let refusal: unknown
  try {
    await ask(send, https)
    return { url: https, sendCredentials: true, guessed: false }
  } catch (error) {
    // A server that speaks TLS, only not with a certificate that is trusted, is no reason to go on without TLS.
    if (isCertificateFault(error)) throw error
    refusal = error
  }
  try {
    const response = await ask(send, http)
    const location = URL.parse(response.headers.get('location') ?? '', http)
    if (location?.protocol === 'https:' && location.hostname === http.hostname) throw refusal
    if (response.ok || response.status === 401 || response.status === 403) {
      return { url: http, sendCredentials: isLoopbackHost(http.hostname), guessed: true }
    }
    throw new ChartRepoError('UPSTREAM_UNAVAILABLE', `GET ${http.origin}/v2/ was answered ${response.status}`, {
      retryable: true,
    })
  } catch (error) {
    throw new ChartRepoError(
      'UPSTREAM_UNAVAILABLE',
      `No registry was found at ${address.host}: over HTTPS, ${describeError(refusal)}; over HTTP, ${describeError(error)}`,
      { cause: error, retryable: true },
    )
  }
}

function ask(send: Send, origin: URL): Promise<Response> {
  const url = new URL('/v2/', origin)
  // Everything waits for this, charts too.
  return send({ method: 'GET', url, maxBodyBytes: limits.maxErrorBodyBytes, purpose: 'chart' })
}

function isCertificateFault(error: unknown): boolean {
  return isChartRepoError(error) && /CERT|UNABLE_TO|SELF_SIGNED/.test(error.runtimeCode ?? '')
}
