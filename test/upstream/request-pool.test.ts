/** How many calls go out at once, in which order, and what the registry's answers make of it. */
import { describe, expect, test } from 'bun:test'
import { limits } from '../../src/limits.ts'
import type { CallPurpose, HttpCall } from '../../src/upstream/http-call.ts'
import { withRequestPool } from '../../src/upstream/request-pool.ts'
import { defer, FakeClock, settle } from '../lib/fake-clock.ts'
import { get, rejection } from './fake-send.ts'

const FIRST = limits.firstUpstreamRequests
const MOST = limits.maxUpstreamRequests

interface Sent {
  readonly call: HttpCall
  /** Answers it, and resolves when all that follows from the answer is done. */
  readonly answer: (status?: number, headers?: Readonly<Record<string, string>>) => Promise<void>
  readonly fail: (error: Error) => Promise<void>
}

/** A pool over calls that stay in flight until the test answers them. */
function openPool() {
  const clock = new FakeClock()
  const inFlight: Sent[] = []
  const send = withRequestPool(async (call) => {
    const { promise, resolve, reject } = defer<Response>()
    const end = async (finish: () => void) => {
      inFlight.splice(inFlight.indexOf(sent), 1)
      finish()
      await settle()
    }
    const sent: Sent = {
      call,
      answer: (status = 200, headers = {}) => end(() => resolve(new Response(null, { status, headers }))),
      fail: (error) => end(() => reject(error)),
    }
    inFlight.push(sent)
    return await promise
  }, clock)
  let count = 0
  const ask = (rest: Partial<HttpCall> = {}) => send(get(`https://r.example/${count++}`, rest))
  /** So many charts: the purpose that may have the whole pool. */
  const fill = async (calls: number, rest: Partial<HttpCall> = { purpose: 'chart' }) => {
    const answers = Array.from({ length: calls }, () => ask(rest))
    await settle()
    return answers
  }
  const oldest = (): Sent => {
    const [sent] = inFlight
    if (sent === undefined) throw new Error('Nothing is in flight')
    return sent
  }
  const answerOldest = async (times: number, status = 200) => {
    for (let i = 0; i < times; i++) await oldest().answer(status)
  }
  return { clock, ask, fill, inFlight, oldest, answerOldest, asked: () => inFlight.map(({ call }) => call) }
}

describe('the limit', () => {
  test('is small at first, and grows by one with each answer up to the ceiling', async () => {
    const { fill, oldest, inFlight } = openPool()
    await fill(1000)
    const lengths: number[] = []
    for (let i = 0; i < MOST; i++) {
      lengths.push(inFlight.length)
      await oldest().answer()
    }
    expect(lengths).toEqual(Array.from({ length: MOST }, (_, i) => Math.min(FIRST + i, MOST)))
  })

  test('does not grow where nobody waits', async () => {
    const { fill, inFlight, answerOldest } = openPool()
    for (let round = 0; round < 5; round++) {
      await fill(FIRST)
      await answerOldest(FIRST)
    }
    await fill(1000)
    expect(inFlight).toHaveLength(FIRST)
  })

  test.each([500, 502, 504])('stays the same with answers of %d, and with none', async (status) => {
    const { fill, oldest, inFlight, answerOldest } = openPool()
    const [first] = await fill(1000)
    const failed = rejection(first as Promise<Response>)
    await oldest().fail(new Error('broken off'))
    expect(String(await failed)).toContain('broken off')
    await answerOldest(20, status)
    expect(inFlight).toHaveLength(FIRST)
  })

  test.each([200, 307, 401, 404])('grows with answers of %d', async (status) => {
    const { fill, inFlight, answerOldest } = openPool()
    await fill(1000)
    await answerOldest(1, status)
    expect(inFlight).toHaveLength(FIRST + 1)
  })

  test.each([429, 503])('is halved by %d once for all that was sent before', async (status) => {
    const { fill, inFlight, answerOldest } = openPool()
    await fill(1000)
    await answerOldest(MOST)
    expect(inFlight).toHaveLength(MOST)
    await answerOldest(MOST / 2, status)
    expect(inFlight).toHaveLength(MOST / 2)
    // The rest of that round neither halves the limit again nor lets it grow.
    await answerOldest(MOST / 4, status)
    await answerOldest(MOST / 4)
    expect(inFlight).toHaveLength(MOST / 2)
    await answerOldest(MOST / 4, status)
    expect(inFlight).toHaveLength(MOST / 4)
  })

  test('is never less than one', async () => {
    const { fill, inFlight, answerOldest } = openPool()
    await fill(1000)
    await answerOldest(50, 429)
    expect(inFlight).toHaveLength(1)
  })

  test('grows by one in a round once the registry has refused', async () => {
    const { fill, inFlight, answerOldest } = openPool()
    await fill(3000)
    await answerOldest(1, 429)
    await answerOldest(FIRST - 1)
    expect(inFlight).toHaveLength(FIRST / 2)
    for (let limit = FIRST / 2 + 1; limit <= MOST; limit++) {
      await answerOldest(limit - 2)
      expect(inFlight).toHaveLength(limit - 1)
      await answerOldest(1)
      expect(inFlight).toHaveLength(limit)
    }
    // A round that is broken off by a refusal counts for nothing.
    await answerOldest(MOST - 1)
    await answerOldest(1, 429)
    await answerOldest(MOST - 1)
    await answerOldest(MOST / 2 - 1)
    expect(inFlight).toHaveLength(MOST / 2)
    await answerOldest(1)
    expect(inFlight).toHaveLength(MOST / 2 + 1)
  })

  test.each([
    [503, FIRST],
    [429, FIRST / 2],
  ])('after %d for a call that was repeated is %d', async (status, limit) => {
    const { ask, fill, oldest, inFlight, answerOldest } = openPool()
    const repeated = ask({ purpose: 'chart', isRepeat: true })
    await fill(100)
    await oldest().answer(status)
    expect((await repeated).status).toBe(status)
    await answerOldest(FIRST, 500)
    expect(inFlight).toHaveLength(limit)
  })
})

describe('Retry-After', () => {
  test.each([
    ['seconds', () => '3'],
    ['a date', (now: number) => new Date(now + 3000).toUTCString()],
  ])('in %s holds everything back for as long', async (_form, header) => {
    const { fill, clock, oldest, inFlight, answerOldest } = openPool()
    await fill(100)
    await oldest().answer(503, { 'retry-after': header(clock.now()) })
    await answerOldest(FIRST - 1)
    await clock.advance(2999)
    expect(inFlight).toHaveLength(0)
    await clock.advance(1)
    expect(inFlight).toHaveLength(FIRST / 2)
  })

  test('holds back who comes later, and the longest of several counts', async () => {
    const { ask, fill, clock, oldest, asked } = openPool()
    await fill(2, {})
    await oldest().answer(429, { 'retry-after': '5' })
    await oldest().answer(429, { 'retry-after': '2' })
    const late = ask({ purpose: 'chart' })
    await clock.advance(4999)
    expect(asked()).toEqual([])
    await clock.advance(1)
    expect(asked()).toMatchObject([{ purpose: 'chart' }])
    await oldest().answer()
    expect((await late).status).toBe(200)
  })

  test.each(['0', 'soon', String(limits.maxRetryAfterMs / 1000 + 1)])('of %s holds nobody back', async (value) => {
    const { fill, oldest, inFlight, clock } = openPool()
    await fill(1)
    await oldest().answer(429, { 'retry-after': value })
    await fill(1)
    expect([inFlight.length, clock.sleeping]).toEqual([1, 0])
  })

  test('for a call that was repeated holds nobody back when it is 503', async () => {
    const { ask, fill, oldest, inFlight } = openPool()
    const repeated = ask({ isRepeat: true })
    await oldest().answer(503, { 'retry-after': '5' })
    expect((await repeated).status).toBe(503)
    await fill(1)
    expect(inFlight).toHaveLength(1)
  })
})

describe('who waits', () => {
  test('is served by purpose, and in turn within a purpose', async () => {
    const { ask, fill, asked, oldest, inFlight, answerOldest } = openPool()
    await fill(FIRST)
    const purposes: readonly (CallPurpose | undefined)[] = ['tag', undefined, 'list', 'chart', 'tag', 'list', 'chart']
    const waiting = purposes.map((purpose) => ask({ ...(purpose !== undefined && { purpose }) }))
    // With these answers the limit does not grow, so one place becomes free at a time.
    await answerOldest(FIRST, 500)
    const order = asked().map(({ url }) => url.pathname)
    expect(order).toEqual([3, 6, 2, 5, 0, 1, 4].map((i) => `/${FIRST + i}`))
    while (inFlight.length > 0) await oldest().answer()
    await Promise.all(waiting)
  })

  test.each([FIRST, MOST])(
    'for a tag finds three quarters of %d, for a list seven eighths, for a chart all',
    async (limit) => {
      const { fill, inFlight, answerOldest } = openPool()
      await fill(2 * MOST)
      await answerOldest(limit - FIRST)
      while (inFlight.length > 0) await answerOldest(1, 500)
      await fill(100, { purpose: 'tag' })
      expect(inFlight).toHaveLength((limit * 3) / 4)
      await fill(100, { purpose: 'list' })
      expect(inFlight).toHaveLength((limit * 7) / 8)
      await fill(100)
      expect(inFlight).toHaveLength(limit)
    },
  )

  test('finds one place at least', async () => {
    for (const purpose of ['tag', 'list', 'chart'] as const) {
      const { fill, inFlight, answerOldest } = openPool()
      await fill(100)
      while (inFlight.length > 0) await answerOldest(1, 429)
      await fill(10, { purpose })
      expect(inFlight).toHaveLength(1)
      await answerOldest(1, 500)
      expect(inFlight).toHaveLength(1)
    }
  })

  test('leaves with the reason of its signal, and takes no place', async () => {
    const { ask, fill, oldest, asked, inFlight } = openPool()
    await fill(FIRST)
    const controller = new AbortController()
    const { signal } = controller
    const leaving = rejection(ask({ purpose: 'chart', signal }))
    const staying = ask({ purpose: 'chart' })
    const reason = new Error('enough')
    controller.abort(reason)
    expect(await leaving).toBe(reason)
    await oldest().answer(500)
    expect(asked().map(({ url }) => url.pathname)).toContain(`/${FIRST + 1}`)
    expect(inFlight).toHaveLength(FIRST)
    while (inFlight.length > 0) await oldest().answer()
    expect((await staying).status).toBe(200)
  })

  test('stays where it is when a call that is under way is given up', async () => {
    const { ask, fill, oldest, inFlight } = openPool()
    const controller = new AbortController()
    await fill(FIRST)
    const begun = ask({ purpose: 'chart', signal: controller.signal })
    await oldest().answer(500)
    const waiting = ask({ purpose: 'chart' })
    controller.abort(new Error('enough'))
    while (inFlight.length > 0) await oldest().answer()
    expect([(await begun).status, (await waiting).status]).toEqual([200, 200])
  })

  test('leaves while the registry wants to be left alone', async () => {
    const { ask, fill, oldest, clock, inFlight } = openPool()
    await fill(1)
    await oldest().answer(429, { 'retry-after': '5' })
    const controller = new AbortController()
    const leaving = rejection(ask({ signal: controller.signal }))
    controller.abort(new Error('enough'))
    expect(String(await leaving)).toContain('enough')
    await clock.advance(5000)
    expect(inFlight).toHaveLength(0)
  })

  test('does not begin to when its signal has aborted already', async () => {
    const { ask, inFlight } = openPool()
    const reason = new Error('enough')
    expect(await rejection(ask({ signal: AbortSignal.abort(reason) }))).toBe(reason)
    expect(inFlight).toHaveLength(0)
  })
})
