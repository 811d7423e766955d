/** A publisher over a catalog and documents in memory, which is handed listings written down as tables. */
import type { CatalogListing, Problem } from '../../src/repository/catalog.ts'
import { Publisher, type PublisherOptions } from '../../src/repository/publisher.ts'
import { FakeClock } from '../lib/fake-clock.ts'
import { captureLog } from '../telemetry/captured-log.ts'
import { ListingContent, type TagTable } from './listing-content.ts'
import { MemoryCatalog } from './memory-catalog.ts'
import { MemoryDocuments, onlyPlain } from './memory-documents.ts'

export function openPublisherStage(options: Partial<PublisherOptions> = {}) {
  const clock = new FakeClock()
  const log = captureLog()
  const store = new MemoryCatalog()
  const documents = new MemoryDocuments(onlyPlain)
  const content = new ListingContent(store)
  const stopping = new AbortController()
  const { signal } = stopping
  /** A publisher as the next start has it: with what the store and the documents have. */
  const make = () =>
    new Publisher({
      records: content.records,
      store,
      documents,
      index: { formats: ['yaml', 'json'], versionsEach: 0, chartUrls: { prefix: '' } },
      servesPartial: false,
      amends: false,
      clock,
      log,
      ...options,
    })
  const publisher = make()
  return {
    clock,
    log,
    store,
    documents,
    content,
    stopping,
    make,
    publisher,
    list: (table: TagTable): CatalogListing => content.list(table, clock.now()),
    /** Hands over a listing that is as the table says now. */
    accept: (table: TagTable, problems: readonly Problem[] = []) =>
      publisher.accept(content.list(table, clock.now()), problems, signal),
    offerPart: (table: TagTable) => publisher.offerPart(content.list(table, clock.now()), signal),
    /** From now on making an index takes this long. */
    takeLong: (ms: number) => {
      documents.delay = () => clock.sleep(ms)
    },
  }
}

export const late = (repository: string): Problem => ({ repository, reason: 'it is late', transient: true })
export const refused = (repository: string): Problem => ({ repository, reason: 'it is refused', transient: false })
