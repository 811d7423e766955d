/** One attempt over a real socket: its time limits, its bounds, and what is made of what goes wrong. */
import { describe, expect, test } from 'bun:test'
import { limits } from '../../src/limits.ts'
import { errorFields } from '../../src/telemetry/log.ts'
import type { HttpCall } from '../../src/upstream/http-call.ts'
import { createTransport } from '../../src/upstream/transport.ts'
import { openBrokenWire, type WireAnswer, type WireRequest } from '../fakes/broken-wire.ts'
import { defer } from '../lib/fake-clock.ts'
import { PASSWORD } from '../stand/secrets.ts'
import { waitFor } from '../stand/wait-for.ts'
import { get, rejection } from './fake-send.ts'

/** A wire that gives one answer to all, and the transport to ask it with. */
function openStage(answer: WireAnswer | ((request: WireRequest) => WireAnswer | Promise<WireAnswer>), times = {}) {
  const requests: WireRequest[] = []
  const wire = openBrokenWire({
    answer: async (request) => {
      requests.push(request)
      return typeof answer === 'function' ? await answer(request) : answer
    },
    onMalformed: (bytes) => {
      throw new Error(`These bytes are no request: ${bytes}`)
    },
  })
  const send = createTransport({ userAgent: 'test/1', attemptTimeoutMs: 10_000, stallTimeoutMs: 10_000, ...times })
  const call = (rest: Partial<HttpCall> = {}) => get(`${wire.origin}/v2/?token=${PASSWORD}`, rest)
  return { wire, requests, send, call, [Symbol.asyncDispose]: wire[Symbol.asyncDispose] }
}

/** What a call fails with; what gets into the log of it has nothing of the query. */
const failure = async (promise: Promise<unknown>) => {
  const error = await rejection(promise)
  expect(JSON.stringify(errorFields(error))).not.toContain(PASSWORD)
  return error
}

describe.concurrent('createTransport', () => {
  test('sends what the call says and names the product, and asks for no compression', async () => {
    await using stage = openStage({ status: 200 })
    await stage.send(stage.call({ method: 'POST', body: 'a=b', headers: { accept: 'application/x' } }))
    expect(stage.requests[0]).toMatchObject({
      method: 'POST',
      body: 'a=b',
      headers: { accept: 'application/x', 'user-agent': 'test/1' },
    })
    expect(stage.requests[0]?.headers['accept-encoding'] ?? 'identity').not.toMatch(/gzip|br|deflate|zstd/)
  })

  test('hands compressed bytes on as they came: digests are of them', async () => {
    const body = Bun.gzipSync('x'.repeat(1000))
    await using stage = openStage({ status: 200, headers: { 'content-encoding': 'gzip' }, body })
    for (const maxBodyBytes of [5000, undefined]) {
      const response = await stage.send(stage.call(maxBodyBytes === undefined ? {} : { maxBodyBytes }))
      expect(Buffer.compare(await response.bytes(), body)).toBe(0)
    }
  })

  test.each([301, 302, 307, 308])('hands a redirect (%d) on and does not follow it', async (status) => {
    await using stage = openStage({ status, headers: { location: 'http://127.0.0.1:1/elsewhere' } })
    const response = await stage.send(stage.call())
    expect([response.status, response.headers.get('location')]).toEqual([status, 'http://127.0.0.1:1/elsewhere'])
    expect(stage.requests).toHaveLength(1)
  })

  test('hands any status on, with the body of an error cut at its bound', async () => {
    await using stage = openStage({ status: 500, body: 'x'.repeat(limits.maxErrorBodyBytes + 5000) })
    const response = await stage.send(stage.call())
    expect(response.status).toBe(500)
    expect((await response.text()).length).toBe(limits.maxErrorBodyBytes)
  })

  test.each(['length', 'chunked', 'close'] as const)('reads a bounded body whole (framing: %s)', async (framing) => {
    await using stage = openStage({ status: 200, body: 'x'.repeat(1000), framing, headers: { link: '<x>' } })
    const response = await stage.send(stage.call({ maxBodyBytes: 1000 }))
    expect([await response.text(), response.headers.get('link')]).toEqual(['x'.repeat(1000), '<x>'])
  })

  test.each(['length', 'chunked', 'close'] as const)(
    'does not read a body over its bound (framing: %s)',
    async (framing) => {
      await using stage = openStage({ status: 200, body: 'x'.repeat(1001), framing })
      expect(await failure(stage.send(stage.call({ maxBodyBytes: 1000 })))).toMatchObject({
        code: 'BODY_TOO_LARGE',
        retryable: false,
        message: `Cannot read the answer to GET ${stage.wire.origin}/v2/?…: it is larger than 1000 bytes`,
      })
    },
  )

  test('keeps the bound where a chunked body comes with a Content-Length that is smaller', async () => {
    await using stage = openStage({
      status: 200,
      body: 'x'.repeat(100_000),
      framing: 'chunked',
      headers: { 'content-length': '10' },
    })
    expect(await failure(stage.send(stage.call({ maxBodyBytes: 1000 })))).toMatchObject({ code: 'BODY_TOO_LARGE' })
  })

  test('breaks the connection off when a body is too large', async () => {
    const gone = defer()
    using listener = Bun.listen({
      hostname: '127.0.0.1',
      port: 0,
      socket: {
        data: (socket) => void socket.write(`HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n${'x'.repeat(5000)}`),
        close: () => gone.resolve(),
      },
    })
    const send = createTransport({ userAgent: 'test/1' })
    expect(await failure(send(get(`http://127.0.0.1:${listener.port}/`, { maxBodyBytes: 1000 })))).toMatchObject({
      code: 'BODY_TOO_LARGE',
    })
    await gone.promise
  })

  test('has no body to read for HEAD', async () => {
    await using stage = openStage({ status: 200, body: 'x'.repeat(5000) })
    const response = await stage.send(stage.call({ method: 'HEAD', maxBodyBytes: 10 }))
    expect([response.status, response.headers.get('content-length'), await response.text()]).toEqual([200, '5000', ''])
  })

  test.each(['length', 'chunked'] as const)(
    'takes a body that is cut for a fault that may pass (framing: %s)',
    async (framing) => {
      await using stage = openStage({ status: 200, body: 'x'.repeat(1000), framing, sendBytes: 500 })
      expect(await failure(stage.send(stage.call({ maxBodyBytes: 5000 })))).toMatchObject({
        code: 'UPSTREAM_UNAVAILABLE',
        retryable: true,
      })
    },
  )

  test('takes an error body that is cut for a fault that may pass', async () => {
    await using stage = openStage({ status: 404, body: 'x'.repeat(1000), sendBytes: 500 })
    expect(await failure(stage.send(stage.call()))).toMatchObject({ code: 'UPSTREAM_UNAVAILABLE', retryable: true })
  })

  test('fails in the stream when a streamed body is cut', async () => {
    await using stage = openStage({ status: 200, body: 'x'.repeat(1000), sendBytes: 500 })
    const response = await stage.send(stage.call())
    await failure(response.text())
  })

  test('takes a connection that is broken before the answer for a fault that may pass', async () => {
    await using stage = openStage('reset')
    expect(await failure(stage.send(stage.call()))).toMatchObject({ code: 'UPSTREAM_UNAVAILABLE', retryable: true })
  })

  test('says that nothing listens', async () => {
    await using stage = openStage('reset')
    stage.wire.stop()
    const error = await failure(stage.send(stage.call()))
    expect(error).toMatchObject({
      code: 'UPSTREAM_UNAVAILABLE',
      retryable: true,
      message: expect.stringContaining('nothing listens there'),
    })
  })

  test('takes a server without TLS behind HTTPS for a fault, and not for its certificate', async () => {
    await using stage = openStage('reset')
    const error = await failure(stage.send(get(`https://${stage.wire.host}/v2/`)))
    expect(error).toMatchObject({ code: 'UPSTREAM_UNAVAILABLE' })
    expect(String(error)).not.toContain('certificate')
  })
})

describe.concurrent('the time limit of an attempt', () => {
  test('ends an answer that does not come', async () => {
    await using stage = openStage('silence', { attemptTimeoutMs: 60 })
    const error = await failure(stage.send(stage.call()))
    expect(error).toMatchObject({
      code: 'UPSTREAM_TIMEOUT',
      retryable: true,
      message: expect.stringContaining('within 0.1 s'),
    })
  })

  test.each([200, 500])('ends a bounded body that falls silent (status %d)', async (status) => {
    await using stage = openStage(
      { status, body: 'x'.repeat(1000), sendBytes: 500, afterCut: 'silence' },
      { attemptTimeoutMs: 60 },
    )
    expect(await failure(stage.send(stage.call({ maxBodyBytes: 5000 })))).toMatchObject({
      code: 'UPSTREAM_TIMEOUT',
      retryable: true,
    })
  })

  test('does not count for a body that streams', async () => {
    await using stage = openStage(
      { status: 200, body: 'x'.repeat(1000), sendBytes: 500, afterCut: 'silence' },
      { attemptTimeoutMs: 60, stallTimeoutMs: 400 },
    )
    const response = await stage.send(stage.call())
    const startedAt = performance.now()
    expect(await failure(response.text())).toMatchObject({ code: 'UPSTREAM_TIMEOUT' })
    expect(performance.now() - startedAt).toBeGreaterThan(300)
  })
})

describe.concurrent('the time limit of silence', () => {
  test('ends a streamed body that falls silent, after what had come', async () => {
    await using stage = openStage(
      { status: 200, body: 'x'.repeat(1000), sendBytes: 500, afterCut: 'silence' },
      { stallTimeoutMs: 60 },
    )
    const reader = (await stage.send(stage.call())).body?.getReader()
    let length = 0
    const reading = async () => {
      for (let next = await reader?.read(); next?.done === false; next = await reader?.read())
        length += next.value.length
    }
    expect(await failure(reading())).toMatchObject({ code: 'UPSTREAM_TIMEOUT', retryable: true })
    expect(length).toBe(500)
  })

  test('does not count while nobody reads', async () => {
    await using stage = openStage({ status: 200, body: 'x'.repeat(100_000) }, { stallTimeoutMs: 40 })
    const response = await stage.send(stage.call())
    const waitedUntil = performance.now() + 150
    await waitFor('three limits to pass', () => performance.now() > waitedUntil)
    expect((await response.text()).length).toBe(100_000)
  })
})

describe.concurrent('the end of the caller', () => {
  test('ends an attempt with its own reason', async () => {
    await using stage = openStage('silence')
    const controller = new AbortController()
    const sent = stage.send(stage.call({ signal: controller.signal }))
    await waitFor('the request', () => stage.requests.length > 0)
    const reason = new Error('stopping')
    controller.abort(reason)
    expect(await rejection(sent)).toBe(reason)
  })

  test('ends a body that streams', async () => {
    await using stage = openStage({ status: 200, body: 'x'.repeat(1000), sendBytes: 500, afterCut: 'silence' })
    const controller = new AbortController()
    const response = await stage.send(stage.call({ signal: controller.signal }))
    controller.abort(new Error('stopping'))
    expect(String(await rejection(response.text()))).toContain('stopping')
  })
})
