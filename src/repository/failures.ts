/**
 * What could not be read, until it can: each failure is in the log once, and one that will not pass by itself is not
 * tried again at every pass.
 */

import { type ChartRepoError, describeError, isChartRepoError } from '../errors.ts'
import type { Clock } from '../lib/clock.ts'
import { limits } from '../limits.ts'
import type { Log } from '../telemetry/log.ts'
import type { Problem } from './catalog.ts'

/** A repository, or one tag of it. */
export interface Place {
  readonly repository: string
  readonly tag?: string
}

interface Failure extends Problem {
  /** Milliseconds since the epoch. */
  readonly retryAt: number
}

export interface FailuresOptions {
  /** How long a failure that will not pass by itself is left alone. */
  readonly pauseMs: number
  readonly clock: Clock
  readonly log: Log
}

/** The place of what is wrong with a repository itself; no tag can be called so. */
const WHOLE = ''

export class Failures {
  readonly #options: FailuresOptions
  /** By repository, then by tag. */
  readonly #failures = new Map<string, Map<string, Failure>>()

  constructor(options: FailuresOptions) {
    this.#options = options
  }

  /** Notes a failure, in the log when it is news. Rethrows what is no failure of the registry. */
  note(place: Place, error: unknown): Problem {
    if (!isChartRepoError(error)) throw error
    const { clock, log, pauseMs } = this.#options
    const { repository, tag = WHOLE } = place
    const problem = { ...place, reason: describeError(error), transient: isTransient(error) }
    const ofRepository = this.#failures.get(repository) ?? new Map<string, Failure>()
    if (ofRepository.get(tag)?.reason !== problem.reason)
      log.warn('cannot be read', { ...place, reason: problem.reason })
    ofRepository.set(tag, { ...problem, retryAt: clock.now() + pauseAfter(error, tag === WHOLE, pauseMs) })
    this.#failures.set(repository, ofRepository)
    return problem
  }

  /** Notes that a place can be read. */
  clear({ repository, tag = WHOLE }: Place): void {
    if (this.#failures.get(repository)?.delete(tag) !== true) return
    this.#options.log.info('readable again', { repository, ...(tag !== WHOLE && { tag }) })
  }

  has(repository: string, tag: string): boolean {
    return this.#failures.get(repository)?.has(tag) ?? false
  }

  /** The failure of a repository or tag that is not worth another try yet. */
  pending(repository: string, tag = WHOLE): Problem | undefined {
    const failure = this.#failures.get(repository)?.get(tag)
    if (failure === undefined || this.#options.clock.now() >= failure.retryAt) return undefined
    const { retryAt: _, ...problem } = failure
    return problem
  }

  /** Forgets the tags of a repository that are not in `names`: what is gone cannot fail any more. */
  retainTags(repository: string, names: ReadonlySet<string>): void {
    const ofRepository = this.#failures.get(repository)
    for (const tag of ofRepository?.keys() ?? []) if (tag !== WHOLE && !names.has(tag)) ofRepository?.delete(tag)
  }

  /** Everything is worth another try at once. */
  endPauses(): void {
    for (const ofRepository of this.#failures.values()) {
      for (const [tag, failure] of ofRepository) ofRepository.set(tag, { ...failure, retryAt: 0 })
    }
  }

  /** Forgets the repositories that are not in `names`. */
  retainRepositories(names: ReadonlySet<string>): void {
    for (const repository of this.#failures.keys()) if (!names.has(repository)) this.#failures.delete(repository)
  }
}

/** Milliseconds for which a failure is left alone. A repository is listed at every pass, unless it hangs. */
function pauseAfter(error: ChartRepoError, isRepository: boolean, pauseMs: number): number {
  if (error.code === 'UPSTREAM_TIMEOUT') return Math.min(limits.timeoutPauseMs, pauseMs)
  return isRepository || isTransient(error) ? 0 : pauseMs
}

function isTransient(error: ChartRepoError): boolean {
  return error.retryable || error.code === 'UPSTREAM_UNAVAILABLE' || error.code === 'UPSTREAM_TIMEOUT'
}
