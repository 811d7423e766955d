/** Redirects by hand: where they may lead, and what goes along. */
import { describe, expect, test } from 'bun:test'
import { limits } from '../../src/limits.ts'
import type { HttpCall } from '../../src/upstream/http-call.ts'
import { withRedirects } from '../../src/upstream/redirects.ts'
import { answerBy, answerInTurn, get, json, rejection } from './fake-send.ts'

const to = (location: string, status = 307) => new Response(null, { status, headers: { location } })
const call: HttpCall = get('https://r.example/v2/a/blobs/sha256:0', {
  scope: 'repository:a:pull',
  headers: {
    accept: 'application/x',
    range: 'bytes=0-1',
    authorization: 'Bearer secret',
    cookie: 'secret',
    'x-key': 'secret',
  },
  maxBodyBytes: 10,
})

describe('withRedirects', () => {
  test.each([301, 302, 303, 307, 308])('follows %d', async (status) => {
    const fake = answerInTurn(to('https://r.example/elsewhere', status), json({}))
    expect((await withRedirects(fake.send)(call)).status).toBe(200)
    expect(fake.calls[1]?.url.href).toBe('https://r.example/elsewhere')
  })

  test.each([200, 300, 304, 305, 306, 400, 401, 404, 500])('hands %d on, whatever its Location', async (status) => {
    const fake = answerInTurn(new Response(null, { status, headers: { location: 'https://evil.example/' } }))
    expect((await withRedirects(fake.send)(call)).status).toBe(status)
  })

  test.each([
    ['/v2/b', 'https://r.example/v2/b'],
    ['./b', 'https://r.example/v2/a/blobs/b'],
    ['?x=1', 'https://r.example/v2/a/blobs/sha256:0?x=1'],
    ['https://R.EXAMPLE:443/v2/b', 'https://r.example/v2/b'],
    ['https://user:pass@r.example/v2/b', 'https://r.example/v2/b'],
  ])('within the origin, to %s, the call stays as it is', async (location, url) => {
    const fake = answerInTurn(to(location), json({}))
    await withRedirects(fake.send)(call)
    expect(fake.calls[1]).toEqual({ ...call, url: new URL(url) })
  })

  test.each([
    ['https://storage.example/blob?signature=x', 'https://storage.example/blob?signature=x'],
    ['//storage.example/blob', 'https://storage.example/blob'],
    ['https://r.example:444/v2/b', 'https://r.example:444/v2/b'],
    ['https://user:pass@storage.example/blob', 'https://storage.example/blob'],
  ])('to another origin, %s, only Accept and Range go along', async (location, url) => {
    const fake = answerInTurn(to(location), json({}))
    await withRedirects(fake.send)(call)
    expect(fake.calls[1]).toEqual({
      method: 'GET',
      maxBodyBytes: 10,
      url: new URL(url),
      headers: { accept: 'application/x', range: 'bytes=0-1' },
    })
  })

  test('what was left behind does not come back with a redirect to the first origin', async () => {
    const fake = answerInTurn(to('https://storage.example/'), to('https://r.example/v2/b'), json({}))
    await withRedirects(fake.send)(call)
    expect(fake.calls[2]?.headers).toEqual({ accept: 'application/x', range: 'bytes=0-1' })
    expect(fake.calls[2]).not.toHaveProperty('scope')
  })

  test.each([
    ...[
      'http://r.example/v2/b',
      'http://storage.example/',
      'file:///etc/passwd',
      'data:text/plain,x',
      's3://bucket/x',
      'ftp://x/',
      'javascript:0',
    ],
    ...['blob:https://r.example/x', 'http://', 'https://[::1', 'https://a b/'],
  ])('does not follow to %s', async (location) => {
    const fake = answerInTurn(to(location))
    expect(await rejection(withRedirects(fake.send)(call))).toMatchObject({
      code: 'UPSTREAM_MALFORMED',
      retryable: false,
    })
    expect(fake.calls).toHaveLength(1)
  })

  test('does not follow without a Location', async () => {
    const fake = answerInTurn(new Response(null, { status: 302 }))
    expect(await rejection(withRedirects(fake.send)(call))).toMatchObject({ code: 'UPSTREAM_MALFORMED' })
  })

  test('from plain HTTP leads to HTTPS', async () => {
    const fake = answerInTurn(to('https://r.example/x'), json({}))
    expect((await withRedirects(fake.send)({ ...call, url: new URL('http://r.example/') })).status).toBe(200)
  })

  test('follows as many as its limit, and no more', async () => {
    const hops = (most: number) => answerBy((_call, i) => (i < most ? to(`/${i}`) : json({})))
    const fine = hops(limits.maxRedirects)
    expect((await withRedirects(fine.send)(call)).status).toBe(200)
    const many = hops(limits.maxRedirects + 1)
    expect(await rejection(withRedirects(many.send)(call))).toMatchObject({ code: 'UPSTREAM_MALFORMED' })
    expect(many.calls).toHaveLength(limits.maxRedirects + 1)
  })

  test('has no signature, user or password in its messages', async () => {
    const location = 'http://user:Sup3rS3cret@storage.example/blob?signature=Sup3rS3cret'
    expect(String(await rejection(withRedirects(answerInTurn(to(location)).send)(call)))).not.toContain('Sup3rS3cret')
  })

  test('lets go of the body of an answer that redirects', async () => {
    let cancelled = false
    const body = new ReadableStream({
      cancel: () => {
        cancelled = true
      },
    })
    const redirect = new Response(body, { status: 307, headers: { location: '/x' } })
    await withRedirects(answerInTurn(redirect, json({})).send)(call)
    expect(cancelled).toBe(true)
  })
})
