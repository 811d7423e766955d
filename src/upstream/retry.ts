/**
 * The link that tries again: everything this client sends is safe to repeat (reads, and asking for a token).
 *
 * Waits double from 250 ms with jitter; a Retry-After is honoured up to its limit, and one beyond it ends the attempts,
 * because a request that waits for minutes helps nobody: the next refresh comes anyway.
 */

import { ChartRepoError } from '../errors.ts'
import type { Clock } from '../lib/clock.ts'
import { parseRetryAfter } from '../lib/retry-after.ts'
import { limits } from '../limits.ts'
import type { Send } from './http-call.ts'

const RETRYABLE_STATUS = new Set([408, 429, 500, 502, 503, 504])

export function withRetry(send: Send, clock: Clock, random: () => number = Math.random): Send {
  return async (call) => {
    const giveUpAt = clock.now() + limits.requestTimeoutMs
    for (let attempt = 1; ; attempt++) {
      let asked: number | undefined
      try {
        const response = await send(attempt === 1 ? call : { ...call, isRepeat: true })
        if (!RETRYABLE_STATUS.has(response.status) || attempt === limits.maxAttempts) return response
        asked = parseRetryAfter(response.headers.get('retry-after'), clock.now())
        if ((asked ?? 0) > limits.maxRetryAfterMs || clock.now() + (asked ?? 0) >= giveUpAt) return response
        await response.body?.cancel()
      } catch (error) {
        const retryable = error instanceof ChartRepoError && error.retryable
        if (!retryable || attempt === limits.maxAttempts || clock.now() >= giveUpAt) throw error
      }
      const backoff = limits.retryBaseMs * 2 ** (attempt - 1) * (0.75 + random() / 2)
      await clock.sleep(Math.max(asked ?? 0, backoff), call.signal)
    }
  }
}
