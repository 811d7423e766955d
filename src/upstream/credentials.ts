/**
 * Credentials files as Kubernetes and Docker write them (`kubernetes.io/dockerconfigjson`, docker/cli configfile).
 *
 * Faults name the entry and what is wrong with it, never what it says.
 */

import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { ChartRepoError } from '../errors.ts'
import { tryParseJson } from '../lib/json.ts'

export type Credential =
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  /** Exchanged for bearer tokens at the token server (OAuth2 refresh token). */
  | { readonly kind: 'identity'; readonly username: string; readonly token: string }
  /** Sent as it is. */
  | { readonly kind: 'registry'; readonly token: string }

export interface CredentialEntry {
  /** Host labels, each of which may be a glob: `*.example.com` matches exactly one label. */
  readonly hostname: string
  /** As written; none does not match 443. */
  readonly port: string
  /** With a leading slash; empty for the whole host. */
  readonly path: string
  readonly credential: Credential
}

const AuthEntry = Type.Object({
  auth: Type.Optional(Type.String()),
  username: Type.Optional(Type.String()),
  password: Type.Optional(Type.String()),
  identitytoken: Type.Optional(Type.String()),
  registrytoken: Type.Optional(Type.String()),
})
type AuthEntry = Static<typeof AuthEntry>

/** Docker pads old entries with them. */
const TRAILING_NULS = new RegExp(`${String.fromCharCode(0)}+$`)

const CredentialsFile = Type.Object({
  auths: Type.Record(Type.String(), Type.Unknown()),
  credsStore: Type.Optional(Type.Unknown()),
  credHelpers: Type.Optional(Type.Unknown()),
})

export interface ParsedCredentials {
  /** The most specific first (Kubernetes sorts keys in reverse string order). */
  readonly entries: readonly CredentialEntry[]
  /** Whether the file leaves credentials to helper programs, which are not asked. */
  readonly namesHelpers: boolean
}

/**
 * The entries of a file.
 * @throws CONFIG_INVALID whose message is the fault, such as `it is no JSON`, and never the content.
 */
export function parseCredentials(text: string): ParsedCredentials {
  const document = tryParseJson(text)
  if (document === undefined) throw invalid('it is no JSON')
  if (!Value.Check(CredentialsFile, document)) throw invalid('it has no object "auths"')
  const entries: CredentialEntry[] = []
  for (const [key, value] of Object.entries(document.auths)) {
    if (!Value.Check(AuthEntry, value)) throw invalid(`auths[${JSON.stringify(key)}] is no object of strings`)
    const credential = toCredential(key, value)
    if (credential !== undefined) entries.push({ ...parseKey(key), credential })
  }
  const order = ({ hostname, port, path }: CredentialEntry) => `${hostname}:${port}${path}`
  entries.sort((a, b) => (order(a) < order(b) ? 1 : -1))
  return { entries, namesHelpers: document.credsStore !== undefined || document.credHelpers !== undefined }
}

/**
 * The credential for `repository` on `host` (with its port, if any), as Kubernetes finds image pull secrets: equal
 * ports, as many labels, each label a glob, and the key's path a plain prefix of the repository.
 */
export function findCredential(
  entries: readonly CredentialEntry[],
  host: string,
  repository: string,
): Credential | undefined {
  const { hostname, port } = splitHost(canonicalHost(host))
  const path = `/${repository}`
  return entries.find(
    (entry) => entry.port === port && matchesHost(entry.hostname, hostname) && path.startsWith(entry.path),
  )?.credential
}

/** Docker Hub has one key in credentials files, whatever it is called elsewhere. */
export function canonicalHost(host: string): string {
  const name = host.toLowerCase()
  return name === 'docker.io' || name === 'registry-1.docker.io' ? 'index.docker.io' : name
}

function parseKey(key: string): Pick<CredentialEntry, 'hostname' | 'port' | 'path'> {
  const [host = '', ...segments] = key.replace(/^https?:\/\//i, '').split('/')
  const path = segments.join('/').replace(/^v[12](?:\/|$)/, '')
  return { ...splitHost(canonicalHost(host)), path: path === '' ? '' : `/${path}` }
}

function splitHost(host: string): { hostname: string; port: string } {
  const match = /^(\[[^\]]*\]|[^:]*)(?::(\d*))?$/.exec(host)
  const hostname = match?.[1] ?? host
  // One IPv6 address has many spellings.
  const isIpv6 = hostname.startsWith('[')
  return {
    hostname: isIpv6 ? (URL.parse(`http://${hostname}`)?.hostname ?? hostname) : hostname,
    port: match?.[2] ?? '',
  }
}

function matchesHost(pattern: string, hostname: string): boolean {
  if (!pattern.includes('*')) return pattern === hostname
  const globs = pattern.split('.')
  const labels = hostname.split('.')
  return globs.length === labels.length && globs.every((glob, i) => matchesGlob(glob, labels[i] ?? ''))
}

/** `*` stands for any characters of one label. */
function matchesGlob(glob: string, label: string): boolean {
  const [first = '', ...rest] = glob.split('*')
  if (rest.length === 0) return glob === label
  if (!label.startsWith(first)) return false
  const last = rest.pop() ?? ''
  let at = first.length
  for (const part of rest) {
    const found = label.indexOf(part, at)
    if (found < 0) return false
    at = found + part.length
  }
  return label.length - last.length >= at && label.endsWith(last)
}

/** undefined for an empty entry: Docker leaves those where a credential helper owns the host. */
function toCredential(key: string, entry: AuthEntry): Credential | undefined {
  const name = `auths[${JSON.stringify(key)}]`
  if (entry.registrytoken) return { kind: 'registry', token: singleLine(entry.registrytoken, name) }
  let { username = '', password = '' } = entry
  if (entry.auth) {
    const decoded = decodeAuth(entry.auth)
    if (decoded === undefined) throw invalid(`${name}.auth is not the base64 of user:password`)
    username = decoded.username
    password = decoded.password
  }
  if (entry.identitytoken) return { kind: 'identity', username, token: singleLine(entry.identitytoken, name) }
  if (username === '' && password === '') return undefined
  if (username === '') throw invalid(`${name} has a password but no username`)
  return { kind: 'basic', username, password }
}

/** Split at the first colon: passwords may hold more of them. */
function decodeAuth(auth: string): { username: string; password: string } | undefined {
  if (!/^[A-Za-z0-9+/_-]+={0,2}$/.test(auth.trim())) return undefined
  const text = Buffer.from(auth.trim(), 'base64').toString('utf8')
  const colon = text.indexOf(':')
  if (colon < 1) return undefined
  const password = text.slice(colon + 1)
  return { username: text.slice(0, colon), password: password.replace(TRAILING_NULS, '') }
}

function singleLine(token: string, name: string): string {
  if (/^[\x21-\x7e]+$/.test(token)) return token
  throw invalid(`${name} has a token that cannot be sent in a header`)
}

function invalid(fault: string): ChartRepoError {
  return new ChartRepoError('CONFIG_INVALID', fault)
}
