/** Lists in pages: all of them, from nowhere else, and to an end. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { limits } from '../../src/limits.ts'
import { listPages } from '../../src/upstream/paging.ts'
import { type Answer, answerBy, answerInTurn, get, json, refusal, rejection } from './fake-send.ts'

const first = get('https://r.example/v2/a/tags/list?n=2', { scope: 's' })
const page = (names: readonly string[], link?: string) =>
  json(names, 200, link === undefined ? {} : { link: `<${link}>; rel="next"` })
const readNames = (body: unknown) => body as readonly string[]
const list = (...answers: readonly Answer[]) => {
  const fake = answerInTurn(...answers)
  return { ...fake, listing: listPages(fake.send, first, readNames) }
}

describe('listPages', () => {
  test('reads one page, bounded', async () => {
    const { listing, calls } = list(page(['a', 'b']))
    expect(await listing).toEqual({ names: ['a', 'b'], incomplete: undefined })
    expect(calls).toEqual([{ ...first, maxBodyBytes: limits.maxListPageBytes }])
  })

  test.each([
    '/v2/a/tags/list?last=b&n=2',
    '?last=b&n=2',
    'https://r.example/v2/a/tags/list?last=b&n=2',
    'http://r.example/v2/a/tags/list?last=b&n=2',
    'https://evil.example/other?last=b&n=2',
    '//evil.example/?last=b&n=2',
    'http://127.0.0.1:9/repository/x/v2/a/tags/list?last=b&n=2',
    'file:///etc/passwd?last=b&n=2',
  ])('takes only the query of the next link %s, on its own path', async (link) => {
    const { listing, lines } = list(page(['a', 'b'], link), page(['c']))
    expect(await listing).toEqual({ names: ['a', 'b', 'c'], incomplete: undefined })
    expect(lines()).toEqual([
      'GET https://r.example/v2/a/tags/list?n=2',
      'GET https://r.example/v2/a/tags/list?last=b&n=2',
    ])
  })

  test('keeps the scope on every page', async () => {
    const { listing, calls } = list(page(['a'], '?last=a'), page(['b'], '?last=b'), page([]))
    await listing
    expect(calls.map(({ scope }) => scope)).toEqual(['s', 's', 's'])
  })

  test('reads pages that are empty, short or overlap, and gives each name once', async () => {
    const { listing } = list(page([], '?a'), page(['x', 'y'], '?b'), page(['y'], '?c'), page([]))
    expect(await listing).toEqual({ names: ['x', 'y'], incomplete: undefined })
  })

  test.each(['?n=2', '/v2/a/tags/list?n=2', 'https://elsewhere.example/?n=2'])(
    'ends a list whose first page leads back to itself by %s',
    async (link) => {
      const { listing, calls } = list(page(['a'], link))
      expect(await listing).toMatchObject({ names: ['a'], incomplete: { code: 'UPSTREAM_MALFORMED' } })
      expect(calls).toHaveLength(1)
    },
  )

  test('ends a list that goes in a circle', async () => {
    const { listing, calls } = list(page(['a'], '?x'), page(['b'], '?y'), page(['c'], '?x'))
    expect(await listing).toMatchObject({ names: ['a', 'b', 'c'], incomplete: { code: 'UPSTREAM_MALFORMED' } })
    expect(calls).toHaveLength(3)
  })

  test('ends a list without end', async () => {
    const fake = answerBy((_call, i) => page([`n${i}`], `?last=${i}`))
    const listing = await listPages(fake.send, first, readNames)
    expect(listing.incomplete).toMatchObject({ code: 'UPSTREAM_MALFORMED' })
    expect(fake.calls).toHaveLength(limits.maxListPages)
  })

  test.each([
    ['an error answer', () => refusal(500, 'UNKNOWN'), 'UPSTREAM_UNAVAILABLE'],
    ['a refusal', () => refusal(403, 'DENIED'), 'UPSTREAM_DENIED'],
    ['no JSON', () => new Response('<html>'), 'UPSTREAM_MALFORMED'],
    ['a link that is no URL', () => page(['c'], 'https://[x'), 'UPSTREAM_MALFORMED'],
  ])('is incomplete when a later page is %s', async (_what, answer, code) => {
    const { listing } = list(page(['a', 'b'], '?last=b'), answer())
    expect(await listing).toMatchObject({ names: expect.arrayContaining(['a', 'b']), incomplete: { code } })
  })

  test('is incomplete, too, when the page before it was empty', async () => {
    expect(await list(page([], '?x'), refusal(500, 'UNKNOWN')).listing).toMatchObject({
      names: [],
      incomplete: { status: 500 },
    })
  })

  test.each([
    ['an error answer', () => refusal(404, 'NAME_UNKNOWN'), { code: 'UPSTREAM_UNKNOWN', status: 404 }],
    ['a refusal', () => refusal(401, 'UNAUTHORIZED'), { code: 'UPSTREAM_DENIED', status: 401 }],
    ['no JSON', () => new Response('<html>'), { code: 'UPSTREAM_MALFORMED' }],
    ['empty', () => new Response(''), { code: 'UPSTREAM_MALFORMED' }],
  ])('throws when the first page is %s', async (_what, answer, error) => {
    expect(await rejection(list(answer()).listing)).toMatchObject(error)
  })

  test('throws what is a fault of this program, on any page', async () => {
    const fault = new TypeError('fault')
    expect(await rejection(list(page(['a'], '?x'), fault).listing)).toBe(fault)
  })

  test('gives every name of any pages, in order', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(fc.stringMatching(/^[a-z]{1,3}$/)), { minLength: 1 }), async (pages) => {
        const fake = answerBy((_call, i) => page(pages[i] ?? [], i + 1 < pages.length ? `?page=${i + 1}` : undefined))
        const listing = await listPages(fake.send, first, readNames)
        expect(listing).toEqual({ names: [...new Set(pages.flat())], incomplete: undefined })
        expect(fake.calls).toHaveLength(pages.length)
      }),
    )
  })
})
