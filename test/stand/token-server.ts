/**
 * A token server as docker-registry's `auth: token` wants it: GET with Basic or nothing, POST as OAuth 2.
 * It grants what was asked for, without looking at who asks: what differs between users is no matter of these tests.
 */
import { createPrivateKey, type KeyObject, sign } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { ServerCertificate, Signer } from './certificates.ts'
import { declareSecret, encodeBasic, IDENTITY_TOKEN, OTHER_PASSWORD, OTHER_USER, PASSWORD, USER } from './secrets.ts'

export const TOKEN_SERVICE = 'test-registry'
export const TOKEN_ISSUER = 'test-token-server'

export interface TokenServerOptions {
  readonly signer: Signer
  /** HTTPS: clients refuse a plain realm of an HTTPS registry. */
  readonly certificate?: ServerCertificate
  /** Whether nobody in particular gets a token too. */
  readonly anonymous?: boolean
  /** `expires_in` and the life of the tokens; the registry grants a minute of grace on top. */
  readonly ttlSeconds?: number
}

export type Grant = 'anonymous' | 'basic' | 'refresh_token' | 'password' | 'refused'

export interface TokenCall {
  readonly method: string
  readonly grant: Grant
  readonly scopes: readonly string[]
}

export interface TokenServer extends AsyncDisposable {
  /** The realm: `http://127.0.0.1:41234/token`. */
  readonly realm: string
  /** Every request so far. */
  readonly calls: readonly TokenCall[]
  /** A token for `scopes` such as `repository:team/demo:pull,push` (a `registrytoken` of a credentials file). */
  issue(scopes: readonly string[]): string
}

export async function openTokenServer(options: TokenServerOptions): Promise<TokenServer> {
  const { anonymous = false, ttlSeconds = 300, certificate: served } = options
  const key = createPrivateKey(await readFile(options.signer.keyFile))
  const certificate = pemBody(await readFile(options.signer.certFile, 'utf8'))
  const calls: TokenCall[] = []

  const issue = (scopes: readonly string[]): string => {
    const now = Math.floor(Date.now() / 1000)
    const claims = {
      iss: TOKEN_ISSUER,
      sub: USER,
      aud: TOKEN_SERVICE,
      exp: now + ttlSeconds,
      nbf: now - 5,
      iat: now,
      jti: crypto.randomUUID(),
      access: scopes.map(parseScope),
    }
    const token = signToken(key, certificate, claims)
    declareSecret(token)
    return token
  }

  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    ...(served && { tls: { cert: Bun.file(served.certFile), key: Bun.file(served.keyFile) } }),
    async fetch(request) {
      const url = new URL(request.url)
      if (url.pathname !== '/token') return new Response('not here', { status: 404 })
      const asked = request.method === 'POST' ? await readForm(request) : url.searchParams
      const scopes = asked
        .getAll('scope')
        .flatMap((scope) => scope.split(' '))
        .filter((scope) => scope !== '')
      const grant = asked.get('service') === TOKEN_SERVICE ? judge(request, asked, anonymous) : 'refused'
      calls.push({ method: request.method, grant, scopes })
      if (grant === 'refused') return Response.json({ details: 'access denied' }, { status: 401 })
      const token = issue(scopes)
      return Response.json({ token, access_token: token, expires_in: ttlSeconds, issued_at: new Date().toISOString() })
    },
  })
  return {
    realm: `${served ? 'https' : 'http'}://127.0.0.1:${server.port}/token`,
    calls,
    issue,
    [Symbol.asyncDispose]: () => server.stop(true),
  }
}

const ACCOUNTS: readonly (readonly [string, string])[] = [
  [USER, PASSWORD],
  [OTHER_USER, OTHER_PASSWORD],
]

function judge(request: Request, asked: URLSearchParams, anonymous: boolean): Grant {
  if (request.method === 'POST') {
    if (asked.get('grant_type') === 'refresh_token') {
      return asked.get('refresh_token') === IDENTITY_TOKEN ? 'refresh_token' : 'refused'
    }
    const known = ACCOUNTS.some(([user, pass]) => asked.get('username') === user && asked.get('password') === pass)
    return asked.get('grant_type') === 'password' && known ? 'password' : 'refused'
  }
  const authorization = request.headers.get('authorization')
  if (authorization === null) return anonymous ? 'anonymous' : 'refused'
  const known = ACCOUNTS.some(([user, password]) => authorization === `Basic ${encodeBasic(user, password)}`)
  return known ? 'basic' : 'refused'
}

async function readForm(request: Request): Promise<URLSearchParams> {
  return new URLSearchParams(await request.text())
}

/** A name may contain a colon, so the type ends at the first one and the name at the last one. */
function parseScope(scope: string): { type: string; name: string; actions: string[] } {
  const first = scope.indexOf(':')
  const last = scope.lastIndexOf(':')
  return { type: scope.slice(0, first), name: scope.slice(first + 1, last), actions: scope.slice(last + 1).split(',') }
}

/** docker-registry finds the key in `x5c` and compares it with its `rootcertbundle`. */
function signToken(key: KeyObject, certificate: string, claims: object): string {
  const head = encodePart({ typ: 'JWT', alg: 'RS256', x5c: [certificate] })
  const signed = `${head}.${encodePart(claims)}`
  return `${signed}.${sign('sha256', Buffer.from(signed), key).toString('base64url')}`
}

function encodePart(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url')
}

function pemBody(pem: string): string {
  return pem.replaceAll(/-----[^-]+-----|\s/g, '')
}
