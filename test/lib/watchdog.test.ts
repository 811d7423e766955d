/** Aborts when what is under way hangs, and only then. */
import { afterEach, beforeEach, expect, jest, test } from 'bun:test'
import { Watchdog } from '../../src/lib/watchdog.ts'

beforeEach(() => {
  jest.useFakeTimers()
})
afterEach(() => {
  jest.useRealTimers()
})

test('Watchdog aborts when nothing under way has ended for its time, and says of what', () => {
  const watchdog = new Watchdog('Nothing of it was answered', 40_000)
  const { promise } = Promise.withResolvers<void>()
  void watchdog.watch(() => promise)
  jest.advanceTimersByTime(39_999)
  expect(watchdog.signal.aborted).toBe(false)
  jest.advanceTimersByTime(1)
  expect(watchdog.signal.reason).toMatchObject({
    code: 'UPSTREAM_TIMEOUT',
    retryable: true,
    message: 'Nothing of it was answered within 40 s',
  })
})

test('Watchdog begins the time anew whenever something ends, well or not', async () => {
  const watchdog = new Watchdog('x', 1000)
  void watchdog.watch(() => Promise.withResolvers<void>().promise)
  for (let i = 0; i < 5; i++) {
    jest.advanceTimersByTime(999)
    await watchdog.watch(async () => undefined)
    jest.advanceTimersByTime(999)
    const fault = new Error('x')
    expect(await watchdog.watch(() => Promise.reject(fault)).catch((error: unknown) => error)).toBe(fault)
  }
  expect(watchdog.signal.aborted).toBe(false)
  jest.advanceTimersByTime(1000)
  expect(watchdog.signal.aborted).toBe(true)
})

test('Watchdog leaves no timer behind once it has aborted, whatever still ends', async () => {
  const watchdog = new Watchdog('x', 1000)
  const [hanging, late] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const watched = [watchdog.watch(() => hanging.promise), watchdog.watch(() => late.promise)]
  jest.advanceTimersByTime(1000)
  expect(watchdog.signal.aborted).toBe(true)
  late.resolve()
  await watched[1]
  expect(jest.getTimerCount()).toBe(0)
  hanging.resolve()
  await watched[0]
})

test('Watchdog does not count the time in which nothing is under way', async () => {
  const watchdog = new Watchdog('x', 1000)
  jest.advanceTimersByTime(10_000)
  await watchdog.watch(async () => undefined)
  jest.advanceTimersByTime(10_000)
  expect(watchdog.signal.aborted).toBe(false)
})
