/** Aborts when nothing happens, and only then. */
import { afterEach, beforeEach, expect, jest, test } from 'bun:test'
import { Watchdog } from '../../src/lib/watchdog.ts'

beforeEach(() => {
  jest.useFakeTimers()
})
afterEach(() => {
  jest.useRealTimers()
})

test('Watchdog aborts when its time is over, with a time-out that says of what', () => {
  const { signal } = new Watchdog('Nothing of it was answered', 40_000)
  jest.advanceTimersByTime(39_999)
  expect(signal.aborted).toBe(false)
  jest.advanceTimersByTime(1)
  expect(signal.reason).toMatchObject({
    code: 'UPSTREAM_TIMEOUT',
    retryable: true,
    message: 'Nothing of it was answered within 40 s',
  })
})

test('Watchdog.reset begins the time anew', () => {
  const watchdog = new Watchdog('x', 1000)
  for (let i = 0; i < 5; i++) {
    jest.advanceTimersByTime(999)
    watchdog.reset()
  }
  expect(watchdog.signal.aborted).toBe(false)
  jest.advanceTimersByTime(1000)
  expect(watchdog.signal.aborted).toBe(true)
})

test('Watchdog.stop ends it', () => {
  const watchdog = new Watchdog('x', 1000)
  watchdog.stop()
  jest.advanceTimersByTime(10_000)
  expect(watchdog.signal.aborted).toBe(false)
})
