/** From configuration to a running whole: the only file that knows both the ports and what implements them. */

import { X509Certificate } from 'node:crypto'
import { join, resolve } from 'node:path'
import { rootCertificates } from 'node:tls'
import type { Configuration, LocalStorage, RegistryStorage } from './config/configuration.ts'
import { quote } from './config/sources.ts'
import { ChartRepoError, describeError, isChartRepoError } from './errors.ts'
import { createApp } from './http/app.ts'
import { systemClock } from './lib/clock.ts'
import { trimMemory } from './lib/memory-trim.ts'
import { readSmallFile } from './lib/small-file.ts'
import { limits } from './limits.ts'
import type { RegistryStore } from './oci/registry-store.ts'
import type { CatalogListing } from './repository/catalog.ts'
import { type ChartContents, ChartFiles } from './repository/chart-files.ts'
import type { CrawledRegistry } from './repository/crawl.ts'
import { Examiner } from './repository/examiner.ts'
import { Failures } from './repository/failures.ts'
import { Publisher } from './repository/publisher.ts'
import { Refresher } from './repository/refresher.ts'
import { BlobCache } from './storage/blob-cache.ts'
import { CatalogFile } from './storage/catalog-file.ts'
import type { StoredCatalog } from './storage/catalog-rows.ts'
import { DocumentFiles } from './storage/document-files.ts'
import { LocalCharts } from './storage/local-charts.ts'
import { LocalRegistry, type LocalRegistryListener } from './storage/local-registry.ts'
import type { Log } from './telemetry/log.ts'
import type { Credential } from './upstream/credentials.ts'
import { openCredentialsFile } from './upstream/credentials-file.ts'
import { RemoteRegistry } from './upstream/remote-registry.ts'

export interface Composition {
  readonly app: ReturnType<typeof createApp>
  /** `http://127.0.0.1:5000/charts (as alice)`, for people. */
  readonly description: string
  /** Starts keeping the index fresh. */
  start(): void
  /** Stops refreshing and writes what is still to be written. */
  close(): Promise<void>
}

/** What is behind the ports, whichever of the two it is. */
interface Storage {
  readonly registry: CrawledRegistry
  readonly contents: ChartContents
  /** The protocol is served over it; undefined where the registry is somewhere else. */
  readonly store: RegistryStore | undefined
  /** Has somebody told of every push; undefined where pushes go elsewhere. */
  readonly tellsChanges: ((listener: LocalRegistryListener) => void) | undefined
  readonly description: string
  /** What tells one view from another. */
  readonly view: readonly unknown[]
  start(): void
  close(): Promise<void>
}

/** @throws CONFIG_INVALID, one fault per line, when a file that the configuration names cannot be used. */
export async function compose(configuration: Configuration, log: Log, version: string): Promise<Composition> {
  const { cache, revalidateIntervalMs } = configuration
  const clock = systemClock
  const { storage: wanted } = configuration
  const storage =
    wanted.kind === 'local'
      ? await openLocal(wanted, log)
      : await openRemote(wanted, { cache, userAgent: `oci-chartrepo/${version}`, log })
  const { registry } = storage
  const { catalog, stored } = CatalogFile.open(catalogPath(cache.dir, storage.view), log)
  const { records } = stored
  const { format, servesPartial, ...indexOptions } = configuration.index
  const publisher = new Publisher({
    records,
    store: catalog,
    documents: new DocumentFiles({ dir: join(cache.dir, 'index'), clock, log }),
    index: { ...indexOptions, formats: format === 'auto' ? ['yaml', 'json'] : [format] },
    servesPartial,
    amends: storage.tellsChanges !== undefined,
    clock,
    log,
  })
  const refresher = new Refresher({
    context: {
      registry,
      records,
      examiner: new Examiner({ registry, records, store: catalog, log }),
      failures: new Failures({ pauseMs: revalidateIntervalMs, clock, log }),
      passed: new WeakMap(),
      revalidateIntervalMs,
      clock,
      log,
    },
    publisher,
    refreshIntervalMs: configuration.refreshIntervalMs,
    refreshWaitMs: configuration.refreshWaitMs,
    initial: toListing(stored, clock.now()),
    clock,
    log,
  })
  storage.tellsChanges?.((repository, tags) => refresher.tell(repository, tags))
  let endTrimming: (() => void) | undefined
  const files = new ChartFiles(storage.contents, refresher)
  return {
    app: createApp({ index: refresher, indexFormat: format, files, store: storage.store, version, log }),
    description: storage.description,
    start: () => {
      endTrimming = trimMemory()
      refresher.start()
      storage.start()
    },
    close: async () => {
      endTrimming?.()
      await refresher.stop()
      await storage.close()
      catalog.close()
    },
  }
}

/** The registry is a directory of ours. */
async function openLocal(wanted: LocalStorage, log: Log): Promise<Storage> {
  const { rootDir, rootDirOption, sweepIntervalMs, sweepDelayMs } = wanted
  const root = resolve(rootDir)
  const local = await LocalRegistry.open({ root, sweepIntervalMs, sweepDelayMs, clock: systemClock, log }).catch(
    (error: unknown) => {
      if (!isChartRepoError(error, 'CONFIG_INVALID')) throw error
      const message = `${rootDirOption}: given ${quote(rootDir)}, which ${error.message}`
      throw new ChartRepoError('CONFIG_INVALID', message, { cause: error })
    },
  )
  log.info('anybody who reaches the registry may push to it and delete from it; there is no login yet')
  const charts = new LocalCharts(local)
  return {
    registry: charts,
    contents: charts,
    store: local,
    tellsChanges: (listener) => local.onChange(listener),
    description: `its own registry in ${rootDir} (anybody who reaches it may write to it)`,
    view: ['local', root],
    start: () => local.start(),
    close: () => local.close(),
  }
}

/** The registry is somewhere else; what was read from it is kept in the cache directory. */
async function openRemote(
  wanted: RegistryStorage,
  { cache, userAgent, log }: { readonly cache: Configuration['cache']; readonly userAgent: string; readonly log: Log },
): Promise<Storage> {
  const clock = systemClock
  const { credentials, caCertificates } = openFiles(wanted, log)
  if (wanted.insecure) {
    log.warn(
      'THE CERTIFICATE OF THE REGISTRY IS NOT CHECKED (--storage-registry-insecure): anybody in between can pose as it',
    )
  }
  const { host, scheme, pathPrefix, repositories, insecure } = wanted
  const registry = new RemoteRegistry({
    address: { host, scheme },
    pathPrefix,
    repositories,
    credentials,
    transport: { userAgent, insecure, ...(caCertificates !== undefined && { caCertificates }) },
    clock,
    log,
  })
  const blobs = await BlobCache.open({ dir: join(cache.dir, 'blobs'), maxBytes: cache.maxBytes, clock, log })
  return {
    registry,
    // Not tied to whoever asks: the blob goes into the cache even when the client has left.
    contents: { open: (repository, layer) => blobs.open(layer, () => registry.openBlob(repository, layer)) },
    store: undefined,
    tellsChanges: undefined,
    description: describe(wanted, credentials.find(host, pathPrefix)),
    view: [host, pathPrefix, repositories],
    start: () => undefined,
    close: () => Promise.resolve(),
  }
}

/** Everything the configuration names on disk, so that all that is wrong is said at once. */
function openFiles(registry: RegistryStorage, log: Log) {
  const faults: string[] = []
  const attempt = <T>(option: string, open: () => T): T | undefined => {
    try {
      return open()
    } catch (error) {
      faults.push(`${option}: ${describeError(error)}`)
      return undefined
    }
  }
  const credentials = attempt(registry.fileOptions.credentials, () =>
    openCredentialsFile({ path: registry.credentialsPath, required: registry.credentialsRequired, log }),
  )
  const { caFile } = registry
  const caCertificates =
    caFile === undefined ? undefined : attempt(registry.fileOptions.caFile, () => readAuthorities(caFile))
  if (credentials === undefined || faults.length > 0) throw new ChartRepoError('CONFIG_INVALID', faults.join('\n'))
  return { credentials, caCertificates }
}

/** The authorities in a PEM file, and those every client trusts: redirects lead to public object storage. */
function readAuthorities(path: string): readonly string[] {
  let pem: string
  try {
    pem = readSmallFile(path, limits.maxCertificatesBytes)
  } catch (cause) {
    throw new ChartRepoError('CONFIG_INVALID', `given ${quote(path)}, which ${describeError(cause)}`, { cause })
  }
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g)
  if (blocks === null || !blocks.every(isCertificate)) {
    throw new ChartRepoError('CONFIG_INVALID', `given ${quote(path)}, wanted a PEM file with certificates`)
  }
  return [...rootCertificates, ...blocks]
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.byteLength > 0
  } catch {
    // What OpenSSL has to say of it helps nobody: it is no certificate, and that is the answer.
    return false
  }
}

/** One catalog per view of a registry, so that a changed command line does not serve what is no longer in view. */
function catalogPath(cacheDir: string, view: readonly unknown[]): string {
  const hash = Bun.CryptoHasher.hash('sha256', JSON.stringify(view), 'hex')
  return join(cacheDir, `catalog-${hash.slice(0, 16)}.sqlite`)
}

/** The listing of the run before. Its tags count as checked now: each is re-checked within one interval from here on. */
function toListing(stored: StoredCatalog, now: number): CatalogListing | undefined {
  if (stored.listedAt === undefined) return undefined
  const repositories = [...stored.repositories].map(([name, tags]) => [name, { tags, checkedAt: now }] as const)
  return { listedAt: stored.listedAt, repositories: new Map(repositories) }
}

function describe(registry: RegistryStorage, credential: Credential | undefined): string {
  const scheme = registry.scheme === undefined ? '' : `${registry.scheme}://`
  const path = registry.pathPrefix === '' ? '' : `/${registry.pathPrefix}`
  return `${scheme}${registry.host}${path} (${describeCredential(credential)})`
}

function describeCredential(credential: Credential | undefined): string {
  if (credential === undefined) return 'anonymous'
  if (credential.kind === 'registry') return 'with a registry token'
  // `<token>` is what credential helpers put in the place of a name.
  return credential.username === '' || credential.username === '<token>'
    ? 'with an identity token'
    : `as ${credential.username}`
}
