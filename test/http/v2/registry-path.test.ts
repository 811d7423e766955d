/** Which endpoint a path under /v2/ is, whatever the name of the repository looks like. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { parseDigest, parseRegistryPath, type RegistryPath } from '../../../src/http/v2/registry-path.ts'
import { toDigest } from '../../oci/to-digest.ts'

const sha256 = toDigest(`sha256:${'0123456789abcdef'.repeat(4)}`)
const sha512 = toDigest(`sha512:${'0123456789abcdef'.repeat(8)}`)
const id = '0f0e0d0c-0b0a-4908-8706-050403020100'

/** Names made of the words that endpoints are made of, among others. */
const names = [
  'a',
  'team/a',
  'a/b/c/d/e/f/g/h',
  'tags',
  'tags/list',
  'a/tags/list',
  'a/tags',
  'blobs',
  'blobs/uploads',
  'a/blobs/uploads/manifests',
  'a/blobs/uploads',
  'a/manifests/x',
  'manifests',
  'manifests/manifests',
  'referrers/blobs/tags/list/manifests/uploads',
  'a_b.c-d__e/v2',
  'x'.repeat(255),
]

/** What the specification calls it. */
function render(path: RegistryPath): string {
  switch (path.kind) {
    case 'root':
      return ''
    case 'catalog':
      return '_catalog'
    case 'tags':
      return `${path.repository}/tags/list`
    case 'manifest':
      return `${path.repository}/manifests/${path.reference}`
    case 'blob':
      return `${path.repository}/blobs/${path.digest}`
    case 'uploads':
      return `${path.repository}/blobs/uploads/`
    case 'upload':
      return `${path.repository}/blobs/uploads/${path.id}`
    case 'referrers':
      return `${path.repository}/referrers/${path.digest}`
  }
}

describe('parseRegistryPath', () => {
  test('knows the two that are of no repository', () => {
    expect(parseRegistryPath('')).toEqual({ kind: 'root' })
    expect(parseRegistryPath('_catalog')).toEqual({ kind: 'catalog' })
  })

  test.each(names)('knows every endpoint of %s', (repository) => {
    const wanted: Record<string, RegistryPath> = {
      [`${repository}/tags/list`]: { kind: 'tags', repository },
      [`${repository}/manifests/v1.2.3_b`]: { kind: 'manifest', repository, reference: 'v1.2.3_b' },
      [`${repository}/manifests/list`]: { kind: 'manifest', repository, reference: 'list' },
      [`${repository}/manifests/uploads`]: { kind: 'manifest', repository, reference: 'uploads' },
      [`${repository}/manifests/${sha256}`]: { kind: 'manifest', repository, reference: sha256 },
      [`${repository}/manifests/${sha512}`]: { kind: 'manifest', repository, reference: sha512 },
      [`${repository}/blobs/${sha256}`]: { kind: 'blob', repository, digest: sha256 },
      [`${repository}/blobs/${sha512}`]: { kind: 'blob', repository, digest: sha512 },
      [`${repository}/blobs/uploads`]: { kind: 'uploads', repository },
      [`${repository}/blobs/uploads/`]: { kind: 'uploads', repository },
      [`${repository}/blobs/uploads/${id}`]: { kind: 'upload', repository, id },
      [`${repository}/blobs/uploads/manifests`]: { kind: 'upload', repository, id: 'manifests' },
      [`${repository}/referrers/${sha256}`]: { kind: 'referrers', repository, digest: sha256 },
    }
    expect(Object.fromEntries(Object.keys(wanted).map((path) => [path, parseRegistryPath(path)]))).toEqual(wanted)
  })

  test('reads a manifest of a repository that is called as uploads are', () => {
    expect(parseRegistryPath('a/blobs/uploads/manifests/x')).toEqual({
      kind: 'manifest',
      repository: 'a/blobs/uploads',
      reference: 'x',
    })
  })

  test.each([
    ['team%2Fa/tags/list', { kind: 'tags', repository: 'team/a' }],
    ['team%2fa%2Ftags%2Flist', { kind: 'tags', repository: 'team/a' }],
    ['%61/manifests/%76%31', { kind: 'manifest', repository: 'a', reference: 'v1' }],
    [`a/blobs/${sha256.replace(':', '%3A')}`, { kind: 'blob', repository: 'a', digest: sha256 }],
    [`a/manifests/${sha256.replace(':', '%3a')}`, { kind: 'manifest', repository: 'a', reference: sha256 }],
    ['%5Fcatalog', { kind: 'catalog' }],
  ] satisfies [string, RegistryPath][])('reads the escapes of %s', (path, wanted) => {
    expect(parseRegistryPath(path)).toEqual(wanted)
  })

  test.each([
    ...['a', 'team/a', '/', '_catalog/', '_catalog/x', '%', '%zz', '%ff', 'a/%c3/tags/list', 'a/tags/list%'],
    ...['tags/list', '/tags/list/', 'manifests/x', `blobs/${sha256}`, 'blobs/uploads', 'blobs/uploads/x'],
    ...['a/tags', 'a/tags/', 'a/tags/list/', 'a/tags/lists', 'a/Tags/list', 'a/tags/list/x'],
    ...['a/manifests', 'a/manifests/', 'a/manifests/x/', 'a/manifests/x/y', 'a/manifests/x%2Fy'],
    ...['a/blobs', 'a/blobs/', `a/blobs/${sha256}/`, 'a/blobs/uploads/x/', 'a/blobs/uploads//', 'a/blobs/uploads/x/y'],
    ...['a/blobs/uploads/..%2Fx', 'a/referrers', 'a/referrers/', `a/referrers/${sha256}/x`, 'a/b/c', 'a\n/tags/list'],
  ])('knows no endpoint %j', (path) => {
    expect(parseRegistryPath(path)).toBeUndefined()
  })

  test.each([
    ...['A', 'a/B', '.', '..', 'a/..', '../a', 'a/./b', '-a', 'a-', 'a_', 'a..b', 'a___b', 'a b', 'é', 'a:b', 'a@b'],
    ...['_catalog', '/', '/a', 'a/', 'a//b', 'a%', '\0', 'a\0', 'x'.repeat(256)],
  ])('refuses the repository %j in every endpoint', (repository) => {
    const last = ['tags/list', 'manifests/x', `blobs/${sha256}`, 'blobs/uploads/', `referrers/${sha256}`]
    for (const each of last) {
      const path = `${encodeURIComponent(repository)}/${each}`
      expect(() => parseRegistryPath(path)).toThrow(expect.objectContaining({ code: 'NAME_INVALID' }))
    }
  })

  test.each(['.', '..', '-a', '.a', 'a+b', 'a b', 'é', '\0', 'a\n', 'x'.repeat(129)])(
    'refuses the tag %j',
    (reference) => {
      const path = `a/manifests/${encodeURIComponent(reference)}`
      expect(() => parseRegistryPath(path)).toThrow(expect.objectContaining({ code: 'NAME_INVALID' }))
    },
  )

  const noDigests = [
    ...['sha256:', 'sha256:0', `${sha256}0`, sha256.slice(0, -1), sha256.toUpperCase(), `${sha512}0`, 'sha256:..'],
    ...[
      `md5:${'0'.repeat(32)}`,
      `sha384:${'0'.repeat(96)}`,
      sha256.replace('sha256', 'sha512'),
      ':',
      'a:b',
      `${sha256}\n`,
    ],
  ]
  test.each(noDigests)('refuses the digest %j', (text) => {
    for (const kind of ['manifests', 'blobs', 'referrers']) {
      const path = `a/${kind}/${encodeURIComponent(text)}`
      expect(() => parseRegistryPath(path)).toThrow(expect.objectContaining({ code: 'DIGEST_INVALID' }))
    }
  })

  test.each(['latest', 'upload', sha256.slice(7)])('takes %j for no digest of a blob or a subject', (text) => {
    for (const kind of ['blobs', 'referrers']) {
      expect(() => parseRegistryPath(`a/${kind}/${text}`)).toThrow(expect.objectContaining({ code: 'DIGEST_INVALID' }))
    }
  })

  const word = fc.constantFrom('a', 'tags', 'list', 'blobs', 'uploads', 'manifests', 'referrers', 'x-1', 'b.c', 'v2')
  const repository = fc.array(word, { minLength: 1, maxLength: 6 }).map((parts) => parts.join('/'))
  const hex = (length: number) =>
    fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: length, maxLength: length })
  const digest = fc.oneof(
    hex(64).map((text) => toDigest(`sha256:${text}`)),
    hex(128).map((text) => toDigest(`sha512:${text}`)),
  )
  const tag = fc.oneof(word, fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/))
  const kind = <K extends RegistryPath['kind']>(text: K) => fc.constant(text)
  const path: fc.Arbitrary<RegistryPath> = fc.oneof(
    fc.record({ kind: kind('root') }),
    fc.record({ kind: kind('catalog') }),
    fc.record({ kind: kind('tags'), repository }),
    fc.record({ kind: kind('manifest'), repository, reference: fc.oneof(tag, digest) }),
    fc.record({ kind: kind('blob'), repository, digest }),
    fc.record({ kind: kind('uploads'), repository }),
    fc.record({ kind: kind('upload'), repository, id: fc.oneof(fc.uuid(), word) }),
    fc.record({ kind: kind('referrers'), repository, digest }),
  )

  test('reads any path as what it was written from, whichever of its characters are escaped', () => {
    fc.assert(
      fc.property(path, fc.infiniteStream(fc.boolean()), (each, escapes) => {
        const text = render(each)
        const escaped = [...text].map((character) => {
          const { value } = escapes.next()
          return value === true ? `%${character.charCodeAt(0).toString(16)}` : character
        })
        expect(parseRegistryPath(text)).toEqual(each)
        expect(parseRegistryPath(escaped.join(''))).toEqual(each)
      }),
      { numRuns: 500 },
    )
  })

  test('reads any text, or refuses it with a code', () => {
    const piece = fc.oneof(word, fc.constantFrom('/', '%2f', '%', '..', ':', sha256, '_catalog'), fc.string())
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        try {
          const read = parseRegistryPath(pieces.join(''))
          if (read === undefined || !('repository' in read)) return
          // Nothing that is read leads out of the repository it names.
          expect(read.repository).toMatch(/^[a-z0-9][a-z0-9._/-]*$/)
          expect(`/${read.repository}/`).not.toMatch(/\/\.{0,2}\//)
        } catch (error) {
          expect(error).toMatchObject({ code: expect.stringMatching(/^(?:NAME|DIGEST)_INVALID$/) })
        }
      }),
      { numRuns: 500 },
    )
  })

  test.each(['a/', 'blobs/uploads/', 'manifests/', 'tags/list/', '/', 'a', '%61'])(
    'takes no longer for a path that repeats %j than for others',
    (text) => {
      const long = `${text.repeat(Math.ceil(100_000 / text.length))}/x/`
      const startedAt = performance.now()
      expect(parseRegistryPath(long)).toBeUndefined()
      expect(performance.now() - startedAt).toBeLessThan(1000)
    },
  )
})

describe('parseDigest', () => {
  test('takes digests of both algorithms', () => {
    expect([parseDigest(sha256), parseDigest(sha512)]).toEqual([sha256, sha512])
  })

  test('says whether a digest is missing or is none', () => {
    expect(() => parseDigest(null)).toThrow('A digest is missing')
    expect(() => parseDigest('')).toThrow('This is no digest')
    expect(() => parseDigest('md5:x')).toThrow(expect.objectContaining({ code: 'DIGEST_INVALID' }))
  })
})
