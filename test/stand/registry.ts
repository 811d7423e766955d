/** A real registry: Debian's docker-registry (2.8.2) over a directory, stopped and started at will. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeServerCertificate, makeSigner } from './certificates.ts'
import { type Child, openChild, runOrThrow, waitForOutput } from './child.ts'
import { need } from './programs.ts'
import { encodeBasic, OTHER_PASSWORD, OTHER_USER, PASSWORD, USER } from './secrets.ts'
import { openTempDir } from './temp-dir.ts'
import { openTokenServer, TOKEN_ISSUER, TOKEN_SERVICE, type TokenServer } from './token-server.ts'

export interface RegistryOptions {
  /** htpasswd and token know `USER` and `OTHER_USER` of secrets.ts. */
  readonly auth?: 'none' | 'htpasswd' | 'token'
  readonly tls?: boolean
  readonly port?: number
  /** Where it keeps its content; a temporary directory when left out. */
  readonly dir?: string
  /** Manifests and blobs may be deleted (by digest); true when left out. */
  readonly delete?: boolean
  /** auth 'token': nobody in particular may read too. */
  readonly anonymous?: boolean
  /** auth 'token': life of its tokens. */
  readonly tokenTtlSeconds?: number
}

export interface Registry extends AsyncDisposable {
  /** `127.0.0.1:41234`; the same after stop and start. */
  readonly host: string
  /** `http://127.0.0.1:41234`. */
  readonly origin: string
  /** The private CA, with `tls`. */
  readonly caFile?: string
  readonly dir: string
  /** With auth 'token'. */
  readonly tokens?: TokenServer
  readonly auth: 'none' | 'htpasswd' | 'token'
  log(): string
  /** How many requests of a kind it has answered well, out of its access log: `countAnswered('GET', /^\/v2\/_catalog/)`. */
  countAnswered(method: string, path: RegExp): number
  /** A request with all the rights there are: how tests fill the registry and look into it. */
  fetch(path: string, init?: RequestInit): Promise<Response>
  stop(): Promise<void>
  start(): Promise<void>
}

export async function openRegistry(options: RegistryOptions = {}): Promise<Registry> {
  const { auth = 'none', tls = false } = options
  await using stack = new AsyncDisposableStack()
  const temp = stack.use(await openTempDir())
  const dir = options.dir ?? join(temp.path, 'content')
  const certificate = tls ? await makeServerCertificate(temp.path) : undefined
  const signer = auth === 'token' ? await makeSigner(temp.path) : undefined
  const tokens =
    signer &&
    stack.use(await openTokenServer({ signer, ...(certificate && { certificate }), ...pickTokenOptions(options) }))
  const configFile = join(temp.path, 'config.yml')
  const writeConfig = async (port: number): Promise<void> => {
    const config = {
      version: '0.1',
      log: { level: 'info' },
      storage: { filesystem: { rootdirectory: dir }, delete: { enabled: options.delete ?? true } },
      http: {
        addr: `127.0.0.1:${port}`,
        secret: 'not a credential: it signs upload sessions',
        ...(certificate && { tls: { certificate: certificate.certFile, key: certificate.keyFile } }),
      },
      ...(auth === 'htpasswd' && { auth: { htpasswd: { realm: 'test', path: await writeHtpasswd(temp.path) } } }),
      ...(tokens &&
        signer && {
          auth: {
            token: {
              realm: tokens.realm,
              service: TOKEN_SERVICE,
              issuer: TOKEN_ISSUER,
              rootcertbundle: signer.certFile,
            },
          },
        }),
    }
    // JSON is YAML.
    await writeFile(configFile, JSON.stringify(config))
  }

  let child: Child | undefined
  let port = options.port ?? 0
  let earlierLog = ''
  let earlierAccess = ''
  const stop = async (): Promise<void> => {
    if (child === undefined) return
    await child.stop()
    earlierLog += child.stderr()
    earlierAccess += child.stdout()
    child = undefined
  }
  const start = async (): Promise<void> => {
    if (child !== undefined) return
    await writeConfig(port)
    child = openChild([need('docker-registry'), 'serve', configFile])
    const match = await waitForOutput(child, 'stderr', /listening on (?:\S*:)(\d+)/)
    port = Number(match[1])
  }
  stack.defer(stop)
  await start()
  const origin = `${tls ? 'https' : 'http'}://127.0.0.1:${port}`
  const ca = certificate && Bun.file(certificate.caFile)
  const owned = stack.move()
  return {
    host: `127.0.0.1:${port}`,
    origin,
    ...(certificate && { caFile: certificate.caFile }),
    dir,
    ...(tokens && { tokens }),
    auth,
    log: () => earlierLog + (child?.stderr() ?? ''),
    countAnswered: (method, path) => countAnswered(earlierAccess + (child?.stdout() ?? ''), method, path),
    fetch: (path, init = {}) => {
      const headers = new Headers(init.headers)
      if (auth === 'htpasswd') headers.set('authorization', `Basic ${encodeBasic(USER, PASSWORD)}`)
      if (tokens) headers.set('authorization', `Bearer ${tokens.issue(scopesFor(path))}`)
      return fetch(origin + path, { ...init, headers, ...(ca && { tls: { ca } }) })
    },
    stop,
    start,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

function pickTokenOptions(options: RegistryOptions): { anonymous?: boolean; ttlSeconds?: number } {
  return {
    ...(options.anonymous !== undefined && { anonymous: options.anonymous }),
    ...(options.tokenTtlSeconds !== undefined && { ttlSeconds: options.tokenTtlSeconds }),
  }
}

/** docker-registry takes bcrypt only; cost 4 because a test checks it hundreds of times. */
async function writeHtpasswd(dir: string): Promise<string> {
  const path = join(dir, 'htpasswd')
  const line = async (user: string, password: string): Promise<string> => {
    const { stdout } = await runOrThrow([need('htpasswd'), '-niBC', '4', user], { stdin: password })
    return stdout.trim()
  }
  await writeFile(path, `${await line(USER, PASSWORD)}\n${await line(OTHER_USER, OTHER_PASSWORD)}\n`)
  return path
}

function scopesFor(path: string): string[] {
  const repository = /^\/v2\/(.+)\/(?:manifests|blobs|tags)\//.exec(path)?.[1]
  return repository === undefined ? ['registry:catalog:*'] : [`repository:${repository}:pull,push,delete`]
}

/** Lines such as `127.0.0.1 - - [23/Nov/2026:04:29:42 +0000] "GET /v2/_catalog?n=5 HTTP/1.1" 200 20 "" "Bun"`. */
function countAnswered(accessLog: string, method: string, path: RegExp): number {
  const requests = accessLog.matchAll(/"(\S+) (\S+) HTTP\/[\d.]+" 200 /g)
  return requests.filter(([, verb, target]) => verb === method && path.test(target ?? '')).toArray().length
}
