/** A refresher over a registry in memory. */
import { Publisher, type PublisherOptions } from '../../src/repository/publisher.ts'
import { Refresher, type RefresherOptions } from '../../src/repository/refresher.ts'
import { openCrawlStage } from './crawl-stage.ts'
import { MemoryDocuments, onlyPlain } from './memory-documents.ts'

export const INTERVAL_MS = 30_000
export const WAIT_MS = 500

export function openStage(options: Partial<PublisherOptions> = {}) {
  const stage = openCrawlStage()
  const { context, store, records, clock, log } = stage
  const documents = new MemoryDocuments(onlyPlain)
  const index = { formats: ['yaml', 'json'], versionsEach: 0, chartUrls: { prefix: '' } } as const
  /** A server that starts now, with the store and the documents that the one before it has left. */
  const make = (initial?: RefresherOptions['initial']) => {
    const publisher = new Publisher({
      records,
      store,
      documents,
      index,
      servesPartial: false,
      amends: false,
      clock,
      log,
      ...options,
    })
    return new Refresher({
      context,
      publisher,
      refreshIntervalMs: INTERVAL_MS,
      refreshWaitMs: WAIT_MS,
      initial,
      clock,
      log,
    })
  }
  return { ...stage, documents, make, refresher: make() }
}

/** With one chart, published a moment ago. */
export async function openFreshStage() {
  const stage = openStage()
  stage.registry.addChart('a', '1.0.0', { name: 'demo', version: '1.0.0' })
  await stage.refresher.fresh()
  stage.takeCalls()
  return stage
}
