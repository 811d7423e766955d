/** An index maker over a catalog and documents in memory. */
import type { IndexFormat } from '../../src/helm/index-entry.ts'
import type { Coding } from '../../src/lib/compression.ts'
import { ChartPicks, type PlannedChart } from '../../src/repository/chart-picks.ts'
import { IndexMaker, type IndexOptions, type LostEntries } from '../../src/repository/index-maker.ts'
import type { PublishedIndex } from '../../src/repository/published-index.ts'
import { planSnapshot } from '../../src/repository/snapshot.ts'
import { ListingContent, type TagTable } from './listing-content.ts'
import { MemoryCatalog } from './memory-catalog.ts'
import { MemoryDocuments } from './memory-documents.ts'

export function openIndexStage(options: Partial<IndexOptions> = {}) {
  const store = new MemoryCatalog()
  const documents = new MemoryDocuments()
  const content = new ListingContent(store)
  const lost: LostEntries[] = []
  /** A maker as the next start has it. */
  const makeMaker = (others: Partial<IndexOptions> = {}) =>
    new IndexMaker({
      entries: store,
      documents,
      options: { formats: ['yaml', 'json'], versionsEach: 0, chartUrls: { prefix: '' }, ...options, ...others },
      onLost: (error) => void lost.push(error),
    })
  const plan = async (table: TagTable): Promise<readonly PlannedChart[]> =>
    (await planSnapshot(content.list(table), new ChartPicks(content.records))).charts
  const maker = makeMaker()
  return {
    store,
    documents,
    content,
    /** What readers found missing. */
    lost,
    maker,
    makeMaker,
    plan,
    make: async (table: TagTable) => await maker.make(await plan(table)),
  }
}

/** What a document comes to, read to its end and unpacked. */
export async function readDocument(index: PublishedIndex, format: IndexFormat, coding?: Coding): Promise<string> {
  const bytes = await (await index.document(format, coding).open()).bytes()
  if (coding === undefined) return Buffer.from(bytes).toString()
  return Buffer.from(coding === 'gzip' ? Bun.gunzipSync(bytes) : Bun.zstdDecompressSync(bytes)).toString()
}

export interface ReadIndex {
  readonly entries: Readonly<Record<string, readonly { readonly version: string; readonly urls: readonly string[] }[]>>
}

/** The versions of an index by chart, each with its address: `1.0.0 charts/demo-1.0.0.tgz`. */
export async function readVersions(index: PublishedIndex): Promise<Readonly<Record<string, readonly string[]>>> {
  const { entries } = JSON.parse(await readDocument(index, 'json')) as ReadIndex
  const lines = Object.entries(entries).map(([name, versions]) => {
    return [name, versions.map(({ version, urls }) => `${version} ${urls.join(' ')}`)] as const
  })
  return Object.fromEntries(lines)
}
