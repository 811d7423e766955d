/** How everything that goes wrong under /v2 reads from outside: status, headers and the error document of the specification. */
import { describe, expect, test } from 'bun:test'
import { ChartRepoError, type ErrorCode } from '../../../src/errors.ts'
import { requestRaw, sendRaw } from '../../faults/raw-request.ts'
import { PASSWORD } from '../../stand/secrets.ts'
import { openStage, type StageOptions } from '../stage.ts'
import { failingStore } from './failing-store.ts'

const digest = `sha256:${'0'.repeat(64)}`
const upload = '/v2/a/blobs/uploads/0f0e0d0c-0b0a-4908-8706-050403020100'

/** Every endpoint that asks the store, with each method it has. */
const endpoints: readonly (readonly [method: string, path: string])[] = [
  ['GET', '/v2/_catalog'],
  ['GET', '/v2/a/tags/list'],
  ['GET', `/v2/a/referrers/${digest}`],
  ['GET', '/v2/a/manifests/1'],
  ['PUT', '/v2/a/manifests/1'],
  ['DELETE', '/v2/a/manifests/1'],
  ['DELETE', `/v2/a/manifests/${digest}`],
  ['GET', `/v2/a/blobs/${digest}`],
  ['DELETE', `/v2/a/blobs/${digest}`],
  ['POST', '/v2/a/blobs/uploads/'],
  ['POST', `/v2/a/blobs/uploads/?digest=${digest}`],
  ['POST', `/v2/a/blobs/uploads/?mount=${digest}&from=b`],
  ['GET', upload],
  ['PATCH', upload],
  ['PUT', `${upload}?digest=${digest}`],
  ['DELETE', upload],
]

function openFailing(failure: unknown, options: StageOptions = {}) {
  const { store, calls } = failingStore(failure)
  return { ...openStage({ ...options, store }), calls }
}

/** The one error of an error document. */
async function errorIn(response: Response): Promise<{ readonly code: string; readonly message: string }> {
  expect(response.headers.get('content-type')).toStartWith('application/json')
  expect(response.headers.get('cache-control')).toBe('no-store')
  const document = await response.json()
  expect(document).toEqual({ errors: [{ code: expect.any(String), message: expect.any(String) }] })
  return document.errors[0]
}

describe('what the store fails with', () => {
  const table: Readonly<Record<ErrorCode, readonly [status: number, ociCode: string]>> = {
    CONFIG_INVALID: [500, 'UNKNOWN'],
    CHART_UNKNOWN: [404, 'UNKNOWN'],
    SNAPSHOT_MISSING: [503, 'UNKNOWN'],
    UPSTREAM_UNKNOWN: [502, 'UNKNOWN'],
    UPSTREAM_DENIED: [502, 'UNKNOWN'],
    UPSTREAM_UNAVAILABLE: [502, 'UNKNOWN'],
    UPSTREAM_TIMEOUT: [504, 'UNKNOWN'],
    UPSTREAM_MALFORMED: [502, 'UNKNOWN'],
    DIGEST_MISMATCH: [502, 'UNKNOWN'],
    BODY_TOO_LARGE: [502, 'UNKNOWN'],
    STORAGE_FULL: [503, 'DENIED'],
    STORAGE_DENIED: [500, 'DENIED'],
    LAYOUT_DAMAGED: [500, 'UNKNOWN'],
    NAME_INVALID: [400, 'NAME_INVALID'],
    REPOSITORY_UNKNOWN: [404, 'NAME_UNKNOWN'],
    MANIFEST_UNKNOWN: [404, 'MANIFEST_UNKNOWN'],
    MANIFEST_INVALID: [400, 'MANIFEST_INVALID'],
    MANIFEST_TOO_LARGE: [413, 'SIZE_INVALID'],
    BLOB_IS_MANIFEST: [400, 'UNSUPPORTED'],
    BLOB_UNKNOWN: [404, 'BLOB_UNKNOWN'],
    DIGEST_INVALID: [400, 'DIGEST_INVALID'],
    UPLOAD_UNKNOWN: [404, 'BLOB_UPLOAD_UNKNOWN'],
    UPLOAD_INVALID: [400, 'BLOB_UPLOAD_INVALID'],
    UPLOAD_OUT_OF_ORDER: [416, 'BLOB_UPLOAD_INVALID'],
    TOO_MANY_UPLOADS: [429, 'TOOMANYREQUESTS'],
    TOO_MANY_TAGS: [414, 'UNSUPPORTED'],
    PAGE_INVALID: [400, 'UNSUPPORTED'],
  }

  test.each(Object.entries(table))('%s is %j', async (code, [status, ociCode]) => {
    const stage = openFailing(new ChartRepoError(code as ErrorCode, 'The words of the failure'))
    const response = await stage.request('/v2/_catalog')
    const { code: seen, message } = await errorIn(response)
    expect([response.status, seen]).toEqual([status, ociCode])
    expect(message).toMatch(/^[A-Z][^\n]+\.$/)
    // Elsewhere the same failure has the same status, the same words and the same time to come back.
    const elsewhere = await openStage({
      failure: new ChartRepoError(code as ErrorCode, 'The words of the failure'),
    }).request('/index.yaml')
    expect([elsewhere.status, await elsewhere.text()]).toEqual([status, `${message}\n`])
    expect(elsewhere.headers.get('retry-after')).toBe(response.headers.get('retry-after'))
  })

  test.each(endpoints)('is the answer of %s %s', async (method, path) => {
    const message = 'There are as many uploads as there may be'
    const { request, calls } = openFailing(new ChartRepoError('TOO_MANY_UPLOADS', message, { retryAfterMs: 1500 }))
    const response = await request(path, {}, method)
    expect(await errorIn(response)).toEqual({ code: 'TOOMANYREQUESTS', message: `${message}.` })
    expect([response.status, response.headers.get('retry-after')]).toEqual([429, '2'])
    expect(calls.length).toBeGreaterThan(0)
  })

  test.each(endpoints)('is one fixed sentence of %s %s where it has no code', async (method, path) => {
    const { request, log } = openFailing(new TypeError(PASSWORD))
    const response = await request(path, {}, method)
    const message = 'The server failed to answer; its log has the reason.'
    expect(await errorIn(response)).toEqual({ code: 'UNKNOWN', message })
    expect([response.status, log.messages('error').length]).toEqual([500, 1])
  })

  test.each([
    ['STORAGE_FULL', 1],
    ['STORAGE_DENIED', 1],
    ['LAYOUT_DAMAGED', 1],
    ['BLOB_UNKNOWN', 0],
    ['TOO_MANY_UPLOADS', 0],
  ] as const)('%s is in the log %i times', async (code, times) => {
    const { request, log } = openFailing(new ChartRepoError(code, 'Why'))
    await request('/v2/_catalog')
    expect(log.messages('warn').length).toBe(times)
  })

  test('keeps the other routes and their sentences as they are', async () => {
    const failure = new ChartRepoError('STORAGE_FULL', 'x')
    const { request } = openFailing(failure, { failure })
    const response = await request('/index.yaml')
    expect([response.status, await response.text()]).toEqual([503, 'There is no room for this now.\n'])
    expect((await request('/nope')).headers.get('content-type')).toBe('text/plain; charset=utf-8')
    expect((await request('/v2x')).headers.get('content-type')).toBe('text/plain; charset=utf-8')
  })
})

describe('what is not asked of the store', () => {
  const unused = () => openFailing(new TypeError('Nobody asks the store'))

  test.each(['/v2', '/v2/', '/v2?x=1', '/v2/?n=1'])('%s says that this is a registry', async (path) => {
    const { request, calls } = unused()
    const [get, head] = [await request(path), await request(path, {}, 'HEAD')]
    expect([get.status, await get.json(), get.headers.get('docker-distribution-api-version')]).toEqual([
      200,
      {},
      'registry/2.0',
    ])
    expect([head.status, head.headers.get('docker-distribution-api-version')]).toEqual([200, 'registry/2.0'])
    expect(calls).toEqual([])
  })

  test.each([
    ['/v2', 'GET, HEAD'],
    ['/v2/', 'GET, HEAD'],
    ['/v2/_catalog', 'GET, HEAD'],
    ['/v2/a/tags/list', 'GET, HEAD'],
    [`/v2/a/referrers/${digest}`, 'GET, HEAD'],
    ['/v2/a/manifests/1', 'GET, HEAD, PUT, DELETE'],
    [`/v2/a/manifests/${digest}`, 'GET, HEAD, PUT, DELETE'],
    [`/v2/a/blobs/${digest}`, 'GET, HEAD, DELETE'],
    ['/v2/a/blobs/uploads', 'POST'],
    ['/v2/a/blobs/uploads/', 'POST'],
    [upload, 'GET, HEAD, PATCH, PUT, DELETE'],
  ])('methods that %s does not have are 405, with those that it has: %s', async (path, allow) => {
    const { request, calls } = unused()
    const others = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND'].filter(
      (method) => !allow.split(', ').includes(method),
    )
    for (const method of others) {
      const response = await request(path, {}, method)
      expect([method, response.status, response.headers.get('allow')]).toEqual([method, 405, allow])
      expect(response.headers.get('content-type')).toStartWith('application/json')
      if (method === 'HEAD') continue
      expect(await errorIn(response)).toEqual({
        code: 'UNSUPPORTED',
        message: `This path takes ${allow}.`,
      })
    }
    expect(calls).toEqual([])
  })

  test.each([
    ...[
      '/v2/x',
      '/v2/a/b/c',
      '/v2//',
      '/v2/_catalog/',
      '/v2/a/tags',
      '/v2/a/tags/list/',
      '/v2/%zz',
      '/v2/a/manifests/',
    ],
    ...['/v2/manifests/x', '/v2/blobs/uploads/', '/v2/a/manifests/b%2Fc'],
  ])('%s is no endpoint, whatever the method', async (path) => {
    const { request, calls } = unused()
    for (const method of ['GET', 'POST', 'PUT', 'DELETE']) {
      const response = await request(path, {}, method)
      expect(response.status).toBe(404)
      expect(await errorIn(response)).toEqual({ code: 'UNSUPPORTED', message: 'There is no such endpoint.' })
    }
    expect(calls).toEqual([])
  })

  test.each([
    ['GET', '/v2/A/tags/list', 'NAME_INVALID'],
    ['GET', '/v2/a%252Fb/tags/list', 'NAME_INVALID'],
    ['GET', '/v2/a/manifests/-a', 'NAME_INVALID'],
    ['PUT', '/v2/a/manifests/a+b', 'NAME_INVALID'],
    ['PUT', `/v2/a/manifests/${digest}?tag=a&tag=-b`, 'NAME_INVALID'],
    ['POST', '/v2/A/blobs/uploads/', 'NAME_INVALID'],
    ['GET', '/v2/a/manifests/sha256:0', 'DIGEST_INVALID'],
    ['GET', '/v2/a/blobs/latest', 'DIGEST_INVALID'],
    ['DELETE', `/v2/a/blobs/md5:${'0'.repeat(32)}`, 'DIGEST_INVALID'],
    ['GET', '/v2/a/referrers/x', 'DIGEST_INVALID'],
    ['POST', '/v2/a/blobs/uploads/?digest=x', 'DIGEST_INVALID'],
    ['POST', '/v2/a/blobs/uploads/?mount=x', 'DIGEST_INVALID'],
    ['POST', '/v2/a/blobs/uploads/?digest-algorithm=md5', 'DIGEST_INVALID'],
  ])('%s %s is %s', async (method, path, code) => {
    const { request, calls } = unused()
    const response = await request(path, {}, method)
    expect([response.status, (await errorIn(response)).code]).toEqual([400, code])
    expect(calls).toEqual([])
  })
})

test('GET / says how to push where there is a registry of our own', async () => {
  const text = await (await openFailing(new TypeError('x')).request('/')).text()
  expect(text).toContain('and OCI registry')
  expect(text).toContain('helm push demo-1.0.0.tgz oci://charts.example/charts --plain-http\n')
})

test('over a socket HEAD has the status and the length of the error document, and no body', async () => {
  const { overSocket, calls } = openFailing(new ChartRepoError('BLOB_UNKNOWN', 'x'))
  await overSocket(async (origin) => {
    const host = origin.slice('http://'.length)
    const paths = [`/v2/a/blobs/${digest}`, '/v2/a/manifests/1', '/v2/_catalog', upload, '/v2/nope', '/v2/A/tags/list']
    for (const path of paths) {
      const [get, head] = [await requestRaw(host, path), await requestRaw(host, path, { method: 'HEAD' })]
      expect([head.status, head.headers['content-length'], head.body]).toEqual([
        get.status,
        String(get.body.length),
        '',
      ])
    }
    const head = await requestRaw(host, '/v2/a/blobs/uploads/', { method: 'HEAD' })
    expect([head.status, head.headers['allow'], head.body]).toEqual([405, 'POST', ''])
  })
  // Who asks for a blob by HEAD may leave it out of a push, so it is not opened but asked for.
  expect(calls.slice(0, 2)).toEqual(['openBlob', 'statBlob'])
})

test('over a socket a path is taken as it was sent, and what leads out of /v2 is nothing of the registry', async () => {
  const { overSocket } = openFailing(new ChartRepoError('BLOB_UNKNOWN', 'x'))
  await overSocket(async (origin) => {
    const host = origin.slice('http://'.length)
    for (const path of ['/V2/', '//v2/', '/%762/', '/v2%2F', '/v2/../v3', '/v2/a/../../health/x']) {
      const { status, headers } = await requestRaw(host, path)
      expect([path, status, headers['content-type']]).toEqual([path, 404, 'text/plain; charset=utf-8'])
    }
    for (const path of ['/v2/a%2Fb/tags/list', '/v2/a/../b/tags/list', '/v2/a%2F..%2Fb/tags/list', '/v2/%2e%2e/x']) {
      const { status, headers } = await requestRaw(host, path)
      expect([path, status]).toEqual([path, path.includes('%2F..') ? 400 : 404])
      expect(headers['content-type']).toStartWith(path.endsWith('x') ? 'text/plain' : 'application/json')
    }
  })
})

test('over a socket a Host header that is none is answered 400 by all routes, and is no fault of this program', async () => {
  const { overSocket, log } = openFailing(new ChartRepoError('BLOB_UNKNOWN', 'x'))
  await overSocket(async (origin) => {
    const host = origin.slice('http://'.length)
    const bytes = (path: string, name: string) => `GET ${path} HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\n\r\n`
    for (const path of ['/v2/', '/v2/_catalog', '/', '/index.yaml']) {
      for (const name of ['[', '[::1', 'a b']) {
        expect([path, name, (await sendRaw(host, bytes(path, name))).status]).toEqual([path, name, 400])
      }
    }
  })
  expect(log.messages('error')).toEqual([])
})
