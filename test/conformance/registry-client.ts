/** The embedded registry as a client meets it: the compiled executable over a directory of its own, asked with plain fetch. */
import { afterAll, beforeAll, expect } from 'bun:test'
import { join } from 'node:path'
import { openServer, type Server } from '../stand/server.ts'
import { SPEC_CODES, type SpecCode } from '../stand/spec-codes.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { digestOf, type Manifest } from './manifest-content.ts'

export type Bytes = Uint8Array<ArrayBuffer>
type Body = string | Bytes | ReadableStream<Bytes>
type Method = 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'

export interface Sent {
  readonly body?: Body
  readonly headers?: Readonly<Record<string, string>>
}

const BLOB_TYPE = { 'content-type': 'application/octet-stream' }

export class RegistryClient {
  #server: Server | undefined
  /** The directory of the registry: each repository is an OCI image layout under it. */
  #root = ''
  #repositories = 0

  attach(server: Server, root: string): void {
    this.#server = server
    this.#root = root
  }

  /** `http://127.0.0.1:41234`. */
  get url(): string {
    return this.#server?.url ?? ''
  }

  get root(): string {
    return this.#root
  }

  /** A name that nothing was pushed to yet. */
  freshName(): string {
    this.#repositories += 1
    return `conformance/repository-${this.#repositories}`
  }

  /** `target` is a path, or an address that an answer gave. */
  send(method: Method, target: string, { body, headers }: Sent = {}): Promise<Response> {
    const request = {
      method,
      redirect: 'manual',
      ...(headers && { headers }),
      ...(body !== undefined && { body }),
    } as const
    return fetch(new URL(target, this.url), request)
  }

  get(target: string, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
    return this.send('GET', target, { headers })
  }

  head(target: string): Promise<Response> {
    return this.send('HEAD', target)
  }

  delete(target: string): Promise<Response> {
    return this.send('DELETE', target)
  }

  /** The body of a GET that is to succeed. */
  async getJson(target: string): Promise<unknown> {
    const answer = await this.get(target)
    expect(answer.status, target).toBe(200)
    return await answer.json()
  }

  /** One POST with all of it; what it is pullable by. */
  async pushBlob(repository: string, bytes: Bytes, digest = digestOf(bytes)): Promise<string> {
    const path = `/v2/${repository}/blobs/uploads/?digest=${digest}`
    const answer = await this.send('POST', path, { body: bytes, headers: BLOB_TYPE })
    await expectStatus(answer, 201)
    return `/v2/${repository}/blobs/${digest}`
  }

  /** The address that the upload goes on at. */
  async beginUpload(repository: string, query = ''): Promise<string> {
    const answer = await this.send('POST', `/v2/${repository}/blobs/uploads/${query}`)
    await expectStatus(answer, 202)
    return locationOf(answer)
  }

  /** `range` as in Content-Range: `0-1023`; without one the bytes belong wherever the upload is. */
  sendChunk(location: string, body: Body, range?: string): Promise<Response> {
    const headers = { ...BLOB_TYPE, ...(range !== undefined && { 'content-range': range }) }
    return this.send('PATCH', location, { body, headers })
  }

  /** The next address of the upload. */
  async pushChunk(location: string, body: Body, range?: string): Promise<string> {
    const answer = await this.sendChunk(location, body, range)
    await expectStatus(answer, 202)
    return locationOf(answer)
  }

  /** The closing PUT, with the last chunk or without. */
  finishUpload(location: string, digest: string, last?: Body, range?: string): Promise<Response> {
    const headers = { ...(last !== undefined && BLOB_TYPE), ...(range !== undefined && { 'content-range': range }) }
    const target = new URL(location, this.url)
    target.searchParams.set('digest', digest)
    return this.send('PUT', target.href, { headers, ...(last !== undefined && { body: last }) })
  }

  sendManifest(repository: string, reference: string, { bytes, mediaType }: Manifest, query = ''): Promise<Response> {
    const path = `/v2/${repository}/manifests/${reference}${query}`
    return this.send('PUT', path, { body: bytes, headers: { 'content-type': mediaType } })
  }

  /** By its digest unless a tag is given. */
  async pushManifest(repository: string, manifest: Manifest, reference = manifest.digest): Promise<Response> {
    const answer = await this.sendManifest(repository, reference, manifest)
    await expectStatus(answer, 201)
    return answer
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]()
    // Whatever a client sends: it is no fault of the program.
    expect(this.#server?.logLines().filter(({ level }) => level === 'error')).toEqual([])
  }
}

/** Registers the hooks that open one registry for the tests of a file. */
export function openRegistryClient(): RegistryClient {
  const owned = new AsyncDisposableStack()
  const client = new RegistryClient()
  beforeAll(async () => {
    const temp = owned.use(await openTempDir())
    const root = join(temp.path, 'registry')
    client.attach(await openServer({ args: ['--storage=local', `--storage-local-rootdir=${root}`] }), root)
    owned.use(client)
  })
  afterAll(() => owned.disposeAsync())
  return client
}

export async function expectStatus(answer: Response, status: number): Promise<void> {
  expect(answer.status, answer.status === status ? undefined : await answer.text()).toBe(status)
}

/** An error document of the spec's shape, with this code and no other. */
export async function expectError(answer: Response, status: number, code: SpecCode): Promise<void> {
  const text = await answer.text()
  expect(answer.status, text).toBe(status)
  expect(answer.headers.get('content-type')).toMatch(/^application\/json(?:;|$)/)
  expect(SPEC_CODES).toContain(code)
  expect(JSON.parse(text)).toEqual({ errors: [{ code, message: expect.stringMatching(/\S/) }] })
}

/** The address in the Location header, relative or absolute, as a whole one. */
export function locationOf(answer: Response): string {
  const location = answer.headers.get('location')
  expect(location).toBeString()
  return new URL(location ?? '', answer.url).href
}

/** A body without a length: fetch sends it with Transfer-Encoding: chunked. */
export function streamOf(...pieces: readonly Bytes[]): ReadableStream<Bytes> {
  return new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(piece)
      controller.close()
    },
  })
}
