/** Credentials files: read as Docker writes them, matched as Kubernetes does, and never quoted. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { canonicalHost, findCredential, parseCredentials } from '../../src/upstream/credentials.ts'
import { encodeBasic, IDENTITY_TOKEN, PASSWORD, USER } from '../stand/secrets.ts'

const file = (auths: Readonly<Record<string, unknown>>) => JSON.stringify({ auths })

/** The name of the key whose credential is found, or undefined. */
function findKey(keys: readonly string[], host: string, repository: string): string | undefined {
  const { entries } = parseCredentials(
    file(Object.fromEntries(keys.map((key) => [key, { username: key, password: 'p' }]))),
  )
  const credential = findCredential(entries, host, repository)
  return credential?.kind === 'basic' ? credential.username : undefined
}

function only(entry: unknown) {
  return findCredential(parseCredentials(file({ 'r.example': entry })).entries, 'r.example', 'a')
}

describe('findCredential', () => {
  test.each([
    ['r.example', 'r.example', 'a/b', true],
    ['https://r.example', 'r.example', 'a', true],
    ['http://r.example', 'r.example', 'a', true],
    ['https://r.example/', 'r.example', 'a', true],
    ['https://r.example/v1/', 'r.example', 'a', true],
    ['https://r.example/v2/', 'r.example', 'a', true],
    ['R.Example', 'r.example', 'a', true],
    ['r.example', 'R.EXAMPLE', 'a', true],
    ['r.example', 's.example', 'a', false],
    ['r.example', 'x.r.example', 'a', false],
    ['r.example:5000', 'r.example:5000', 'a', true],
    ['r.example:5000', 'r.example', 'a', false],
    ['r.example', 'r.example:5000', 'a', false],
    ['r.example', 'r.example:443', 'a', false],
    ['[::1]:5000', '[::1]:5000', 'a', true],
    ['127.0.0.1:5000', '127.0.0.1:5000', 'a', true],
    ['r.example/team', 'r.example', 'team/a', true],
    ['r.example/team', 'r.example', 'team', true],
    ['r.example/team', 'r.example', 'teams/a', true],
    ['r.example/team', 'r.example', 'other/team', false],
    ['r.example/team/', 'r.example', 'team/a', true],
    ['r.example/team/', 'r.example', 'teams/a', false],
    ['https://r.example/v2/team', 'r.example', 'team/a', true],
    ['r.example/v2x', 'r.example', 'v2x/a', true],
    ['*.example.com', 'a.example.com', 'x', true],
    ['*.example.com', 'a.b.example.com', 'x', false],
    ['*.example.com', 'example.com', 'x', false],
    ['*.*.example.com', 'a.b.example.com', 'x', true],
    ['reg*.example.com', 'registry.example.com', 'x', true],
    ['reg*.example.com', 'other.example.com', 'x', false],
    ['*-eu.example.com', 'a-eu.example.com', 'x', true],
    ['a*b*c.example', 'axxbyyc.example', 'x', true],
    ['a*b*c.example', 'axxcyyb.example', 'x', false],
    ['a*a.example', 'a.example', 'x', false],
    ['*', 'localhost', 'x', true],
    ['*.example.com:5000', 'a.example.com:5000', 'x', true],
    ['*.example.com:5000', 'a.example.com', 'x', false],
    ['*.example.com/team', 'a.example.com', 'team/x', true],
    ['*.example.com/team', 'a.example.com', 'x', false],
    ['docker.io', 'docker.io', 'library/x', true],
    ['https://index.docker.io/v1/', 'docker.io', 'library/x', true],
    ['https://index.docker.io/v1/', 'registry-1.docker.io', 'library/x', true],
    ['registry-1.docker.io', 'index.docker.io', 'library/x', true],
  ])('the key %s for %s, repository %s: %j', (key, host, repository, matches) => {
    expect(findKey([key], host, repository)).toBe(matches ? key : undefined)
  })

  test.each([
    [['r.example', 'r.example/team'], 'team/a', 'r.example/team'],
    [['r.example/team', 'r.example/team/a'], 'team/a', 'r.example/team/a'],
    [['r.example/team/a', 'r.example/team'], 'team/b', 'r.example/team'],
    [['r.example', '*.example'], 'a', 'r.example'],
    [['*.example/team', 'r.example'], 'team/a', 'r.example'],
    [['https://r.example', 'r.example/team'], 'team/a', 'r.example/team'],
    [['https://r.example/team', 'r.example'], 'team/a', 'https://r.example/team'],
    [['http://r.example/v2/team', 'https://r.example'], 'team/a', 'http://r.example/v2/team'],
  ])('of the keys %j the most specific one counts for %s', (keys, repository, found) => {
    expect(findKey(keys, 'r.example', repository)).toBe(found)
    expect(findKey([...keys].reverse(), 'r.example', repository)).toBe(found)
  })

  test('finds nothing where there is nothing', () => {
    expect(findKey([], 'r.example', 'a')).toBeUndefined()
  })
})

describe('parseCredentials', () => {
  test('splits auth at the first colon and takes the padding off', () => {
    expect(only({ auth: encodeBasic(USER, PASSWORD) })).toEqual({ kind: 'basic', username: USER, password: PASSWORD })
    expect(only({ auth: btoa('user:pass:word:') })).toEqual({ kind: 'basic', username: 'user', password: 'pass:word:' })
    expect(only({ auth: btoa('user:pass\0\0') })).toEqual({ kind: 'basic', username: 'user', password: 'pass' })
    expect(only({ auth: btoa('user:') })).toEqual({ kind: 'basic', username: 'user', password: '' })
    expect(only({ auth: Buffer.from('ü:ö').toString('base64') })).toEqual({
      kind: 'basic',
      username: 'ü',
      password: 'ö',
    })
  })

  test('takes auth without padding, of URLs, and with a line feed behind it', () => {
    const auth = Buffer.from('user:??>>~~').toString('base64')
    for (const written of [
      auth,
      auth.replace(/=+$/, ''),
      auth.replaceAll('+', '-').replaceAll('/', '_'),
      `${auth}\n`,
    ]) {
      expect(only({ auth: written })).toEqual({ kind: 'basic', username: 'user', password: '??>>~~' })
    }
  })

  test('takes auth before username and password, tokens before both', () => {
    const both = { auth: btoa('a:b'), username: 'c', password: 'd' }
    expect(only(both)).toEqual({ kind: 'basic', username: 'a', password: 'b' })
    expect(only({ ...both, auth: '' })).toEqual({ kind: 'basic', username: 'c', password: 'd' })
    expect(only({ ...both, identitytoken: IDENTITY_TOKEN })).toEqual({
      kind: 'identity',
      username: 'a',
      token: IDENTITY_TOKEN,
    })
    expect(only({ identitytoken: IDENTITY_TOKEN })).toEqual({ kind: 'identity', username: '', token: IDENTITY_TOKEN })
    expect(only({ ...both, identitytoken: 'i', registrytoken: 'r' })).toEqual({ kind: 'registry', token: 'r' })
  })

  test('takes an empty entry for the mark of a credential helper, and other fields for none of its own', () => {
    expect(only({})).toBeUndefined()
    expect(only({ auth: '', username: '', password: '' })).toBeUndefined()
    expect(only({ username: 'a', password: 'b', email: 'x@y', extra: 1 })).toEqual({
      kind: 'basic',
      username: 'a',
      password: 'b',
    })
    expect(parseCredentials(JSON.stringify({ auths: {}, credsStore: 'x', HttpHeaders: {} }))).toEqual({
      entries: [],
      namesHelpers: true,
    })
  })

  test.each([
    ['', 'it is no JSON'],
    ['{', 'it is no JSON'],
    ['[]', 'it has no object "auths"'],
    ['null', 'it has no object "auths"'],
    ['{}', 'it has no object "auths"'],
    ['{"auths":[]}', 'it has no object "auths"'],
    ['{"auths":"x"}', 'it has no object "auths"'],
    [file({ r: 'x' }), 'auths["r"] is no object of strings'],
    [file({ r: { auth: 1 } }), 'auths["r"] is no object of strings'],
    [file({ r: { username: 'a', password: null } }), 'auths["r"] is no object of strings'],
    [file({ r: { auth: '%%%' } }), 'auths["r"].auth is not the base64 of user:password'],
    [file({ r: { auth: btoa('no colon') } }), 'auths["r"].auth is not the base64 of user:password'],
    [file({ r: { auth: btoa(':password') } }), 'auths["r"].auth is not the base64 of user:password'],
    [file({ r: { password: 'x' } }), 'auths["r"] has a password but no username'],
    [file({ r: { registrytoken: 'a\r\nb: c' } }), 'auths["r"] has a token that cannot be sent in a header'],
    [file({ r: { identitytoken: 'ü' } }), 'auths["r"] has a token that cannot be sent in a header'],
  ])('says of %j: %s', (text, fault) => {
    expect(() => parseCredentials(text)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID', message: fault }))
  })

  test('reads back any name and password', () => {
    const name = fc.string({ minLength: 1 }).filter((text) => !text.includes(':'))
    fc.assert(
      fc.property(
        name,
        fc.string({ unit: 'grapheme' }).filter((text) => !text.endsWith('\0')),
        (username, password) => {
          const auth = Buffer.from(`${username}:${password}`).toString('base64')
          expect(only({ auth })).toEqual({ kind: 'basic', username, password })
        },
      ),
    )
  })

  test('never quotes what a file says, whatever is wrong with it', () => {
    // Long enough not to occur in a message by chance.
    const secret = fc.oneof(
      fc.uuid(),
      fc.constantFrom(PASSWORD, IDENTITY_TOKEN),
      fc.stringMatching(/^[ -~]{12,20}$/).map((text) => `${text}\u0001Zq`),
    )
    const value = fc.oneof(
      secret,
      secret.map(btoa),
      fc.tuple(secret).map(([text]) => [text]),
      fc.constant(null),
      fc.constant(7),
    )
    const fields = fc.dictionary(
      fc.constantFrom('auth', 'username', 'password', 'identitytoken', 'registrytoken'),
      value,
    )
    const broken = fc.constantFrom(
      (text: string) => text,
      (text: string) => text.slice(0, -2),
      (text: string) => `${text}x`,
    )
    fc.assert(
      fc.property(fields, broken, (entry, breakIt) => {
        const text = breakIt(file({ 'r.example': entry }))
        try {
          parseCredentials(text)
        } catch (error) {
          const said = `${error} ${JSON.stringify(error)} ${error instanceof Error ? String(error.cause) : ''}`
          const secrets = Object.values(entry)
            .flat()
            .filter((each) => typeof each === 'string')
          expect(secrets.filter((each) => said.includes(each))).toEqual([])
        }
      }),
      { numRuns: 300 },
    )
  })
})

test('canonicalHost knows Docker Hub by its three names', () => {
  expect(['docker.io', 'index.docker.io', 'registry-1.docker.io', 'R.example:5000'].map(canonicalHost)).toEqual([
    ...['index.docker.io', 'index.docker.io', 'index.docker.io', 'r.example:5000'],
  ])
})
