/** From the name of a file to what it is, and from there to its bytes. */

import { ChartRepoError } from '../errors.ts'
import type { LayerRecord } from '../helm/chart-record.ts'
import { limits } from '../limits.ts'
import type { Snapshot } from './snapshot.ts'

export interface SnapshotSource {
  /** Resolves when the snapshot has what is known already; undefined when it does. */
  readonly settled: Promise<void> | undefined
  readonly snapshot: Snapshot | undefined
  /** @throws SNAPSHOT_MISSING */
  fresh(): Promise<Snapshot>
}

/** Where the bytes of charts are. */
export interface ChartContents {
  /**
   * The verified bytes of a layer; undefined when the registry has lost them.
   * @throws DIGEST_MISMATCH, STORAGE_FULL, LAYOUT_DAMAGED, or what fetching fails with
   */
  open(repository: string, layer: LayerRecord): Promise<Blob | undefined>
}

export interface FoundFile {
  readonly kind: 'chart' | 'provenance'
  readonly layer: LayerRecord
  /** Where the registry has it. */
  readonly repository: string
}

const PROVENANCE_SUFFIX = '.prov'

export class ChartFiles {
  readonly #contents: ChartContents
  readonly #source: SnapshotSource

  constructor(contents: ChartContents, source: SnapshotSource) {
    this.#contents = contents
    this.#source = source
  }

  /**
   * The file called `name`: `demo-1.2.3.tgz`, or `demo-1.2.3.tgz.prov`. Costs no request when it is in the snapshot.
   * @throws CHART_UNKNOWN when no chart has it, SNAPSHOT_MISSING when the first crawl may still find it.
   */
  async find(name: string): Promise<FoundFile> {
    await this.#source.settled
    const { snapshot } = this.#source
    const known = snapshot && findLayer(snapshot, name)
    // What a reader saw in the index of another replica, or pushed a moment ago, may not be in this snapshot yet.
    const newest = known === undefined ? await this.#source.fresh() : undefined
    const found = known ?? (newest && findLayer(newest, name))
    if (found === undefined && newest?.isPartial === true) {
      const message = 'The first crawl of the registry is under way, and no chart of this name has been read yet'
      throw new ChartRepoError('SNAPSHOT_MISSING', message, { retryAfterMs: limits.refreshPauseMs })
    }
    if (found === undefined || found === 'unsigned')
      throw new ChartRepoError('CHART_UNKNOWN', 'No chart has a file of this name')
    return found
  }

  /**
   * Its verified bytes.
   * @throws CHART_UNKNOWN when the registry has lost them, or what fetching them fails with.
   */
  async read({ layer, repository }: FoundFile): Promise<Blob> {
    const content = await this.#contents.open(repository, layer)
    if (content !== undefined) return content
    throw new ChartRepoError('CHART_UNKNOWN', `The registry no longer has the blob ${layer.digest} of ${repository}`)
  }
}

/** `unsigned`: the chart is there and has no provenance, which no refresh would change. */
function findLayer(snapshot: Snapshot, name: string): FoundFile | 'unsigned' | undefined {
  const isProvenance = name.endsWith(PROVENANCE_SUFFIX)
  const file = snapshot.files.get(isProvenance ? name.slice(0, -PROVENANCE_SUFFIX.length) : name)
  if (file === undefined) return undefined
  const { repository, record } = file
  if (!isProvenance) return { kind: 'chart', layer: record.chart, repository }
  return record.provenance === undefined ? 'unsigned' : { kind: 'provenance', layer: record.provenance, repository }
}
