/**
 * What could not be read, until it can: each failure is in the log once, and one that will not pass by itself is not
 * tried again at every pass.
 */

import { type ChartRepoError, describeError, isChartRepoError } from '../errors.ts'
import type { Clock } from '../lib/clock.ts'
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

export class Failures {
  readonly #options: FailuresOptions
  readonly #failures = new Map<string, Failure>()

  constructor(options: FailuresOptions) {
    this.#options = options
  }

  /** Notes a failure, in the log when it is news. Rethrows what is no failure of the registry. */
  note(place: Place, error: unknown): Problem {
    if (!isChartRepoError(error)) throw error
    const { clock, log, pauseMs } = this.#options
    const reason = describeError(error)
    const transient = isTransient(error)
    const key = keyOf(place)
    if (this.#failures.get(key)?.reason !== reason) log.warn('cannot be read', { ...place, reason })
    const problem = { ...place, reason, transient }
    this.#failures.set(key, { ...problem, retryAt: transient ? 0 : clock.now() + pauseMs })
    return problem
  }

  /** Notes that a place can be read. */
  clear(place: Place): void {
    if (this.#failures.delete(keyOf(place))) this.#options.log.info('readable again', { ...place })
  }

  /** The failure of a place that is not worth another try yet. */
  pending(place: Place): Problem | undefined {
    const failure = this.#failures.get(keyOf(place))
    if (failure === undefined || this.#options.clock.now() >= failure.retryAt) return undefined
    const { retryAt: _, ...problem } = failure
    return problem
  }

  /** Forgets the failures of places that are gone. */
  retain(isThere: (place: Place) => boolean): void {
    for (const [key, failure] of this.#failures) if (!isThere(failure)) this.#failures.delete(key)
  }
}

function keyOf({ repository, tag }: Place): string {
  return tag === undefined ? repository : `${repository}:${tag}`
}

function isTransient(error: ChartRepoError): boolean {
  return error.retryable || error.code === 'UPSTREAM_UNAVAILABLE' || error.code === 'UPSTREAM_TIMEOUT'
}
