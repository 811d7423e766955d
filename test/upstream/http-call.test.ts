/** What an answer other than success means, and what of a call may be written down. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { withCallLog } from '../../src/upstream/call-log.ts'
import { describeCall, readErrorCodes, toStatusError } from '../../src/upstream/http-call.ts'
import { PASSWORD } from '../stand/secrets.ts'
import { captureLog } from '../telemetry/captured-log.ts'
import { answerInTurn, get, json, refusal, rejection } from './fake-send.ts'

const call = get('https://r.example/v2/a/tags/list?n=1')

describe('toStatusError', () => {
  test.each([
    [400, 'UPSTREAM_MALFORMED', false],
    [401, 'UPSTREAM_DENIED', false],
    [403, 'UPSTREAM_DENIED', false],
    [404, 'UPSTREAM_UNKNOWN', false],
    [405, 'UPSTREAM_MALFORMED', false],
    [408, 'UPSTREAM_UNAVAILABLE', true],
    [418, 'UPSTREAM_MALFORMED', false],
    [429, 'UPSTREAM_UNAVAILABLE', true],
    [500, 'UPSTREAM_UNAVAILABLE', true],
    [503, 'UPSTREAM_UNAVAILABLE', true],
  ])('of %d is %s', async (status, code, retryable) => {
    expect(await toStatusError(call, new Response('', { status }))).toMatchObject({ code, status, retryable })
  })

  test("has the registry's codes in its message, and nothing else of the answer", async () => {
    const errors = [
      { code: 'DENIED', message: PASSWORD, detail: PASSWORD },
      { code: `x ${PASSWORD}` },
      { code: 'UNAUTHORIZED' },
    ]
    const error = await toStatusError(call, json({ errors }, 403, { 'x-secret': PASSWORD }))
    expect(error.message).toBe('GET https://r.example/v2/a/tags/list?… was answered 403 DENIED, UNAUTHORIZED')
  })
})

describe('readErrorCodes', () => {
  test('finds the codes of an error document', async () => {
    expect(await readErrorCodes(refusal(404, 'NAME_UNKNOWN'))).toEqual(['NAME_UNKNOWN'])
    expect(await readErrorCodes(json({ errors: [] }))).toEqual([])
    expect(await readErrorCodes(json({ errors: Array(9).fill({ code: 'A' }) }))).toEqual(Array(5).fill('A'))
    expect(
      await readErrorCodes(json({ errors: [null, 1, {}, { code: 1 }, { code: 'lower' }, { code: 'A'.repeat(65) }] })),
    ).toEqual([])
  })

  test.each([
    '',
    '<html>404</html>',
    '404 page not found',
    '{}',
    '{"errors":{}}',
    '{"errors":"x"}',
    '[]',
    'null',
    '{"error":"x"}',
  ])('tells that %j is not the answer of a registry', async (body) => {
    expect(await readErrorCodes(new Response(body))).toBeUndefined()
  })

  test('never throws', async () => {
    await fc.assert(
      fc.asyncProperty(fc.jsonValue(), async (errors) => {
        await readErrorCodes(json({ errors }))
        await readErrorCodes(json(errors))
      }),
    )
  })
})

test('describeCall has method and address, without query and user', () => {
  expect(describeCall({ method: 'HEAD', url: new URL(`https://u:${PASSWORD}@h/v2/?k=${PASSWORD}`) })).toBe(
    'HEAD https://h/v2/?…',
  )
})

describe('withCallLog', () => {
  test('writes each attempt down, and hands the answer on', async () => {
    const log = captureLog()
    const answer = json({})
    expect(await withCallLog(answerInTurn(answer).send, log)(call)).toBe(answer)
    expect(log.lines).toEqual([
      {
        level: 'debug',
        message: 'registry call',
        fields: { call: 'GET https://r.example/v2/a/tags/list?…', status: 200, ms: expect.any(Number) },
      },
    ])
  })

  test('writes a failure down, and hands it on, without headers and query', async () => {
    const log = captureLog()
    const failure = new Error('broken off')
    const headers = { authorization: `Bearer ${PASSWORD}` }
    const send = withCallLog(answerInTurn(failure).send, log)
    expect(await rejection(send(get(`https://r.example/?token=${PASSWORD}`, { headers })))).toBe(failure)
    expect(log.lines[0]?.fields).toMatchObject({ error: 'broken off' })
    expect(log.text()).not.toContain(PASSWORD)
  })
})
