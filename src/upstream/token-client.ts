/**
 * Asks a token server for bearer tokens (distribution `docs/content/spec/auth/{token,oauth}.md`).
 *
 * Invariant: a token server is only believed where the registry could have sent the credentials itself: over HTTPS
 * when the registry is on HTTPS, and not at a private address that the registry is not at itself.
 */

import { type Static, Type } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { ChartRepoError } from '../errors.ts'
import { tryParseJson } from '../lib/json.ts'
import { limits } from '../limits.ts'
import { redactUrl } from '../telemetry/redact.ts'
import type { Credential } from './credentials.ts'
import { type CallPurpose, describeCall, type HttpCall, type Send, toStatusError } from './http-call.ts'
import { isLinkLocalHost, isPrivateHost } from './network-address.ts'

const TokenAnswer = Type.Object({
  token: Type.Optional(Type.String()),
  access_token: Type.Optional(Type.String()),
  expires_in: Type.Optional(Type.Unknown()),
})
const isTokenAnswer = TypeCompiler.Compile(TokenAnswer)

export interface TokenRequest {
  readonly realm: string
  readonly service: string | undefined
  /** One entry per resource, the most wanted first: some servers look at the first alone. */
  readonly scopes: readonly string[]
  /** Without one the token is an anonymous one. */
  readonly credential: Exclude<Credential, { kind: 'registry' }> | undefined
  /** That of the call that needs the token. */
  readonly purpose: CallPurpose
}

export interface BearerToken {
  readonly value: string
  /** From its arrival on. */
  readonly lifetimeSeconds: number
}

/** The protocol's default, and its least: shorter lifetimes are not to be trusted (token.md, `expires_in`). */
const DEFAULT_LIFETIME_SECONDS = 60
const CLIENT_ID = 'oci-chartrepo'

/**
 * One token. `send` is the chain without authentication.
 * @throws UPSTREAM_DENIED when the server refuses the credential, UPSTREAM_MALFORMED for a realm that is not trusted.
 */
export async function fetchToken(send: Send, registryOrigin: URL, request: TokenRequest): Promise<BearerToken> {
  const realm = parseRealm(request.realm, registryOrigin)
  const call = request.credential?.kind === 'identity' ? toExchange(realm, request) : toQuery(realm, request)
  const response = await send(call)
  if (!response.ok) throw await toStatusError(call, response)
  return parseAnswer(await response.text(), call)
}

function parseRealm(text: string, registryOrigin: URL): URL {
  const realm = URL.parse(text)
  if (realm === null || (realm.protocol !== 'https:' && realm.protocol !== 'http:')) {
    throw malformed('names a token server that is no http(s) address')
  }
  realm.username = ''
  realm.password = ''
  if (registryOrigin.protocol === 'https:' && realm.protocol === 'http:') {
    throw malformed(`is on HTTPS but names a token server on plain HTTP, ${redactUrl(realm)}`)
  }
  const isOtherHost = realm.hostname !== registryOrigin.hostname
  const isOutside = isPrivateHost(realm.hostname) && !isPrivateHost(registryOrigin.hostname)
  if (isOtherHost && (isOutside || isLinkLocalHost(realm.hostname))) {
    throw malformed(`names a token server at a private address, ${redactUrl(realm)}`)
  }
  return realm
}

function toQuery(realm: URL, request: TokenRequest): HttpCall {
  const url = new URL(realm)
  if (request.service !== undefined) url.searchParams.set('service', request.service)
  for (const scope of request.scopes) url.searchParams.append('scope', scope)
  const headers: Record<string, string> = { accept: 'application/json' }
  if (request.credential?.kind === 'basic') headers['authorization'] = basicAuthorization(request.credential)
  return { method: 'GET', url, headers, maxBodyBytes: limits.maxTokenBytes, purpose: request.purpose }
}

function toExchange(realm: URL, request: TokenRequest): HttpCall {
  const form = new URLSearchParams({ grant_type: 'refresh_token', client_id: CLIENT_ID })
  if (request.credential?.kind === 'identity') form.set('refresh_token', request.credential.token)
  if (request.service !== undefined) form.set('service', request.service)
  if (request.scopes.length > 0) form.set('scope', request.scopes.join(' '))
  const headers = { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' }
  return {
    method: 'POST',
    url: realm,
    headers,
    body: form.toString(),
    maxBodyBytes: limits.maxTokenBytes,
    purpose: request.purpose,
  }
}

export function basicAuthorization(credential: { readonly username: string; readonly password: string }): string {
  return `Basic ${Buffer.from(`${credential.username}:${credential.password}`).toString('base64')}`
}

function parseAnswer(text: string, call: HttpCall): BearerToken {
  const answer = tryParseJson(text)
  const value = isTokenAnswer.Check(answer) ? pickToken(answer) : undefined
  // A token is sent in a header: anything but printable ASCII would break the request or smuggle another header in.
  if (value === undefined || !/^[\x21-\x7e]+$/.test(value)) {
    throw malformed(`has a token server whose answer to ${describeCall(call)} holds no usable token`)
  }
  const lifetime = isTokenAnswer.Check(answer) ? answer.expires_in : undefined
  // Some servers send it as text.
  const seconds = typeof lifetime === 'number' || typeof lifetime === 'string' ? Number(lifetime) : 0
  return { value, lifetimeSeconds: Math.max(seconds || 0, DEFAULT_LIFETIME_SECONDS) }
}

function pickToken(answer: Static<typeof TokenAnswer>): string | undefined {
  return answer.access_token || answer.token || undefined
}

function malformed(fault: string): ChartRepoError {
  return new ChartRepoError('UPSTREAM_MALFORMED', `Cannot authenticate: the registry ${fault}`)
}
