/**
 * The authentication of a fake registry: Basic, or Bearer tokens with an endpoint that hands them out.
 *
 * It is strict where real registries are lenient: a credential that was never asked for, is not the one of the test or
 * is sent to the wrong place is a violation, because that is how passwords leak.
 */

import { declareSecret } from '../stand/secrets.ts'
import type { WireReply, WireRequest } from './broken-wire.ts'

export interface FakeCredentials {
  readonly user: string
  readonly password: string
}

export interface FakeAuthOptions extends FakeCredentials {
  readonly scheme: 'basic' | 'bearer'
  /** What the token endpoint says of the life of its tokens. Default 300. */
  readonly expiresInSeconds?: number
}

const service = 'fake registry'

export class FakeAuth {
  readonly #options: FakeAuthOptions
  readonly #origin: () => string
  /** Token → the scopes it was given for. An expired token stays known: sending it is no violation. */
  readonly #tokens = new Map<string, { readonly scopes: readonly string[]; expired: boolean }>()

  constructor(options: FakeAuthOptions, origin: () => string) {
    this.#options = options
    this.#origin = origin
  }

  /** Refuses every token given out so far. */
  expireTokens(): void {
    for (const token of this.#tokens.values()) token.expired = true
  }

  /** The 401 a request deserves, or `undefined` when it may pass. */
  refusal(request: WireRequest, scope: string | undefined, violate: (text: string) => void): WireReply | undefined {
    const { authorization } = request.headers
    if (this.#options.scheme === 'basic') {
      if (authorization === this.#basic()) return undefined
      if (authorization !== undefined) violate('an Authorization header that is not the one of this registry')
      return unauthorized('Basic realm="fake registry"')
    }
    if (authorization === undefined) return this.challenge(scope)
    const token = this.#tokens.get(authorization.replace(/^Bearer /, ''))
    if (token === undefined) {
      violate('an Authorization header with a token that was never given out')
      return this.challenge(scope)
    }
    if (token.expired) return this.challenge(scope, 'invalid_token')
    if (scope !== undefined && !token.scopes.includes(scope)) return this.challenge(scope, 'insufficient_scope')
    return undefined
  }

  /** A 401 with the challenge for `scope`. */
  challenge(scope: string | undefined, error?: string): WireReply {
    if (this.#options.scheme === 'basic') return unauthorized('Basic realm="fake registry"')
    const parameters = [`realm="${this.#origin()}/token"`, `service="${service}"`]
    if (scope !== undefined) parameters.push(`scope="${scope}"`)
    if (error !== undefined) parameters.push(`error="${error}"`)
    return unauthorized(`Bearer ${parameters.join(',')}`)
  }

  /** The answer of the token endpoint: a token for exactly the scopes asked for. */
  answerToken(request: WireRequest, violate: (text: string) => void): WireReply {
    const query = new URL(request.target, this.#origin()).searchParams
    if (query.get('service') !== service) violate(`a token request for the service ${query.get('service')}`)
    const { authorization } = request.headers
    if (authorization !== this.#basic()) {
      if (authorization !== undefined) violate('a token request with credentials that are not those of this registry')
      return unauthorized('Basic realm="tokens"')
    }
    const token = `T0ken-${this.#tokens.size}-${crypto.randomUUID()}`
    declareSecret(token)
    this.#tokens.set(token, { scopes: query.getAll('scope').flatMap((scope) => scope.split(' ')), expired: false })
    return {
      status: 200,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ token, expires_in: this.#options.expiresInSeconds ?? 300 }),
    }
  }

  #basic(): string {
    return `Basic ${Buffer.from(`${this.#options.user}:${this.#options.password}`).toString('base64')}`
  }
}

function unauthorized(challenge: string): WireReply {
  return {
    status: 401,
    headers: { 'content-type': 'application/json', 'www-authenticate': challenge },
    body: JSON.stringify({ errors: [{ code: 'UNAUTHORIZED', message: 'authentication required' }] }),
  }
}
