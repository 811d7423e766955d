/**
 * The configured registry as one thing: finds its origin, puts the client's chain together and keeps to the view that
 * was asked for (a path, or a list of repositories).
 */

import { ChartRepoError, describeError } from '../errors.ts'
import type { Clock } from '../lib/clock.ts'
import { SingleFlight } from '../lib/single-flight.ts'
import { limits } from '../limits.ts'
import type { Digest } from '../oci/digest.ts'
import type { Descriptor } from '../oci/manifest.ts'
import type { CallOptions, ChartRegistry, FetchedManifest, Listing } from '../oci/ports.ts'
import { isUnderPrefix } from '../oci/reference.ts'
import type { Log } from '../telemetry/log.ts'
import { withAuthentication } from './authentication.ts'
import { withCallLog } from './call-log.ts'
import type { CredentialSource } from './credentials-file.ts'
import type { Send } from './http-call.ts'
import { HttpRegistry } from './http-registry.ts'
import { findOrigin, type RegistryAddress } from './origin.ts'
import { withRedirects } from './redirects.ts'
import { withRequestPool } from './request-pool.ts'
import { withRetry } from './retry.ts'
import { createTransport, type TransportOptions } from './transport.ts'

export interface RemoteRegistryOptions {
  readonly address: RegistryAddress
  /** Only repositories at or under this path are in view; empty for all. */
  readonly pathPrefix: string
  /** Full names, or paths that end in `/*`; empty to list whatever the registry has. */
  readonly repositories: readonly string[]
  readonly credentials: CredentialSource
  readonly transport: TransportOptions
  readonly clock: Clock
  readonly log: Log
}

export class RemoteRegistry implements ChartRegistry {
  readonly #options: RemoteRegistryOptions
  readonly #warned = new Set<string>()
  readonly #connecting = new SingleFlight<'connect', HttpRegistry>()
  /** One for the life of the client, so that the pool in it bounds everything and keeps what it found out. */
  readonly #attempt: Send
  #connected: { readonly registry: HttpRegistry; readonly until: number } | undefined

  constructor(options: RemoteRegistryOptions) {
    this.#options = options
    this.#attempt = withRequestPool(withCallLog(createTransport(options.transport), options.log), options.clock)
  }

  async listRepositories(options?: CallOptions): Promise<Listing> {
    const { repositories, pathPrefix } = this.#options
    const named = repositories.filter((entry) => !entry.endsWith('*'))
    const paths = repositories.filter((entry) => entry.endsWith('*')).map((entry) => entry.slice(0, -1))
    if (repositories.length > 0 && paths.length === 0) return { names: [...new Set(named)], incomplete: undefined }
    const catalog = await this.#listCatalog(options)
    const inView = catalog.names.filter(
      (name) => isUnderPrefix(name, pathPrefix) && (paths.length === 0 || paths.some((path) => name.startsWith(path))),
    )
    if (inView.length === 0 && catalog.incomplete === undefined) {
      this.#warnOnce(
        'nothing that the registry lists is in view',
        paths.map((path) => `${path}*`).join(' ') || pathPrefix,
      )
    }
    return { names: [...new Set([...named, ...inView])], incomplete: catalog.incomplete }
  }

  async listTags(repository: string, options?: CallOptions): Promise<Listing | undefined> {
    const tags = await (await this.#connect()).listTags(repository, options)
    if (tags === undefined && this.#options.repositories.includes(repository)) {
      this.#warnOnce('the registry does not have a repository that was named', repository)
    }
    return tags
  }

  async resolveTag(repository: string, tag: string, options?: CallOptions): Promise<Digest | undefined> {
    return await (await this.#connect()).resolveTag(repository, tag, options)
  }

  async readManifest(
    repository: string,
    reference: string,
    options?: CallOptions,
  ): Promise<FetchedManifest | undefined> {
    return await (await this.#connect()).readManifest(repository, reference, options)
  }

  async readBlob(
    repository: string,
    blob: Descriptor,
    options: CallOptions & { readonly maxBytes: number },
  ): Promise<Uint8Array | undefined> {
    return await (await this.#connect()).readBlob(repository, blob, options)
  }

  async openBlob(
    repository: string,
    blob: Pick<Descriptor, 'digest' | 'size'>,
    options?: CallOptions,
  ): Promise<ReadableStream<Uint8Array> | undefined> {
    return await (await this.#connect()).openBlob(repository, blob, options)
  }

  /** Most likely a slip of whoever configured this: worth a line, not one per refresh. */
  #warnOnce(message: string, view: string): void {
    if (this.#warned.has(`${message} ${view}`)) return
    this.#warned.add(`${message} ${view}`)
    this.#options.log.warn(message, { view })
  }

  async #listCatalog(options?: CallOptions): Promise<Listing> {
    try {
      return await (await this.#connect()).listCatalog(options)
    } catch (error) {
      const { status, code } = error instanceof ChartRepoError ? error : { status: undefined, code: undefined }
      const refused = status === 401 || status === 403
      // Anything but these is a fault that naming repositories would not mend.
      if (code === undefined || !(refused || status === 404 || status === 405)) throw error
      const advice = refused
        ? 'it may want other credentials (--storage-registry-config), or its repositories named (--storage-registry-repositories)'
        : '--storage-registry-repositories names them instead'
      throw new ChartRepoError(
        code,
        `The registry does not list its repositories: ${describeError(error)}; ${advice}`,
        {
          cause: error,
          ...(status !== undefined && { status }),
        },
      )
    }
  }

  /** Found once, or as long as a guess is good for; as long as it is not found, every call tries anew. */
  #connect(): Promise<HttpRegistry> {
    if (this.#connected !== undefined && this.#options.clock.now() < this.#connected.until) {
      return Promise.resolve(this.#connected.registry)
    }
    return this.#connecting.run('connect', async () => {
      const { address, pathPrefix, credentials, clock, log } = this.#options
      const { url, sendCredentials, guessed } = await findOrigin(this.#attempt, address)
      if (address.scheme === undefined) log.info('registry found', { registry: url.origin })
      if (!sendCredentials && credentials.find(address.host, pathPrefix) !== undefined) {
        log.warn('credentials are not sent: plain HTTP was only guessed; --storage-registry-scheme=HTTP allows it', {
          registry: url.origin,
        })
      }
      const send = withRedirects(
        withAuthentication(withRetry(this.#attempt, clock), {
          origin: url,
          host: address.host,
          pathPrefix,
          credentials,
          sendCredentials,
          clock,
        }),
      )
      const registry = new HttpRegistry(send, url)
      this.#connected = { registry, until: guessed ? clock.now() + limits.guessedOriginMs : Number.POSITIVE_INFINITY }
      return registry
    })
  }
}
