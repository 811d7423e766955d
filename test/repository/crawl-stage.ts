/** A crawl over a registry in memory, with everything around it that a crawl needs. */
import type { ManifestRecord } from '../../src/helm/chart-record.ts'
import { Limiter } from '../../src/lib/limiter.ts'
import { limits } from '../../src/limits.ts'
import type { Digest } from '../../src/oci/digest.ts'
import type { CatalogListing, RepositoryListing, Tags } from '../../src/repository/catalog.ts'
import { type CrawlOptions, crawl } from '../../src/repository/crawl.ts'
import { Examiner } from '../../src/repository/examiner.ts'
import { Failures } from '../../src/repository/failures.ts'
import { Progress } from '../../src/repository/progress.ts'
import { crawlRepository, type PassResult, type PassTarget } from '../../src/repository/repository-pass.ts'
import { FakeClock } from '../lib/fake-clock.ts'
import { captureLog } from '../telemetry/captured-log.ts'
import { MemoryCatalog } from './memory-catalog.ts'
import { MemoryRegistry } from './memory-registry.ts'

export const REVALIDATE_MS = 600_000

export function openCrawlStage() {
  const registry = new MemoryRegistry()
  const clock = new FakeClock()
  const log = captureLog()
  const store = new MemoryCatalog()
  const records = new Map<Digest, ManifestRecord>()
  const failures = new Failures({ pauseMs: REVALIDATE_MS, clock, log })
  const examiner = new Examiner({ registry, records, store, log })
  const passed = new WeakMap<Tags, ReadonlyMap<string, Digest>>()
  const context = { registry, records, examiner, failures, passed, revalidateIntervalMs: REVALIDATE_MS, clock, log }
  const pools = {
    lists: new Limiter(limits.maxListsAtOnce),
    repositories: new Limiter(limits.maxUpstreamRequests),
    tags: new Limiter(limits.maxTagsAtOnce),
  }
  const progress = new Progress(clock)
  const pass = (repository: string, target: Partial<PassTarget> = {}): Promise<PassResult> =>
    crawlRepository(context, { repository, before: undefined, now: clock.now(), pools, progress, ...target })
  return {
    registry,
    progress,
    clock,
    log,
    store,
    records,
    failures,
    examiner,
    context,
    /** One pass over a repository, now. */
    pass: (repository: string, before?: RepositoryListing) => pass(repository, { before }),
    passWith: pass,
    crawl: (previous?: CatalogListing, options: Partial<CrawlOptions> = {}) =>
      crawl(context, { previous, progress: new Progress(clock), ...options }),
    /** The calls since the last time this was asked. */
    takeCalls: (): string[] => registry.calls.splice(0),
  }
}
