/** What is tried again, when, and when no more; by a clock that waits for nothing. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { ChartRepoError } from '../../src/errors.ts'
import { limits } from '../../src/limits.ts'
import { withRetry } from '../../src/upstream/retry.ts'
import { FakeClock } from '../lib/fake-clock.ts'
import { type Answer, answerBy, answerInTurn, get, json, rejection } from './fake-send.ts'

const call = get('https://r.example/v2/')
const transient = new ChartRepoError('UPSTREAM_UNAVAILABLE', 'broken off', { retryable: true })
const status = (code: number, headers = {}) => new Response('x', { status: code, headers })

function openLink(answers: readonly Answer[], random = 0.5) {
  const clock = new FakeClock({ skipsSleep: true })
  const fake = answerInTurn(...answers)
  return { ...fake, clock, send: withRetry(fake.send, clock, () => random) }
}

describe('withRetry', () => {
  test('waits 250 ms, then twice as long each time, and hands the last answer on', async () => {
    const link = openLink(Array.from({ length: 4 }, () => status(503)))
    expect((await link.send(call)).status).toBe(503)
    expect(link.clock.waits).toEqual([250, 500, 1000])
    expect(link.calls.map(({ isRepeat = false }) => isRepeat)).toEqual([false, true, true, true])
    expect(link.calls).toHaveLength(limits.maxAttempts)
  })

  test('spreads its waits by a quarter to both sides', async () => {
    for (const [random, wait] of [
      [0, 187.5],
      [0.999999, 312.5],
    ] as const) {
      const link = openLink([transient, json({})], random)
      await link.send(call)
      expect(link.clock.waits[0]).toBeCloseTo(wait, 0)
    }
  })

  test('tries errors again that may pass, and throws the last one', async () => {
    const link = openLink([transient, transient, json({})])
    expect((await link.send(call)).status).toBe(200)
    const broken = openLink([transient, transient, transient, transient])
    expect(await rejection(broken.send(call))).toBe(transient)
    expect(broken.calls).toHaveLength(4)
  })

  test.each([408, 429, 500, 502, 503, 504])('tries status %d again', async (code) => {
    const link = openLink([status(code), json({})])
    expect((await link.send(call)).status).toBe(200)
  })

  test.each([200, 201, 206, 301, 304, 307, 400, 401, 403, 404, 405, 416, 501, 505])(
    'hands status %d on at once',
    async (code) => {
      const link = openLink([new Response(null, { status: code })])
      expect((await link.send(call)).status).toBe(code)
      expect(link.clock.waits).toEqual([])
    },
  )

  test.each([
    ['that a second attempt does not mend', new ChartRepoError('UPSTREAM_UNAVAILABLE', 'certificate')],
    ['that is not of the registry', new TypeError('a fault of this program')],
    ['that is the end of the caller', new DOMException('aborted', 'AbortError')],
  ])('throws an error %s at once', async (_what, error) => {
    const link = openLink([error])
    expect(await rejection(link.send(call))).toBe(error)
    expect(link.calls).toHaveLength(1)
  })

  test('waits as long as Retry-After says, in seconds or until a date, and not shorter than its own wait', async () => {
    const clock = new FakeClock({ skipsSleep: true })
    const date = new Date(clock.now() + 7000).toUTCString()
    for (const [header, wait] of [
      ['3', 3000],
      [date, 7000],
      ['0', 250],
      ['soon', 250],
      ['15', 15_000],
    ] as const) {
      const link = openLink([status(429, { 'retry-after': header }), json({})])
      await link.send(call)
      expect([header, link.clock.waits]).toEqual([header, [wait]])
    }
  })

  test('does not wait for a Retry-After that is too long', async () => {
    for (const header of [String(limits.maxRetryAfterMs / 1000 + 1), '3600', 'Fri, 31 Dec 2099 23:59:59 GMT']) {
      const link = openLink([status(429, { 'retry-after': header })])
      expect((await link.send(call)).status).toBe(429)
      expect(link.clock.waits).toEqual([])
    }
  })

  test('leaves the body of the answer it hands on, and lets go of those it does not', async () => {
    const bodies: number[] = []
    const streamed = (i: number) =>
      new Response(new ReadableStream({ cancel: () => void bodies.push(i) }), { status: 500 })
    const link = openLink([streamed(0), streamed(1), new Response('whole')])
    expect(await (await link.send(call)).text()).toBe('whole')
    expect(bodies).toEqual([0, 1])
  })

  test('comes to an end when attempts take long', async () => {
    const clock = new FakeClock({ skipsSleep: true })
    const slow = answerBy(() => async () => {
      await clock.sleep(50_000)
      throw transient
    })
    expect(await rejection(withRetry(slow.send, clock, () => 0.5)(call))).toBe(transient)
    expect(slow.calls).toHaveLength(2)
  })

  test('never sleeps past the time limit of a request', async () => {
    const answer = fc.oneof(fc.nat({ max: 20 }).map(String), fc.constantFrom('', 'soon'))
    const attempt = fc.record({ takesMs: fc.nat({ max: 60_000 }), header: answer, fails: fc.boolean() })
    await fc.assert(
      fc.asyncProperty(fc.infiniteStream(attempt), async (attempts) => {
        const clock = new FakeClock({ skipsSleep: true })
        const startedAt = clock.now()
        const begun: number[] = []
        const fake = answerBy(() => async () => {
          begun.push(clock.now() - startedAt)
          const { takesMs, header, fails } = attempts.next().value
          await clock.sleep(takesMs)
          if (fails) throw transient
          return status(503, { 'retry-after': header })
        })
        await withRetry(fake.send, clock)(call).catch(() => undefined)
        expect(begun.length).toBeLessThanOrEqual(limits.maxAttempts)
        // One wait of its own may follow an attempt that ended just in time.
        for (const at of begun) expect(at).toBeLessThan(limits.requestTimeoutMs + 1250)
      }),
    )
  })

  test('ends its wait when the caller gives up', async () => {
    const clock = new FakeClock()
    const controller = new AbortController()
    const fake = answerInTurn(transient)
    const sent = rejection(withRetry(fake.send, clock)({ ...call, signal: controller.signal }))
    await clock.advance(10)
    const reason = new Error('enough')
    controller.abort(reason)
    expect(await sent).toBe(reason)
    expect(clock.sleeping).toBe(0)
  })
})
