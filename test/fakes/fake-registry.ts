/**
 * A strict OCI registry for tests: what a correct client may ask is answered from memory, everything else fails the
 * test that let it happen. Faults are scripted in front of the answers, and every call is kept for counting.
 *
 * Served are GET and HEAD of the distribution specification 1.1 plus /v2/_catalog. Violations (another method, a body,
 * a manifest asked for without Accept, credentials nobody asked for, an unknown path…) are collected while the test
 * runs and thrown at disposal, together with the scripted faults that never happened.
 */

import { openBrokenWire, type Wire, type WireAnswer, type WireReply, type WireRequest } from './broken-wire.ts'
import { FakeAuth, type FakeAuthOptions } from './fake-auth.ts'
import { mediaTypes } from './fake-chart.ts'
import { FakeStore } from './fake-store.ts'
import { type Answer, FaultScript, type LastingAnswer, type RequestMatch, type Script } from './fault-script.ts'

export interface Call {
  readonly method: string
  /** Path and query as sent. */
  readonly path: string
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  /** Milliseconds since the registry was opened. */
  readonly at: number
}

export interface FakeRegistryOptions {
  /** Lists come in pages of this many names, with a relative Link to the next. Default: all at once. */
  readonly pageSize?: number
  readonly requireAuth?: FakeAuthOptions
}

const namePattern = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*)*'
const tagsPath = new RegExp(`^/v2/(${namePattern})/tags/list$`)
const manifestPath = new RegExp(`^/v2/(${namePattern})/manifests/(sha256:[0-9a-f]{64}|\\w[\\w.-]{0,127})$`)
const blobPath = new RegExp(`^/v2/(${namePattern})/blobs/(sha256:[0-9a-f]{64})$`)
/** A client that leaves one of these out gets a converted manifest or a 404 from some registries. */
const wantedAccept = [mediaTypes.manifest, mediaTypes.index, mediaTypes.dockerManifest, mediaTypes.dockerList]

export class FakeRegistry extends FakeStore implements AsyncDisposable {
  /** Every call, in the order of arrival. */
  readonly calls: Call[] = []
  /** What no correct client does; disposal throws when it is not empty. */
  readonly violations: string[] = []
  readonly #options: FakeRegistryOptions
  readonly #openedAt = performance.now()
  readonly #faults = new FaultScript()
  readonly #auth: FakeAuth | undefined
  readonly #wire: Wire

  constructor(options: FakeRegistryOptions) {
    super()
    this.#options = options
    this.#wire = openBrokenWire({
      answer: (request) => this.#answer(request),
      onMalformed: (bytes) => {
        this.violations.push(`bytes that are no request: ${JSON.stringify(bytes)}`)
      },
    })
    this.#auth = options.requireAuth && new FakeAuth(options.requireAuth, () => this.origin)
  }

  /** `127.0.0.1:41234` */
  get host(): string {
    return this.#wire.host
  }

  get origin(): string {
    return this.#wire.origin
  }

  /** How many calls had this method and a path that matches. */
  count(method: string, path: RegExp): number {
    return this.calls.filter((call) => call.method === method && path.test(call.path)).length
  }

  /** The calls after the first `start`, as `GET /v2/…` lines. */
  callLines(start = 0): string[] {
    return this.calls.slice(start).map(({ method, path }) => `${method} ${path}`)
  }

  /** Queues answers that come before the healthy ones, each for one request that matches. */
  script(match: RequestMatch, ...answers: (Answer | LastingAnswer)[]): Script {
    return this.#faults.add(match, answers)
  }

  /** Refuses every token given out so far. */
  expireTokens(): void {
    this.#auth?.expireTokens()
  }

  /** Connections that tried HTTPS. */
  tlsAttempts(): number {
    return this.#wire.tlsAttempts()
  }

  /** Goes away: connections break, new ones are refused. */
  stop(): void {
    this.#wire.stop()
  }

  /** Comes back, on the same port, with what it had. */
  start(): void {
    this.#wire.start()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#wire[Symbol.asyncDispose]()
    const faults = [...this.violations, ...this.#faults.unused()]
    if (faults.length > 0) throw new Error(`The fake registry was not used as wanted:\n  ${faults.join('\n  ')}`)
  }

  async #answer(request: WireRequest): Promise<WireAnswer> {
    const { method, target, headers } = request
    this.calls.push({ method, path: target, headers, at: performance.now() - this.#openedAt })
    const violate = (text: string) => {
      this.violations.push(`${method} ${target}: ${text}`)
    }
    checkRequest(request, this.host, violate)
    const healthy = () => this.#healthyAnswer(request, violate)
    const scripted = this.#faults.take(method, target)
    return scripted === undefined ? healthy() : scripted(healthy)
  }

  #healthyAnswer(request: WireRequest, violate: (text: string) => void): WireReply {
    const [path = '', query = ''] = request.target.split('?', 2)
    if (path === '/token' && this.#auth !== undefined) return this.#auth.answerToken(request, violate)
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      violate('a method that changes something')
      return { status: 405, headers: { allow: 'GET, HEAD' } }
    }

    const [, tagsOf] = tagsPath.exec(path) ?? []
    const [, manifestOf, reference] = manifestPath.exec(path) ?? []
    const [, blobOf, digest] = blobPath.exec(path) ?? []
    const repository = tagsOf ?? manifestOf ?? blobOf
    const catalog = path === '/v2/_catalog'
    if (path !== '/v2/' && !catalog && repository === undefined) {
      violate('a path that no registry has')
      return { status: 404 }
    }

    const scope = catalog ? 'registry:catalog:*' : repository && `repository:${repository}:pull`
    if (this.#auth === undefined) {
      if (request.headers['authorization'] !== undefined) violate('an Authorization header nobody asked for')
    } else {
      const refusal = this.#auth.refusal(request, scope, violate)
      if (refusal !== undefined) return refusal
    }

    if (catalog) return this.#page(path, query, this.repositories(), (repositories) => ({ repositories }), violate)
    if (tagsOf !== undefined) {
      const tags = this.tags(tagsOf)
      if (tags === undefined) return ociError(404, 'NAME_UNKNOWN')
      return this.#page(path, query, tags, (page) => ({ name: tagsOf, tags: page }), violate)
    }
    if (manifestOf !== undefined && reference !== undefined) {
      for (const type of wantedAccept) {
        if (!request.headers['accept']?.includes(type)) violate(`Accept does not name ${type}`)
      }
      const manifest = this.manifest(manifestOf, reference)
      if (manifest === undefined) return ociError(404, 'MANIFEST_UNKNOWN')
      return content(manifest.bytes, manifest.mediaType, manifest.digest)
    }
    if (blobOf !== undefined && digest !== undefined) {
      const blob = this.blob(blobOf, digest)
      return blob === undefined ? ociError(404, 'BLOB_UNKNOWN') : content(blob, 'application/octet-stream', digest)
    }
    return json({})
  }

  #page(
    path: string,
    query: string,
    names: readonly string[],
    document: (page: readonly string[]) => unknown,
    violate: (text: string) => void,
  ): WireReply {
    const parameters = new URLSearchParams(query)
    for (const key of parameters.keys()) {
      if (key !== 'n' && key !== 'last') violate(`the query parameter ${key}`)
    }
    const last = parameters.get('last') ?? ''
    const asked = parameters.has('n') ? Number(parameters.get('n')) : Number.POSITIVE_INFINITY
    // ECR, Quay and distribution refuse more than they like; 1,000 is the most that all of them take.
    if (!(asked > 0) || (Number.isFinite(asked) && asked > 1000)) violate(`a page of ${parameters.get('n')}`)
    const size = Math.min(asked, this.#options.pageSize ?? Number.POSITIVE_INFINITY)
    const rest = names.filter((name) => name > last)
    const page = rest.slice(0, size)
    const reply = json(document(page))
    const end = page.at(-1)
    if (end === undefined || rest.length === page.length) return reply
    const next = `${path}?last=${encodeURIComponent(end)}&n=${size}`
    return { ...reply, headers: { ...reply.headers, link: `<${next}>; rel="next"` } }
  }
}

/** Opens a registry on a free port of the loopback address; empty, and open to everyone unless told otherwise. */
export async function openFakeRegistry(options: FakeRegistryOptions = {}): Promise<FakeRegistry> {
  return new FakeRegistry(options)
}

/** What is wrong with a request whatever it asks for. */
function checkRequest(request: WireRequest, host: string, violate: (text: string) => void): void {
  const { method, headers, body } = request
  if (headers['host'] !== host) violate(`the Host header "${headers['host']}"`)
  if ((method === 'GET' || method === 'HEAD') && body !== '') violate('a body')
  if (headers['cookie'] !== undefined) violate('a cookie')
}

function content(bytes: Uint8Array, mediaType: string, digest: string): WireReply {
  return { status: 200, headers: { 'content-type': mediaType, 'docker-content-digest': digest }, body: bytes }
}

function json(value: unknown): WireReply {
  return { status: 200, headers: { 'content-type': 'application/json' }, body: JSON.stringify(value) }
}

function ociError(status: number, code: string): WireReply {
  return { ...json({ errors: [{ code, message: `the fake registry answers ${code}` }] }), status }
}
