/** Where the registry is: the scheme that was left open, and hosts that are this machine or its neighbours. */
import { describe, expect, test } from 'bun:test'
import { ChartRepoError } from '../../src/errors.ts'
import { apiHost, findOrigin, type RegistryAddress } from '../../src/upstream/origin.ts'
import { type Answer, answerBy, json, refusal, rejection } from './fake-send.ts'

function unreachable(code: string): ChartRepoError {
  return new ChartRepoError('UPSTREAM_UNAVAILABLE', `GET failed: ${code}`, { runtimeCode: code, retryable: true })
}

/** What is found when HTTPS and HTTP answer like this; undefined for a scheme that must not be asked. */
async function find(
  answers: { readonly https?: Answer; readonly http?: Answer },
  address: Partial<RegistryAddress> = {},
) {
  const fake = answerBy(({ url }) => (url.protocol === 'https:' ? answers.https : answers.http))
  const found = findOrigin(fake.send, { host: 'r.example:5000', scheme: undefined, ...address })
  return { ...fake, found: found.then(({ url, sendCredentials }) => ({ origin: url.origin, sendCredentials })) }
}

describe('findOrigin', () => {
  test.each(['http', 'https'] as const)('takes %s at its word, and asks nobody', async (scheme) => {
    const { found, calls } = await find({}, { scheme })
    expect(await found).toEqual({ origin: `${scheme}://r.example:5000`, sendCredentials: true })
    expect(calls).toEqual([])
  })

  test.each([200, 401, 403, 404, 500, 302])('takes HTTPS when it answers %d', async (status) => {
    const { found, lines } = await find({ https: refusal(status, 'X') })
    expect(await found).toEqual({ origin: 'https://r.example:5000', sendCredentials: true })
    expect(lines()).toEqual(['GET https://r.example:5000/v2/'])
  })

  test.each([200, 401, 403])(
    'takes HTTP when HTTPS does not answer and HTTP says %d, without credentials',
    async (status) => {
      const { found } = await find({ https: unreachable('ConnectionRefused'), http: refusal(status, 'X') })
      expect(await found).toEqual({ origin: 'http://r.example:5000', sendCredentials: false })
    },
  )

  test.each(['localhost:5000', '127.0.0.1:5000', '127.1.2.3', '[::1]:5000', 'registry.localhost'])(
    'trusts guessed HTTP on %s: it is this machine',
    async (host) => {
      const { found } = await find({ https: unreachable('ERR_SSL_WRONG_VERSION_NUMBER'), http: json({}) }, { host })
      expect(await found).toEqual({ origin: `http://${host}`, sendCredentials: true })
    },
  )

  test.each(['10.0.0.1:5000', '192.168.1.1', 'localhost.example', '127.0.0.1.example', 'registry.local'])(
    'does not trust guessed HTTP on %s with credentials',
    async (host) => {
      const { found } = await find({ https: unreachable('ECONNREFUSED'), http: json({}) }, { host })
      expect(await found).toEqual({ origin: `http://${host}`, sendCredentials: false })
    },
  )

  test.each([
    ...[
      'DEPTH_ZERO_SELF_SIGNED_CERT',
      'SELF_SIGNED_CERT_IN_CHAIN',
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
      'CERT_HAS_EXPIRED',
    ],
    ...['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'ERR_TLS_CERT_ALTNAME_INVALID'],
  ])('does not go on without TLS when the certificate is at fault: %s', async (code) => {
    const fault = unreachable(code)
    const { found, calls } = await find({ https: fault })
    expect(await rejection(found)).toBe(fault)
    expect(calls).toHaveLength(1)
  })

  test.each([404, 500, 301])('finds no registry where HTTP answers %d', async (status) => {
    const { found } = await find({ https: unreachable('ECONNREFUSED'), http: refusal(status, 'X') })
    expect(await rejection(found)).toMatchObject({ code: 'UPSTREAM_UNAVAILABLE', retryable: true })
  })

  test('finds none, and says why of both, where neither answers', async () => {
    const { found } = await find({ https: unreachable('ECONNRESET'), http: unreachable('ECONNREFUSED') })
    const message =
      'No registry was found at r.example:5000: over HTTPS, GET failed: ECONNRESET; over HTTP, GET failed: ECONNREFUSED'
    expect(await rejection(found)).toMatchObject({ code: 'UPSTREAM_UNAVAILABLE', retryable: true, message })
  })

  test('does not take HTTP that sends to the HTTPS that failed', async () => {
    for (const status of [301, 308]) {
      const redirect = new Response(null, { status, headers: { location: 'https://r.example:5000/v2/' } })
      const { found } = await find({ https: unreachable('ETIMEDOUT'), http: redirect })
      expect(await rejection(found)).toMatchObject({
        code: 'UPSTREAM_UNAVAILABLE',
        message: expect.stringContaining('ETIMEDOUT'),
      })
    }
  })

  test('goes to the API of Docker Hub', async () => {
    expect(['docker.io', 'index.docker.io', 'registry-1.docker.io', 'r.example'].map(apiHost)).toEqual([
      ...['registry-1.docker.io', 'registry-1.docker.io', 'registry-1.docker.io', 'r.example'],
    ])
    expect(await (await find({}, { host: 'docker.io', scheme: 'https' })).found).toMatchObject({
      origin: 'https://registry-1.docker.io',
    })
  })
})
