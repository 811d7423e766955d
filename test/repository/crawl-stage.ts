/** A crawl over a registry in memory, with everything around it that a crawl needs. */
import type { ManifestRecord } from '../../src/helm/chart-record.ts'
import { Limiter } from '../../src/lib/limiter.ts'
import { limits } from '../../src/limits.ts'
import type { Digest } from '../../src/oci/digest.ts'
import type { CatalogListing, RepositoryListing } from '../../src/repository/catalog.ts'
import { crawl } from '../../src/repository/crawl.ts'
import { Examiner } from '../../src/repository/examiner.ts'
import { Failures } from '../../src/repository/failures.ts'
import type { CatalogStore } from '../../src/repository/ports.ts'
import { crawlRepository, type PassResult } from '../../src/repository/repository-pass.ts'
import { FakeClock } from '../lib/fake-clock.ts'
import { captureLog } from '../telemetry/captured-log.ts'
import { MemoryRegistry } from './memory-registry.ts'

export const REVALIDATE_MS = 600_000

/** Keeps what it is given to keep. */
export class MemoryStore implements CatalogStore {
  readonly records: Digest[] = []
  readonly listings: {
    readonly listedAt: number
    readonly changed: Readonly<Record<string, readonly string[] | undefined>>
  }[] = []

  saveRecord(digest: Digest): void {
    this.records.push(digest)
  }

  saveListing(listedAt: number, changed: ReadonlyMap<string, ReadonlyMap<string, Digest | null> | undefined>): void {
    const names = [...changed].map(([repository, tags]) => [repository, tags && [...tags.keys()]] as const)
    this.listings.push({ listedAt, changed: Object.fromEntries(names) })
  }
}

export function openCrawlStage() {
  const registry = new MemoryRegistry()
  const clock = new FakeClock()
  const log = captureLog()
  const store = new MemoryStore()
  const records = new Map<Digest, ManifestRecord>()
  const failures = new Failures({ pauseMs: REVALIDATE_MS, clock, log })
  const examiner = new Examiner({ registry, records, store, log })
  const context = { registry, records, examiner, failures, revalidateIntervalMs: REVALIDATE_MS, clock, log }
  const tagPool = new Limiter(limits.maxTagsAtOnce)
  return {
    registry,
    tagPool,
    clock,
    log,
    store,
    records,
    failures,
    examiner,
    context,
    /** One pass over a repository, now. */
    pass: (repository: string, before?: RepositoryListing): Promise<PassResult> =>
      crawlRepository(context, { repository, before, now: clock.now(), tagPool }),
    crawl: (previous?: CatalogListing, signal?: AbortSignal) => crawl(context, previous, signal),
    /** The calls since the last time this was asked. */
    takeCalls: (): string[] => registry.calls.splice(0),
  }
}
