/** The pool over real sockets, in front of registries that refuse, hang or stream. */
import { expect, test } from 'bun:test'
import { systemClock } from '../../src/lib/clock.ts'
import { limits } from '../../src/limits.ts'
import type { HttpCall } from '../../src/upstream/http-call.ts'
import { withRequestPool } from '../../src/upstream/request-pool.ts'
import { withRetry } from '../../src/upstream/retry.ts'
import { createTransport } from '../../src/upstream/transport.ts'
import { waitFor } from '../stand/wait-for.ts'
import { get, rejection } from './fake-send.ts'

const MOST = limits.maxUpstreamRequests

/** A server that counts what is in flight, and the client's chain from the retries on. */
function openStage(answer: (path: string, inFlight: number) => Promise<Response>) {
  let inFlight = 0
  const seen = { most: 0, requests: 0 }
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: async ({ url }) => {
      seen.requests += 1
      seen.most = Math.max(seen.most, ++inFlight)
      try {
        return await answer(new URL(url).pathname, inFlight)
      } finally {
        inFlight -= 1
      }
    },
  })
  const send = withRetry(withRequestPool(createTransport({ userAgent: 'test/1' }), systemClock), systemClock)
  const ask = (path: string, rest: Partial<HttpCall> = {}) => send(get(new URL(path, server.url).href, rest))
  return { seen, ask, [Symbol.asyncDispose]: () => server.stop(true) }
}

/** Long enough that requests meet on the server. */
const served = async (): Promise<Response> => {
  await Bun.sleep(2)
  return new Response('x')
}

test.each([1, 5, 20])('a registry that takes %d requests at once answers all in the end', async (room) => {
  await using stage = openStage(async (_path, inFlight) =>
    inFlight > room ? new Response('too many', { status: 429 }) : await served(),
  )
  const answers = await Promise.all(
    Array.from({ length: 300 }, async () => (await stage.ask('/', { maxBodyBytes: 10 })).status),
  )
  expect(new Set(answers)).toEqual(new Set([200]))
  expect(stage.seen.most).toBeGreaterThan(room)
  // Between its refusals the client stays near what the registry takes: few requests are made in vain.
  expect(stage.seen.requests).toBeLessThan(2 * answers.length)
})

test('a registry that takes everything has more in flight than to begin with, and never more than the ceiling', async () => {
  await using stage = openStage(served)
  const purposes = ['chart', 'list', 'tag'] as const
  const answers = await Promise.all(
    Array.from({ length: 900 }, async (_, i) => {
      const purpose = purposes[i % 3] ?? 'tag'
      return (await stage.ask('/', { maxBodyBytes: 10, purpose })).status
    }),
  )
  expect([new Set(answers), stage.seen.requests]).toEqual([new Set([200]), 900])
  expect(stage.seen.most).toBeGreaterThan(limits.firstUpstreamRequests)
  expect(stage.seen.most).toBeLessThanOrEqual(MOST)
})

test('tags that hang keep neither a list nor a chart waiting', async () => {
  const { promise: never } = Promise.withResolvers<Response>()
  await using stage = openStage((path) => (path === '/hangs' ? never : served()))
  const controller = new AbortController()
  const { signal } = controller
  const hanging = Array.from({ length: 100 }, () => rejection(stage.ask('/hangs', { signal })))
  await waitFor('tags to hang', () => stage.seen.requests === (limits.firstUpstreamRequests * 3) / 4)
  for (const purpose of ['list', 'chart'] as const) {
    expect(await (await stage.ask('/', { purpose, maxBodyBytes: 10 })).text()).toBe('x')
  }
  controller.abort(new Error('enough'))
  await Promise.all(hanging)
})

test('bodies that stream to slow readers hold no places', async () => {
  const endless = () => new ReadableStream({ pull: (stream) => stream.enqueue(new Uint8Array(100_000)) })
  await using stage = openStage(async () => new Response(endless()))
  const open: Response[] = []
  for (let i = 0; i < MOST + 4; i++) open.push(await stage.ask('/', { purpose: 'chart' }))
  for (const response of open) await response.body?.cancel()
  expect(open.length).toBe(MOST + 4)
})
