/**
 * Where a registry is: its host as configured, and the scheme it speaks, found out when nobody said.
 *
 * Invariant: plain HTTP that was only guessed is never trusted with credentials unless the host is this machine,
 * because somebody in between can make HTTPS fail.
 */

import { ChartRepoError, describeError } from '../errors.ts'
import { limits } from '../limits.ts'
import type { Send } from './http-call.ts'
import { errorCode } from './transport.ts'

export interface RegistryAddress {
  /** `host[:port]` as configured. */
  readonly host: string
  /** undefined: HTTPS is tried, then HTTP. */
  readonly scheme: 'http' | 'https' | undefined
}

export interface RegistryOrigin {
  readonly url: URL
  readonly sendCredentials: boolean
}

/** Docker Hub's name and its API's host differ. */
export function apiHost(host: string): string {
  return host === 'docker.io' || host === 'index.docker.io' ? 'registry-1.docker.io' : host
}

/**
 * The origin of a registry. Asks it only when the scheme was left open.
 * @throws UPSTREAM_UNAVAILABLE when neither scheme has a registry behind it.
 */
export async function findOrigin(send: Send, address: RegistryAddress): Promise<RegistryOrigin> {
  const host = apiHost(address.host)
  if (address.scheme !== undefined) return { url: new URL(`${address.scheme}://${host}`), sendCredentials: true }
  const https = new URL(`https://${host}`)
  const http = new URL(`http://${host}`)
  let refusal: unknown
  try {
    await ask(send, https)
    return { url: https, sendCredentials: true }
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
      return { url: http, sendCredentials: isLoopbackHost(http.hostname) }
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
  return send({ method: 'GET', url: new URL('/v2/', origin), maxBodyBytes: limits.maxErrorBodyBytes })
}

function isCertificateFault(error: unknown): boolean {
  const code = errorCode(error instanceof Error ? error.cause : undefined)
  return /CERT|UNABLE_TO|SELF_SIGNED/.test(code)
}

export function isLoopbackHost(hostname: string): boolean {
  const host = hostname.replace(/\.$/, '')
  return host === 'localhost' || host.endsWith('.localhost') || host === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(host)
}

const PRIVATE_IPV4 =
  /^(?:0|10|192\.168|169\.254|172\.(?:1[6-9]|2\d|3[01])|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7]))\.(?:\d+\.)*\d+$/

/** An address literal that the public Internet does not route: loopback, private, link-local, unspecified. */
export function isPrivateHost(hostname: string): boolean {
  const host = hostname.replace(/\.$/, '')
  return isLoopbackHost(host) || /^\[(?:::|f[cd]|fe[89ab])/i.test(host) || PRIVATE_IPV4.test(host)
}
