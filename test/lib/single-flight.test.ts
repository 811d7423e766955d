/** One call per key at a time. */
import { expect, test } from 'bun:test'
import { SingleFlight } from '../../src/lib/single-flight.ts'
import { defer } from './fake-clock.ts'

test('SingleFlight calls once per key however many ask, and gives everybody the same', async () => {
  const flights = new SingleFlight<string, object>()
  const result = defer<object>()
  let calls = 0
  const ask = (key: string) =>
    flights.run(key, () => {
      calls += 1
      return result.promise
    })
  const asked = [ask('a'), ask('a'), ask('b'), ask('a')]
  expect(calls).toBe(2)
  const value = {}
  result.resolve(value)
  for (const each of await Promise.all(asked)) expect(each).toBe(value)
})

test('SingleFlight gives everybody the same error, and calls anew afterwards', async () => {
  const flights = new SingleFlight<string, string>()
  const first = defer<string>()
  const asked = [flights.run('a', () => first.promise), flights.run('a', () => Promise.resolve('never called'))]
  const error = new Error('broken')
  first.reject(error)
  for (const { status, reason } of (await Promise.allSettled(asked)) as PromiseRejectedResult[]) {
    expect({ status, reason }).toEqual({ status: 'rejected', reason: error })
  }
  expect(await flights.run('a', () => Promise.resolve('anew'))).toBe('anew')
  expect(await flights.run('a', () => Promise.resolve('and again'))).toBe('and again')
})
