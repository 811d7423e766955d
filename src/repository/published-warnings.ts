/** What is worth a line in the log about an index that is published, each said once for as long as it holds. */

import { limits } from '../limits.ts'
import type { Log } from '../telemetry/log.ts'
import type { PublishedIndex } from './published-index.ts'
import type { SnapshotPlan } from './snapshot.ts'

export class PublishedWarnings {
  readonly #log: Log
  /** Pairs of repositories. */
  #collisions: ReadonlySet<string> = new Set()
  #passedBounds: ReadonlySet<number> = new Set()

  constructor(log: Log) {
    this.#log = log
  }

  report({ collisions }: Pick<SnapshotPlan, 'collisions'>, index: Pick<PublishedIndex, 'plainBytes'>): void {
    const byPair = Map.groupBy(collisions, ({ repository, hiddenRepository }) => `${repository} ${hiddenRepository}`)
    for (const [pair, [first, ...others]] of byPair) {
      if (first === undefined || this.#collisions.has(pair)) continue
      this.#log.warn('two repositories have charts with the same file names; the first in lexical order is served', {
        served: first.repository,
        hidden: first.hiddenRepository,
        file: first.file,
        others: others.length,
      })
    }
    this.#collisions = new Set(byPair.keys())
    this.#reportSize(index.plainBytes)
  }

  #reportSize(bytes: number): void {
    const passed = limits.consumerBounds.filter((bound) => bytes > bound.bytes)
    for (const bound of passed) {
      if (this.#passedBounds.has(bound.bytes)) continue
      this.#log.warn('index is larger than some consumers take; --index-versions makes it smaller', {
        bytes,
        consumer: bound.consumer,
        takes: bound.bytes,
      })
    }
    this.#passedBounds = new Set(passed.map((bound) => bound.bytes))
  }
}
