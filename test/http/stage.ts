/** The HTTP face over an index and files that a test holds in its hands. */
import { ChartRepoError } from '../../src/errors.ts'
import { createApp } from '../../src/http/app.ts'
import type { IndexFormatOption } from '../../src/http/index-negotiation.ts'
import { digestBytes } from '../../src/oci/digest.ts'
import type { RegistryStore } from '../../src/oci/registry-store.ts'
import type { FoundFile } from '../../src/repository/chart-files.ts'
import type { RefreshStatus } from '../../src/repository/refresher.ts'
import type { Snapshot } from '../../src/repository/snapshot.ts'
import { captureLog } from '../telemetry/captured-log.ts'
import { heldIndex } from './held-index.ts'

export const PACKAGE = Buffer.from('0123456789 the bytes of a package')
export const PROVENANCE = Buffer.from('-----BEGIN PGP SIGNED MESSAGE-----')

export interface StageState {
  snapshot: Snapshot | undefined
  snapshotAgeSeconds: number | undefined
  status: RefreshStatus
  /** Thrown where content would be handed out. */
  failure: unknown
  /** How often bytes of a package were asked for. */
  reads: number
}

export interface StageOptions extends Partial<StageState> {
  readonly indexFormat?: IndexFormatOption
  readonly isPartial?: boolean
  /** What /v2 is served over; nothing there without one. */
  readonly store?: RegistryStore
}

export function openStage({ indexFormat = 'auto', isPartial = false, store, ...change }: StageOptions = {}) {
  const index = heldIndex(indexFormat)
  const snapshot: Snapshot = { listedAt: 0, index, files: new Map(), isPartial }
  const state: StageState = {
    snapshot,
    snapshotAgeSeconds: 3,
    status: { error: undefined, problems: [], progress: undefined },
    failure: undefined,
    reads: 0,
    ...change,
  }
  const contents: Readonly<Record<string, { readonly kind: FoundFile['kind']; readonly bytes: Buffer }>> = {
    'demo-1.2.3+b.tgz': { kind: 'chart', bytes: PACKAGE },
    'demo-1.2.3+b.tgz.prov': { kind: 'provenance', bytes: PROVENANCE },
    "it's a ü-1.0.0.tgz": { kind: 'chart', bytes: PACKAGE },
    'empty-1.0.0.tgz': { kind: 'chart', bytes: Buffer.alloc(0) },
  }
  const log = captureLog()
  const asked: string[] = []
  const app = createApp({
    index: {
      get snapshot() {
        return state.snapshot
      },
      get snapshotAgeSeconds() {
        return state.snapshotAgeSeconds
      },
      get status() {
        return state.status
      },
      fresh: async () => {
        if (state.failure !== undefined) throw state.failure
        if (state.snapshot === undefined) throw new ChartRepoError('SNAPSHOT_MISSING', 'There is no index yet: why')
        return state.snapshot
      },
    },
    files: {
      find: async (name) => {
        asked.push(name)
        if (state.failure !== undefined) throw state.failure
        const content = Object.hasOwn(contents, name) ? contents[name] : undefined
        if (content === undefined) throw new ChartRepoError('CHART_UNKNOWN', 'No chart has a file of this name')
        const { kind, bytes } = content
        return { kind, repository: 'team/demo', layer: { digest: digestBytes(bytes), size: bytes.byteLength } }
      },
      read: async ({ layer }) => {
        state.reads += 1
        const found = Object.values(contents).find(({ bytes }) => digestBytes(bytes) === layer.digest)
        return new Blob([new Uint8Array(found?.bytes ?? [])])
      },
    },
    indexFormat,
    store,
    version: '1.2.3',
    log,
  })
  const request = async (path: string, headers: Readonly<Record<string, string>> = {}, method = 'GET') =>
    await app.handle(new Request(`http://charts.example${path}`, { method, headers }))
  /** Listens on a free port for as long as `use` takes. */
  const overSocket = async (use: (origin: string) => Promise<void>): Promise<void> => {
    app.listen({ port: 0, hostname: '127.0.0.1', development: false, reusePort: false })
    try {
      await use(`http://127.0.0.1:${app.server?.port}`)
    } finally {
      await app.stop(true)
    }
  }
  return { app, state, log, asked, request, snapshot, index, overSocket }
}
