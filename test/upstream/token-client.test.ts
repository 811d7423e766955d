/** Asking token servers: which are believed, what they are sent, and which answers are tokens. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { limits } from '../../src/limits.ts'
import { basicAuthorization, fetchToken, type TokenRequest } from '../../src/upstream/token-client.ts'
import { encodeBasic, IDENTITY_TOKEN, OTHER_PASSWORD, PASSWORD, USER } from '../stand/secrets.ts'
import { answerInTurn, json, refusal, rejection } from './fake-send.ts'

const registry = new URL('https://r.example')
const basic = { kind: 'basic', username: USER, password: PASSWORD } as const
const wanted: TokenRequest = {
  realm: 'https://auth.example/token',
  service: 'r.example',
  scopes: ['repository:a:pull'],
  credential: undefined,
  purpose: 'tag',
}

/** The single call made for a token. */
async function callFor(request: Partial<TokenRequest>, answer = json({ token: 't' }), origin = registry) {
  const fake = answerInTurn(answer)
  const token = await fetchToken(fake.send, origin, { ...wanted, ...request })
  const [call] = fake.calls
  if (call === undefined) throw new Error('No call was made')
  return { call, token }
}

describe('fetchToken', () => {
  test('asks by GET, with every scope on its own, and without credentials for an anonymous token', async () => {
    const { call, token } = await callFor({ service: 'a b', scopes: ['repository:a:pull', 'registry:catalog:*'] })
    expect(token.value).toBe('t')
    expect(call).toMatchObject({
      method: 'GET',
      headers: { accept: 'application/json' },
      maxBodyBytes: limits.maxTokenBytes,
    })
    expect([...call.url.searchParams]).toEqual([
      ['service', 'a b'],
      ['scope', 'repository:a:pull'],
      ['scope', 'registry:catalog:*'],
    ])
    expect(call.headers).not.toHaveProperty('authorization')
    expect(call.scope).toBeUndefined()
    expect(call.purpose).toBe('tag')
  })

  test('keeps the query of the realm, and asks for no service where the registry named none', async () => {
    const { call } = await callFor({ realm: 'https://auth.example/token?account=x&a=1', service: undefined })
    expect(call.url.href).toBe('https://auth.example/token?account=x&a=1&scope=repository%3Aa%3Apull')
  })

  test('sends name and password as Basic', async () => {
    const { call } = await callFor({ credential: basic })
    expect(call.headers?.['authorization']).toBe(`Basic ${encodeBasic(USER, PASSWORD)}`)
    expect(call.url.href).not.toContain(PASSWORD)
  })

  test('exchanges an identity token by POST, never in the address', async () => {
    const credential = { kind: 'identity', username: '', token: IDENTITY_TOKEN } as const
    const { call } = await callFor({
      credential,
      scopes: ['repository:a:pull', 'repository:b:pull'],
      purpose: 'chart',
    })
    expect(call).toMatchObject({
      method: 'POST',
      purpose: 'chart',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    })
    expect(call.url.href).toBe('https://auth.example/token')
    expect(Object.fromEntries(new URLSearchParams(call.body))).toEqual({
      grant_type: 'refresh_token',
      client_id: 'oci-chartrepo',
      refresh_token: IDENTITY_TOKEN,
      service: 'r.example',
      scope: 'repository:a:pull repository:b:pull',
    })
    expect(call.headers).not.toHaveProperty('authorization')
  })

  test.each([
    ['https://r.example', 'https://auth.example/token', true],
    ['https://r.example', 'https://r.example/token', true],
    ['https://r.example', 'https://user:pass@auth.example/token', true],
    ['https://r.example', 'http://auth.example/token', false],
    ['https://r.example', 'http://r.example/token', false],
    ['https://r.example', 'https://127.0.0.1/token', false],
    ['https://r.example', 'https://localhost/token', false],
    ['https://r.example', 'https://10.0.0.1/token', false],
    ['https://r.example', 'https://192.168.1.1/token', false],
    ['https://r.example', 'https://169.254.169.254/latest', false],
    ['https://r.example', 'https://[::1]/token', false],
    ['https://r.example', 'https://[fd00::1]/token', false],
    ['https://r.example', 'https://[::ffff:10.0.0.1]/token', false],
    ['https://r.example', 'https://0x7f.1/token', false],
    ['https://r.example', 'https://2130706433/token', false],
    ['http://r.example', 'http://auth.example/token', true],
    ['http://r.example', 'https://auth.example/token', true],
    ['http://r.example', 'http://127.0.0.1/token', false],
    ['http://127.0.0.1:5000', 'http://127.0.0.1:5001/token', true],
    ['http://10.0.0.5:5000', 'http://10.0.0.5:5001/token', true],
    ['https://10.0.0.5', 'https://auth.example/token', true],
    ['https://r.example', 'file:///etc/passwd', false],
    ['https://r.example', 'data:text/plain,{"token":"x"}', false],
    ['https://r.example', 'ftp://auth.example/token', false],
    ['https://r.example', '/token', false],
    ['https://r.example', '', false],
    ['https://r.example', 'https://', false],
  ])('of a registry at %s, the realm %s: believed %j', async (origin, realm, believed) => {
    const fake = answerInTurn(json({ token: 't' }))
    const asked = fetchToken(fake.send, new URL(origin), { ...wanted, realm, credential: basic })
    if (believed) expect((await asked).value).toBe('t')
    else
      expect(await rejection(asked)).toMatchObject({
        code: 'UPSTREAM_MALFORMED',
        message: expect.stringContaining('Cannot authenticate'),
      })
    expect(fake.calls).toHaveLength(believed ? 1 : 0)
    expect(fake.calls[0]?.url.username ?? '').toBe('')
  })

  test.each([
    [{ token: 'a' }, 'a'],
    [{ access_token: 'b' }, 'b'],
    [{ token: 'a', access_token: 'b' }, 'b'],
    [{ token: 'a', access_token: '' }, 'a'],
    [{ token: 'a.b-c_d=', issued_at: 'x', refresh_token: 'r' }, 'a.b-c_d='],
  ])('takes the token of %j', async (answer, value) => {
    expect((await callFor({}, json(answer))).token.value).toBe(value)
  })

  test.each([
    [undefined, 60],
    [300, 300],
    [59, 60],
    [0, 60],
    [-5, 60],
    ['300', 300],
    ['soon', 60],
    [null, 60],
    [{}, 60],
  ])('takes expires_in %j for %d seconds', async (expires_in, seconds) => {
    expect((await callFor({}, json({ token: 't', expires_in }))).token.lifetimeSeconds).toBe(seconds)
  })

  test.each([
    {},
    { token: '' },
    { token: 1 },
    { token: 'a b' },
    { token: 'a\r\nx: y' },
    { token: 'ü' },
    [[]],
    null,
    'x',
  ])('finds no usable token in %j', async (answer) => {
    const error = await rejection(callFor({}, json(answer)))
    expect(error).toMatchObject({ code: 'UPSTREAM_MALFORMED', message: expect.stringContaining('no usable token') })
  })

  test('finds none in what is no JSON, and does not repeat it', async () => {
    const error = await rejection(callFor({}, new Response(`token=${PASSWORD}`)))
    expect(`${error}`).toContain('no usable token')
    expect(Bun.inspect(error)).not.toContain(PASSWORD)
  })

  test.each([
    [401, 'UPSTREAM_DENIED'],
    [403, 'UPSTREAM_DENIED'],
    [400, 'UPSTREAM_MALFORMED'],
    [404, 'UPSTREAM_UNKNOWN'],
    [302, 'UPSTREAM_MALFORMED'],
    [429, 'UPSTREAM_UNAVAILABLE'],
    [503, 'UPSTREAM_UNAVAILABLE'],
  ])('fails on status %d with %s, without a word of the credential', async (status, code) => {
    const error = await rejection(
      callFor({ credential: basic }, refusal(status, 'UNAUTHORIZED', { location: 'https://x/' })),
    )
    expect(error).toMatchObject({ code, status })
    expect(Bun.inspect(error)).not.toContain(PASSWORD)
    expect(Bun.inspect(error)).not.toContain(encodeBasic(USER, PASSWORD))
  })
})

test('basicAuthorization carries any name and password', () => {
  expect(basicAuthorization({ username: USER, password: OTHER_PASSWORD })).toBe(
    `Basic ${encodeBasic(USER, OTHER_PASSWORD)}`,
  )
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), (username, password) => {
      const value = basicAuthorization({ username, password })
      expect(value).toMatch(/^Basic [A-Za-z0-9+/]*={0,2}$/)
      expect(Buffer.from(value.slice(6), 'base64').toString()).toBe(`${username}:${password}`)
    }),
  )
})
