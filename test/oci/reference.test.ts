/** Names of repositories and tags, by the grammar of the distribution specification. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { isReferrerTag, isRepositoryName, isTag, isUnderPrefix } from '../../src/oci/reference.ts'

describe('isRepositoryName', () => {
  test.each([
    'a',
    '0',
    'nginx',
    'team/a',
    'a/b/c/d/e',
    'a.b',
    'a_b',
    'a__b',
    'a-b',
    'a---b',
    'a.b_c-d/e__f',
    'x'.repeat(255),
  ])('takes %j', (name) => {
    expect(isRepositoryName(name)).toBe(true)
  })

  test.each([
    ...[
      '',
      '/',
      'a/',
      '/a',
      'a//b',
      'A',
      'a/B',
      '.a',
      'a.',
      '-a',
      'a-',
      '_a',
      'a_',
      'a..b',
      'a___b',
      'a._b',
      'a-.b',
      '..',
      'a/../b',
      'a/./b',
    ],
    ...['a b', 'a\n', 'é', 'a:b', 'a@b', 'a%2Fb', 'a?b', 'a#b', '*', 'team/*', 'a\u0000', 'x'.repeat(256)],
  ])('refuses %j', (name) => {
    expect(isRepositoryName(name)).toBe(false)
  })

  test('takes nothing that changes when it is put into a path', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', '0', '.', '_', '-', '/', '%', 'A') }), (name) => {
        if (isRepositoryName(name))
          expect(new URL(`/v2/${name}/tags/list`, 'http://h').pathname).toBe(`/v2/${name}/tags/list`)
      }),
    )
  })

  test('answers at once for a long name that is none', () => {
    for (const piece of ['a', 'a-', 'a_', 'a.', 'a/', '-', '__', '--a']) {
      const start = performance.now()
      isRepositoryName(`${piece.repeat(255).slice(0, 254)}!`)
      expect([piece, performance.now() - start < 500]).toEqual([piece, true])
    }
  })
})

describe('isTag', () => {
  test.each(['latest', 'v1.2.3', '1.0.0-rc.1_build.5', '_', '0', 'A', `x${'-'.repeat(127)}`])('takes %j', (tag) => {
    expect(isTag(tag)).toBe(true)
  })

  test.each(['', '.', '..', '-a', '.a', 'a+b', 'a/b', 'a:b', 'a b', 'é', 'a\n', 'x'.repeat(129)])(
    'refuses %j',
    (tag) => {
      expect(isTag(tag)).toBe(false)
    },
  )
})

describe('isReferrerTag', () => {
  const hex = '0123456789abcdef'.repeat(4)

  test.each([
    `sha256-${hex}`,
    `sha256-${hex}.sig`,
    `sha256-${hex}.att`,
    `sha256-${hex}.sbom`,
    `sha512-${hex}${hex}`,
    `sha512-${hex}`,
  ])('knows %s', (tag) => {
    expect(isReferrerTag(tag)).toBe(true)
  })

  test.each([
    '1.0.0',
    'sha256-abc',
    `sha256-${hex}.`,
    `sha256-${hex}x`,
    `sha256:${hex}`,
    `x-sha256-${hex}`,
    `sha256-${hex}.sig.sig`,
    hex,
  ])('leaves %s', (tag) => {
    expect(isReferrerTag(tag)).toBe(false)
  })
})

test('isUnderPrefix takes the path itself and what is under it, not what begins alike', () => {
  const seen = ['team', 'team/a', 'team/a/b', 'team2', 'team2/a', 'tea', 'x/team'].filter((name) =>
    isUnderPrefix(name, 'team'),
  )
  expect(seen).toEqual(['team', 'team/a', 'team/a/b'])
  expect(isUnderPrefix('anything', '')).toBe(true)
})
