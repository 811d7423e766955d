/**
 * The link that answers challenges: Basic, and bearer tokens per repository.
 *
 * Invariant: an Authorization header is added to calls for the registry's own origin and to no other, and none at all
 * when the scheme was only guessed to be plain HTTP (`sendCredentials` false).
 */

import { LRUCache } from 'lru-cache'
import type { Clock } from '../lib/clock.ts'
import { SingleFlight } from '../lib/single-flight.ts'
import { limits } from '../limits.ts'
import { type Challenge, parseChallenges } from './challenge.ts'
import type { Credential } from './credentials.ts'
import type { CredentialSource } from './credentials-file.ts'
import type { HttpCall, Send } from './http-call.ts'
import { basicAuthorization, fetchToken } from './token-client.ts'

export interface AuthenticationOptions {
  readonly origin: URL
  /** As configured: what credentials files are searched for. */
  readonly host: string
  /** Where in the registry the catalog's credential is looked for. */
  readonly pathPrefix: string
  readonly credentials: CredentialSource
  readonly sendCredentials: boolean
  readonly clock: Clock
}

/** How the registry wants one kind of resource asked for; Harbor wants Basic for its catalog and tokens for the rest. */
type Method =
  | { readonly kind: 'basic' }
  | { readonly kind: 'bearer'; readonly realm: string; readonly service: string | undefined }

interface CachedToken {
  readonly authorization: string
  /** Milliseconds since the epoch, ahead of the real expiry. */
  readonly renewAt: number
}

/** Renewed when this share of the lifetime is over, so that no crawl runs into the expiry. */
const RENEW_AFTER = 0.85

export function withAuthentication(send: Send, options: AuthenticationOptions): Send {
  const authenticator = new Authenticator(send, options)
  return (call) => authenticator.send(call)
}

class Authenticator {
  readonly #next: Send
  readonly #options: AuthenticationOptions
  readonly #methods = new Map<string, Method>()
  readonly #tokens = new LRUCache<string, CachedToken>({ max: limits.maxTokens })
  readonly #flights = new SingleFlight<string, string>()
  #revision: number

  constructor(next: Send, options: AuthenticationOptions) {
    this.#next = next
    this.#options = options
    this.#revision = options.credentials.revision
  }

  async send(call: HttpCall): Promise<Response> {
    if (call.url.origin !== this.#options.origin.origin) return await this.#next(call)
    this.#forgetIfCredentialsChanged()
    const used = await this.#prepare(call)
    const response = await this.#next(authorize(call, used))
    if (response.status !== 401) return response
    const renewed = await this.#answer(call, parseChallenges(response.headers.get('www-authenticate')), used)
    return renewed === undefined ? response : await this.#next(authorize(call, renewed))
  }

  /** What is known to be wanted, so that only the first call for a kind of resource is challenged. */
  async #prepare(call: HttpCall): Promise<string | undefined> {
    const credential = this.#credentialFor(call)
    if (credential?.kind === 'registry') return `Bearer ${credential.token}`
    const method = this.#methods.get(kindOf(call))
    if (method === undefined) return undefined
    if (method.kind === 'basic') return credential?.kind === 'basic' ? basicAuthorization(credential) : undefined
    const cached = this.#tokens.get(keyOf(call))
    if (cached !== undefined && this.#options.clock.now() < cached.renewAt) return cached.authorization
    return await this.#fetchToken(call, method, credential, [])
  }

  /** The Authorization to try again with; undefined when there is nothing better than what was refused. */
  async #answer(
    call: HttpCall,
    challenges: readonly Challenge[],
    used: string | undefined,
  ): Promise<string | undefined> {
    const credential = this.#credentialFor(call)
    if (credential?.kind === 'registry') return undefined
    const bearer = challenges.find(({ scheme, parameters }) => scheme === 'bearer' && parameters.has('realm'))
    const known = this.#methods.get(kindOf(call))
    // Harbor answers a refused token with a Basic challenge: what was a bearer resource is asked for a new token.
    const method: Method | undefined =
      bearer !== undefined
        ? { kind: 'bearer', realm: bearer.parameters.get('realm') ?? '', service: bearer.parameters.get('service') }
        : known?.kind === 'bearer' && used !== undefined
          ? known
          : challenges.some(({ scheme }) => scheme === 'basic')
            ? { kind: 'basic' }
            : undefined
    if (method === undefined) return undefined
    this.#methods.set(kindOf(call), method)
    if (method.kind === 'basic') {
      const authorization = credential?.kind === 'basic' ? basicAuthorization(credential) : undefined
      return authorization === used ? undefined : authorization
    }
    const cached = this.#tokens.get(keyOf(call))
    // Another call may have renewed the token while this one was under way.
    if (cached !== undefined && cached.authorization !== used) return cached.authorization
    this.#tokens.delete(keyOf(call))
    return await this.#fetchToken(call, method, credential, challengedScopes(bearer, call))
  }

  #fetchToken(
    call: HttpCall,
    method: Extract<Method, { kind: 'bearer' }>,
    credential: Exclude<Credential, { kind: 'registry' }> | undefined,
    challenged: readonly string[],
  ): Promise<string> {
    const { origin, clock } = this.#options
    const key = keyOf(call)
    const revision = this.#revision
    const { purpose = 'tag' } = call
    return this.#flights.run(`${revision} ${purpose} ${key}`, async () => {
      const scopes = [...new Set([...challenged, ...(call.scope === undefined ? [] : [call.scope])])]
      // Not tied to the caller's signal: others wait for the same token.
      const { realm, service } = method
      const token = await fetchToken(this.#next, origin, { realm, service, scopes, credential, purpose })
      const authorization = `Bearer ${token.value}`
      const renewAt = clock.now() + token.lifetimeSeconds * 1000 * RENEW_AFTER
      // A token for credentials that were replaced meanwhile serves the call that asked for it and no other.
      if (revision === this.#revision) this.#tokens.set(key, { authorization, renewAt })
      return authorization
    })
  }

  #credentialFor(call: HttpCall): Credential | undefined {
    const { sendCredentials, credentials, host, pathPrefix } = this.#options
    if (!sendCredentials) return undefined
    return credentials.find(host, repositoryOf(call.scope) ?? pathPrefix)
  }

  #forgetIfCredentialsChanged(): void {
    const { revision } = this.#options.credentials
    if (revision === this.#revision) return
    this.#revision = revision
    this.#methods.clear()
    this.#tokens.clear()
  }
}

function authorize(call: HttpCall, authorization: string | undefined): HttpCall {
  return authorization === undefined ? call : { ...call, headers: { ...call.headers, authorization } }
}

/** `repository` or `registry`: registries may want them asked for in different ways. */
function kindOf(call: HttpCall): string {
  return call.scope?.split(':', 1)[0] ?? ''
}

function keyOf(call: HttpCall): string {
  return call.scope ?? ''
}

function repositoryOf(scope: string | undefined): string | undefined {
  return /^repository:(.*):[^:]*$/.exec(scope ?? '')?.[1]
}

/** The scopes a challenge asks for, when they are for the resource at hand: ACR wants more than `pull` for tag lists. */
function challengedScopes(bearer: Challenge | undefined, call: HttpCall): readonly string[] {
  const resource = call.scope?.slice(0, call.scope.lastIndexOf(':') + 1)
  const scopes = bearer?.parameters.get('scope')?.split(' ') ?? []
  return resource === undefined ? scopes : scopes.filter((scope) => scope.startsWith(resource))
}
