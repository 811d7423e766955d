/** What became of the last refresh: said in the log when it is news, and kept for those who ask. */

import { describeError, isChartRepoError } from '../errors.ts'
import { errorFields, type Log } from '../telemetry/log.ts'
import type { Problem } from './catalog.ts'

export class RefreshOutcome {
  readonly #log: Log
  /** Why it failed, or why there is nothing to serve although it did not. */
  error: string | undefined
  /** What it could not read; of the one before where it failed. */
  problems: readonly Problem[] = []
  #failedAt: number | undefined

  constructor(log: Log) {
    this.#log = log
  }

  /** @param error what there is to say although it did not fail */
  noteEnd(problems: readonly Problem[], error: string | undefined): void {
    if (this.#failedAt !== undefined) this.#log.info('registry can be listed again')
    this.#failedAt = undefined
    this.problems = problems
    this.error = error
  }

  noteFailure(error: unknown, now: number): void {
    if (!isChartRepoError(error)) {
      const stack = error instanceof Error ? error.stack : undefined
      this.#log.error('refresh failed by a fault of this program', { ...errorFields(error), stack })
    } else if (this.error !== describeError(error)) {
      this.#log.warn('registry cannot be listed', errorFields(error))
    }
    this.#failedAt = now
    this.error = isChartRepoError(error) ? describeError(error) : 'an internal fault; the log has it'
  }

  /** A failure of the future was noted before the clock was set back. */
  hasFailedWithin(ms: number, now: number): boolean {
    const since = now - (this.#failedAt ?? Number.NEGATIVE_INFINITY)
    return since >= 0 && since < ms
  }
}
