/** The real clock, as far as it can be tested without waiting. */
import { expect, test } from 'bun:test'
import { getEventListeners } from 'node:events'
import { systemClock } from '../../src/lib/clock.ts'

test('systemClock.now is the time in milliseconds', () => {
  const before = Date.now()
  const now = systemClock.now()
  expect(now).toBeGreaterThanOrEqual(before)
  expect(now).toBeLessThanOrEqual(Date.now())
})

test('systemClock.sleep ends by itself and lets go of the signal', async () => {
  const { signal } = new AbortController()
  await systemClock.sleep(1, signal)
  expect(getEventListeners(signal, 'abort')).toEqual([])
})

test('systemClock.sleep ends with the reason as soon as the signal aborts', async () => {
  const controller = new AbortController()
  const sleep = systemClock.sleep(3_600_000, controller.signal)
  const reason = new Error('enough')
  controller.abort(reason)
  expect(await sleep.catch((error: unknown) => error)).toBe(reason)
})

test('systemClock.sleep does not begin when the signal was aborted before', async () => {
  const reason = new Error('enough')
  expect(await systemClock.sleep(3_600_000, AbortSignal.abort(reason)).catch((error: unknown) => error)).toBe(reason)
})
