/** Who is sent which credential: challenges, tokens and their renewal, and nothing to anybody else. */
import { describe, expect, test } from 'bun:test'
import { withAuthentication } from '../../src/upstream/authentication.ts'
import type { Credential } from '../../src/upstream/credentials.ts'
import type { HttpCall } from '../../src/upstream/http-call.ts'
import { defer, FakeClock, settle } from '../lib/fake-clock.ts'
import { encodeBasic, OTHER_PASSWORD, OTHER_USER, PASSWORD, USER } from '../stand/secrets.ts'
import { type Answer, answerBy, answerInTurn, get, json, refusal, rejection } from './fake-send.ts'

const origin = new URL('https://r.example')
const bearer = 'Bearer realm="https://auth.example/token",service="s"'
const basic = { kind: 'basic', username: USER, password: PASSWORD } as const
const ok = () => json({})
const unauthorized = (challenge: string) => refusal(401, 'UNAUTHORIZED', { 'www-authenticate': challenge })

const tags = (repository: string): HttpCall =>
  get(`https://r.example/v2/${repository}/tags/list`, { scope: `repository:${repository}:pull` })
const catalog = get('https://r.example/v2/_catalog', { scope: 'registry:catalog:*' })

/** The link over answers of the registry and of its token server. */
function openLink(
  choose: (call: HttpCall, index: number) => Answer | undefined,
  { credential, sendCredentials = true }: { readonly credential?: Credential; readonly sendCredentials?: boolean } = {},
) {
  const fake = answerBy(choose)
  const clock = new FakeClock()
  const asked: string[] = []
  const credentials = {
    revision: 1,
    current: credential,
    find(host: string, repository: string) {
      asked.push(`${host} ${repository}`)
      return credentials.current
    },
  }
  const send = withAuthentication(fake.send, {
    origin,
    host: 'r.example',
    pathPrefix: 'team',
    credentials,
    sendCredentials,
    clock,
  })
  return { ...fake, send, clock, credentials, asked }
}

const authorizationOf = (call: HttpCall) => call.headers?.['authorization']
const isToken = (call: HttpCall) => call.url.host === 'auth.example'

/** A registry that takes the tokens given out last, and tokens called `token-1`, `token-2`, … */
function bearerRegistry(lifetimeSeconds = 300) {
  let given = 0
  let valid = new Set<string>()
  return {
    expire: () => {
      valid = new Set()
    },
    given: () => given,
    choose: (call: HttpCall): Answer => {
      if (!isToken(call)) return valid.has(authorizationOf(call) ?? '') ? ok() : unauthorized(bearer)
      given += 1
      valid.add(`Bearer token-${given}`)
      return json({ token: `token-${given}`, expires_in: lifetimeSeconds })
    },
  }
}

describe('a registry that is open', () => {
  test('is sent no credential: nobody asked for one', async () => {
    const link = openLink(ok, { credential: basic })
    expect((await link.send(tags('a'))).status).toBe(200)
    expect(link.lines()).toEqual(['GET https://r.example/v2/a/tags/list'])
  })
})

describe('a registry that wants Basic', () => {
  const choose = (call: HttpCall) =>
    authorizationOf(call) === `Basic ${encodeBasic(USER, PASSWORD)}` ? ok() : unauthorized('Basic realm="x"')

  test('challenges the first call only', async () => {
    const link = openLink(choose, { credential: basic })
    for (const name of ['a', 'b']) expect((await link.send(tags(name))).status).toBe(200)
    expect(link.calls).toHaveLength(3)
  })

  test('is asked once when there is no credential, and its refusal handed on', async () => {
    const link = openLink(choose)
    expect((await link.send(tags('a'))).status).toBe(401)
    expect(link.calls).toHaveLength(1)
  })

  test('is asked twice when it refuses the credential, and not for ever', async () => {
    const link = openLink(() => unauthorized('Basic realm="x"'), { credential: basic })
    expect((await link.send(tags('a'))).status).toBe(401)
    expect(link.calls).toHaveLength(2)
    expect((await link.send(tags('a'))).status).toBe(401)
    expect(link.calls).toHaveLength(3)
  })

  test('is sent no identity token', async () => {
    const link = openLink(choose, { credential: { kind: 'identity', username: USER, token: 'i' } })
    expect((await link.send(tags('a'))).status).toBe(401)
    expect(link.lines()).toEqual(['GET https://r.example/v2/a/tags/list'])
  })
})

describe('a registry that wants tokens', () => {
  test('gets one per repository, asked for once', async () => {
    const link = openLink(bearerRegistry().choose, { credential: basic })
    for (const name of ['a', 'a', 'b']) expect((await link.send(tags(name))).status).toBe(200)
    const asked = link.calls.filter(isToken).map(({ url }) => url.searchParams.getAll('scope'))
    expect(asked).toEqual([['repository:a:pull'], ['repository:b:pull']])
    expect(link.calls.filter(isToken).map(authorizationOf)).toEqual(
      Array(2).fill(`Basic ${encodeBasic(USER, PASSWORD)}`),
    )
    const sent = link.calls.filter((call) => !isToken(call)).map((call) => authorizationOf(call) ?? 'none')
    expect(sent).toEqual(['none', 'Bearer token-1', 'Bearer token-1', 'Bearer token-2'])
  })

  test('gives an anonymous token to who has no credential', async () => {
    const link = openLink(bearerRegistry().choose)
    expect((await link.send(tags('a'))).status).toBe(200)
    expect(link.calls.filter(isToken).map(authorizationOf)).toEqual([undefined])
  })

  test('is looked up by the repository of the call, or by the path of the view', async () => {
    const link = openLink(bearerRegistry().choose, { credential: basic })
    await link.send(tags('team/demo'))
    await link.send(catalog)
    expect([...new Set(link.asked)]).toEqual(['r.example team/demo', 'r.example team'])
  })

  test('is sent a registry token as it is, and asked for nothing', async () => {
    const link = openLink(() => unauthorized(bearer), { credential: { kind: 'registry', token: 'mine' } })
    expect((await link.send(tags('a'))).status).toBe(401)
    expect(link.lines()).toEqual(['GET https://r.example/v2/a/tags/list Bearer mine'])
  })

  test('gives a new one ahead of the expiry of the old one', async () => {
    const registry = bearerRegistry(100)
    const link = openLink(registry.choose)
    await link.send(tags('a'))
    await link.clock.advance(84_000)
    await link.send(tags('a'))
    expect(registry.given()).toBe(1)
    await link.clock.advance(2_000)
    await link.send(tags('a'))
    expect(registry.given()).toBe(2)
    expect(link.calls.filter((call) => !isToken(call) && authorizationOf(call) === undefined)).toHaveLength(1)
  })

  test('renews a token that is refused once per call, and then hands the refusal on', async () => {
    const registry = bearerRegistry()
    const link = openLink(registry.choose)
    await link.send(tags('a'))
    registry.expire()
    expect((await link.send(tags('a'))).status).toBe(200)
    expect(registry.given()).toBe(2)
    const stubborn = openLink((call) => (isToken(call) ? json({ token: 't' }) : unauthorized(bearer)))
    expect((await stubborn.send(tags('a'))).status).toBe(401)
    expect(stubborn.calls.map(isToken)).toEqual([false, true, false])
  })

  test('is asked for one token by many calls at once, at the start and after an expiry', async () => {
    const registry = bearerRegistry()
    const link = openLink(registry.choose)
    const all = async () =>
      (await Promise.all(Array.from({ length: 20 }, () => link.send(tags('a'))))).map(({ status }) => status)
    expect(await all()).toEqual(Array(20).fill(200))
    expect(registry.given()).toBe(1)
    registry.expire()
    expect(await all()).toEqual(Array(20).fill(200))
    expect(registry.given()).toBe(2)
  })

  test('is asked for a token of its own by a chart, while that of a tag hangs', async () => {
    const registry = bearerRegistry()
    const { promise: never } = defer<Response>()
    const link = openLink((call) => (isToken(call) && call.purpose !== 'chart' ? () => never : registry.choose(call)))
    void link.send(tags('a'))
    await settle()
    expect((await link.send({ ...tags('a'), purpose: 'chart' })).status).toBe(200)
    expect(link.calls.filter(isToken).map(({ purpose }) => purpose)).toEqual(['tag', 'chart'])
  })

  test('uses the token another call got while its own was refused', async () => {
    const late = defer<Response>()
    const link = openLink((call, i) => {
      if (isToken(call)) return json({ token: `t${i}` })
      if (i === 0) return unauthorized(bearer)
      if (i === 3) return () => late.promise
      return authorizationOf(call) === 'Bearer t1' && i > 3 ? unauthorized(bearer) : ok()
    })
    await link.send(tags('a'))
    const slow = link.send(tags('a'))
    await link.send(tags('a'))
    late.resolve(unauthorized(bearer))
    expect((await slow).status).toBe(200)
    expect(link.calls.filter(isToken)).toHaveLength(2)
  })

  test('is asked for the scopes its challenge names, of the resource at hand only', async () => {
    const scope = 'scope="repository:a:pull,metadata_read repository:other:push repository:a:pull"'
    const link = openLink((call) =>
      isToken(call) ? json({ token: 't' }) : authorizationOf(call) ? ok() : unauthorized(`${bearer},${scope}`),
    )
    await link.send(tags('a'))
    expect(link.calls[1]?.url.searchParams.getAll('scope')).toEqual([
      'repository:a:pull,metadata_read',
      'repository:a:pull',
    ])
  })

  test('fails with the words of the token server when that refuses', async () => {
    const link = openLink((call) => (isToken(call) ? refusal(401, 'UNAUTHORIZED') : unauthorized(bearer)), {
      credential: basic,
    })
    expect(await rejection(link.send(tags('a')))).toMatchObject({ code: 'UPSTREAM_DENIED', status: 401 })
  })

  test.each([
    'Basic realm="x", Bearer realm="https://auth.example/token"',
    'Bearer realm="https://auth.example/token",Basic realm="x"',
  ])('is given a token before a password: %s', async (challenge) => {
    const link = openLink(
      (call) => (isToken(call) ? json({ token: 't' }) : authorizationOf(call) ? ok() : unauthorized(challenge)),
      { credential: basic },
    )
    await link.send(tags('a'))
    expect(link.calls.at(-1)?.headers).toEqual({ authorization: 'Bearer t' })
  })

  test.each(['Negotiate', 'Bearer', 'Bearer service="s"', '', 'Digest realm="x"'])(
    'that challenges with %j is not understood',
    async (challenge) => {
      const link = openLink(() => unauthorized(challenge), { credential: basic })
      expect((await link.send(tags('a'))).status).toBe(401)
      expect(link.calls).toHaveLength(1)
    },
  )
})

describe('Harbor', () => {
  test('which answers a refused token with Basic is asked for a new token', async () => {
    const link = openLink(
      (call, i) => {
        if (isToken(call)) return json({ token: `t${i}` })
        if (authorizationOf(call) === undefined) return unauthorized(bearer)
        return authorizationOf(call) === 'Bearer t1' && i > 2 ? unauthorized('Basic realm="harbor"') : ok()
      },
      { credential: basic },
    )
    await link.send(tags('a'))
    expect((await link.send(tags('a'))).status).toBe(200)
    expect(link.calls.map((call) => (isToken(call) ? 'token' : (authorizationOf(call) ?? 'none')))).toEqual([
      ...['none', 'token', 'Bearer t1'],
      ...['Bearer t1', 'token', 'Bearer t4'],
    ])
  })

  test('wants Basic for its catalog and tokens for its repositories', async () => {
    const link = openLink(
      (call) => {
        if (isToken(call)) return json({ token: 't' })
        const wants = call.url.pathname === '/v2/_catalog' ? 'Basic' : 'Bearer'
        return authorizationOf(call)?.startsWith(wants)
          ? ok()
          : unauthorized(wants === 'Basic' ? 'Basic realm="harbor"' : bearer)
      },
      { credential: basic },
    )
    for (const call of [catalog, tags('a'), catalog, tags('a')]) expect((await link.send(call)).status).toBe(200)
    expect(link.calls).toHaveLength(7)
  })
})

describe('credentials', () => {
  test('that were rotated are used from the next call on', async () => {
    const choose = (call: HttpCall) =>
      authorizationOf(call)?.startsWith('Basic') ? ok() : unauthorized('Basic realm="x"')
    const link = openLink(choose, { credential: basic })
    await link.send(tags('a'))
    link.credentials.current = { kind: 'basic', username: OTHER_USER, password: OTHER_PASSWORD }
    link.credentials.revision = 2
    await link.send(tags('a'))
    expect(link.calls.map(authorizationOf)).toEqual([
      ...[undefined, `Basic ${encodeBasic(USER, PASSWORD)}`],
      ...[undefined, `Basic ${encodeBasic(OTHER_USER, OTHER_PASSWORD)}`],
    ])
  })

  test('that were rotated leave no token of before in use', async () => {
    const registry = bearerRegistry()
    const link = openLink(registry.choose, { credential: basic })
    await link.send(tags('a'))
    link.credentials.revision = 2
    await link.send(tags('a'))
    expect(registry.given()).toBe(2)
  })

  test('that were rotated while a token was on its way: that token is not kept', async () => {
    const late = defer<Response>()
    let asked = 0
    const link = openLink(
      (call) => {
        if (!isToken(call)) return authorizationOf(call) === undefined ? unauthorized(bearer) : ok()
        asked += 1
        return asked === 1 ? () => late.promise : json({ token: 'new' })
      },
      { credential: basic },
    )
    const first = link.send(tags('a'))
    await settle()
    link.credentials.current = { kind: 'basic', username: OTHER_USER, password: OTHER_PASSWORD }
    link.credentials.revision = 2
    await link.send(tags('b'))
    late.resolve(json({ token: 'old' }))
    await first
    await link.send(tags('a'))
    expect(link.calls.at(-1)?.headers).toEqual({ authorization: 'Bearer new' })
  })

  test.each([
    'https://evil.example/v2/a',
    'http://r.example/v2/a',
    'https://r.example:444/v2/a',
    'https://r.example.evil.example/',
  ])('are not sent to %s, nor is anything answered to its challenge', async (url) => {
    for (const challenge of [bearer, 'Basic realm="x"']) {
      const fake = answerInTurn(unauthorized('Basic realm="x"'), ok(), unauthorized(challenge))
      const link = openLink((call) => () => fake.send(call), { credential: basic })
      await link.send(tags('a'))
      expect((await link.send(get(url, { scope: 'repository:a:pull' }))).status).toBe(401)
      expect(fake.calls).toHaveLength(3)
      expect(fake.calls[2]?.headers ?? {}).toEqual({})
    }
  })

  test('are not sent where the scheme was only guessed, whatever is asked for; an anonymous token is', async () => {
    for (const credential of [
      basic,
      { kind: 'registry', token: 'r' },
      { kind: 'identity', username: '', token: 'i' },
    ] as const) {
      const link = openLink(
        (call) => (isToken(call) ? json({ token: 'anonymous' }) : unauthorized(`${bearer}, Basic realm="x"`)),
        {
          credential,
          sendCredentials: false,
        },
      )
      await link.send(tags('a'))
      await link.send(catalog)
      const sent = link.calls.map((call) => authorizationOf(call) ?? call.body)
      expect([...new Set(sent)]).toEqual([undefined, 'Bearer anonymous'])
      expect(link.asked).toEqual([])
    }
  })
})
