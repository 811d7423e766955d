/** The routes: what they answer, to which methods, and how each failure reads from outside. */
import { describe, expect, test } from 'bun:test'
import { ChartRepoError, type ErrorCode } from '../../src/errors.ts'
import { limits } from '../../src/limits.ts'
import { PASSWORD } from '../stand/secrets.ts'
import { TEXTS } from './held-index.ts'
import { openStage, PACKAGE, PROVENANCE } from './stage.ts'

const CHART = '/charts/demo-1.2.3+b.tgz'
const routes = ['/', '/index.yaml', CHART, `${CHART}.prov`, '/health', '/readyz']

describe('GET /index.yaml', () => {
  test('is the index of the snapshot, with its entity tag and its age', async () => {
    const { request, index } = openStage()
    const response = await request('/index.yaml')
    expect([response.status, await response.text()]).toEqual([200, TEXTS.yaml])
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'application/yaml',
      etag: index.document('yaml').etag,
      'cache-control': 'public, max-age=1, stale-if-error=86400',
      vary: 'Accept, Accept-Encoding, User-Agent',
      'x-snapshot-age': '3',
    })
    expect(response.headers.has('x-index-partial')).toBe(false)
  })

  test('is marked, and kept by nobody, while it is a part', async () => {
    const { request, index } = openStage({ isPartial: true })
    const response = await request('/index.yaml')
    expect([response.status, response.headers.get('x-index-partial')]).toEqual([200, 'true'])
    const { etag } = index.document('yaml')
    for (const answer of [response, await request('/index.yaml', { 'if-none-match': etag })]) {
      expect(answer.headers.get('cache-control')).toBe('no-store')
    }
  })

  test('is 503 with the reason and a time to come back before there is one', async () => {
    const { request } = openStage({ snapshot: undefined })
    const response = await request('/index.yaml')
    expect([response.status, await response.text(), response.headers.get('retry-after')]).toEqual([
      503,
      'There is no index yet: why.\n',
      '5',
    ])
    expect(response.headers.get('cache-control')).toBe('no-store')
  })
})

describe('GET /charts/:file', () => {
  test.each(['demo-1.2.3+b.tgz', 'demo-1.2.3%2Bb.tgz', 'demo-1.2.3%2bb.tgz'])('is the package: %s', async (name) => {
    const { request } = openStage()
    const response = await request(`/charts/${name}`)
    expect([response.status, await response.text()]).toEqual([200, PACKAGE.toString()])
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'application/gzip',
      'accept-ranges': 'bytes',
      'docker-content-digest': expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
      etag: `"${response.headers.get('docker-content-digest')}"`,
    })
  })

  test('is the provenance', async () => {
    const response = await openStage().request(`${CHART}.prov`)
    expect([response.status, response.headers.get('content-type'), await response.text()]).toEqual([
      200,
      'application/pgp-signature',
      PROVENANCE.toString(),
    ])
  })

  test('names the file in a way that any name fits into', async () => {
    const response = await openStage().request(`/charts/${encodeURIComponent("it's a ü-1.0.0.tgz")}`)
    const disposition = response.headers.get('content-disposition') ?? ''
    // RFC 8187: nothing but attr-char and percent-encoded bytes.
    expect(disposition).toMatch(/^attachment; filename\*=UTF-8''(?:[A-Za-z0-9!#$&+.^_`|~-]|%[0-9A-F]{2})+$/)
    expect(decodeURIComponent(disposition.slice(disposition.indexOf("''") + 2))).toBe("it's a ü-1.0.0.tgz")
  })

  test('reads no bytes for HEAD, 304 and a range that is not there', async () => {
    const { request, state } = openStage()
    expect((await request(CHART, {}, 'HEAD')).status).toBe(200)
    expect((await request(CHART, { 'if-none-match': '*' })).status).toBe(304)
    expect((await request(CHART, { range: 'bytes=999-' })).status).toBe(416)
    expect(state.reads).toBe(0)
  })

  test.each([
    '/charts/x',
    '/charts/..%2fetc%2fpasswd',
    '/charts/a%2Fb',
    '/charts/%00',
    '/charts/__proto__',
    '/charts/constructor',
    `/charts/${'x'.repeat(5000)}`,
    '/charts/',
    '/charts',
    '/charts/a/b',
  ])('is 404 for %s', async (path) => {
    const { request, log } = openStage()
    const response = await request(path)
    expect(response.status).toBe(404)
    expect(await response.text()).toMatch(/^[A-Z][^\n]{5,80}\.\n$/)
    expect(log.messages('error')).toEqual([])
  })

  test.each(['/charts/%ff', '/charts/%zz', '/charts/%'])(
    'does not understand %s, and says so in a sentence',
    async (path) => {
      const { request, log } = openStage()
      const response = await request(path)
      expect([400, 404]).toContain(response.status)
      expect(await response.text()).toMatch(/^[A-Z][^\n]{5,80}\.\n$/)
      expect(log.messages('error')).toEqual([])
    },
  )
})

describe('GET /readyz', () => {
  test('says that all is well', async () => {
    const response = await openStage().request('/readyz')
    expect([response.status, response.headers.get('cache-control')]).toEqual([200, 'no-store'])
    expect(await response.json()).toEqual({
      ready: true,
      charts: 1,
      versions: 1,
      partial: false,
      snapshotAgeSeconds: 3,
      refresh: { ok: true, error: null, problems: [] },
      progress: null,
    })
  })

  test('is 503 without a snapshot, and says why', async () => {
    const status = { error: 'the registry is down', problems: [], progress: undefined }
    const response = await openStage({ snapshot: undefined, snapshotAgeSeconds: undefined, status }).request('/readyz')
    expect([response.status, await response.json()]).toEqual([
      503,
      {
        ready: false,
        charts: 0,
        versions: 0,
        partial: false,
        snapshotAgeSeconds: null,
        refresh: { ok: false, error: 'the registry is down', problems: [] },
        progress: null,
      },
    ])
  })

  test('says that the index is a part', async () => {
    const response = await openStage({ isPartial: true }).request('/readyz')
    const { ready, partial } = await response.json()
    expect([response.status, ready, partial]).toEqual([200, true, true])
  })

  test.each([
    [undefined, null],
    [56, 56],
    [0, 0],
  ])('says how far the crawl under way is, with %p seconds left', async (secondsLeft, shown) => {
    const progress = { done: 1200, total: 20_000, listed: 7, repositories: 9, perSecond: 340, secondsLeft }
    const status = { error: undefined, problems: [], progress }
    const { request } = openStage({ snapshot: undefined, snapshotAgeSeconds: undefined, status })
    const response = await request('/readyz')
    expect([response.status, (await response.json()).progress]).toEqual([
      503,
      {
        done: 1200,
        total: 20_000,
        repositoriesListed: 7,
        repositories: 9,
        tagsPerSecond: 340,
        secondsLeft: shown,
      },
    ])
  })

  test('stays 200 in an outage, and lists problems up to a bound, without what is not for the outside', async () => {
    const problems = Array.from({ length: limits.maxReportedProblems + 5 }, (_, i) => ({
      repository: `r${i}`,
      ...(i > 0 && { tag: '1' }),
      reason: 'x',
      transient: true,
    }))
    const response = await openStage({ status: { error: undefined, problems, progress: undefined } }).request('/readyz')
    const report = await response.json()
    expect([response.status, report.ready, report.refresh.ok, report.refresh.problems.length]).toEqual([
      200,
      true,
      false,
      limits.maxReportedProblems,
    ])
    expect(report.refresh.problems.slice(0, 2)).toEqual([
      { repository: 'r0', reason: 'x' },
      { repository: 'r1', tag: '1', reason: 'x' },
    ])
  })
})

test('GET /health says that the process lives, whatever becomes of the registry', async () => {
  const response = await openStage({ snapshot: undefined, failure: new Error('x') }).request('/health')
  expect([response.status, await response.json()]).toEqual([200, { healthy: true }])
})

test('GET / says what this is, and how to add it', async () => {
  const response = await openStage().request('/')
  expect(response.headers.get('content-type')).toBe('text/plain; charset=utf-8')
  const text = await response.text()
  expect(text).toContain('helm repo add charts http://charts.example\n')
  expect(text).not.toContain('helm push')
})

describe('methods', () => {
  test.each(routes)('HEAD %s is GET without a body', async (path) => {
    const { request } = openStage()
    const [get, head] = [await request(path), await request(path, {}, 'HEAD')]
    expect([head.status, await head.text()]).toEqual([get.status, ''])
    for (const name of ['content-type', 'etag', 'cache-control'])
      expect(head.headers.get(name)).toBe(get.headers.get(name))
  })

  test.each(routes)('other than GET and HEAD on %s are 405, with those that are allowed', async (path) => {
    const { request } = openStage()
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
      const response = await request(path, {}, method)
      expect([method, response.status, response.headers.get('allow')]).toEqual([method, 405, 'GET, HEAD'])
    }
  })

  test.each([
    ...['/nope', '/index.yml', '/index.yaml/x', '/api/charts', '/INDEX.YAML', '//index.yaml'],
    ...['/v2', '/v2/', '/v2/_catalog', '/v2/a/tags/list', '/v2/a/blobs/uploads/'],
  ])('of any kind on %s are 404 in a sentence', async (path) => {
    const { request } = openStage()
    for (const method of ['GET', 'HEAD', 'POST', 'DELETE']) {
      const response = await request(path, {}, method)
      expect([response.status, response.headers.get('content-type')]).toEqual([404, 'text/plain; charset=utf-8'])
    }
  })
})

describe('failures', () => {
  const table: Readonly<Record<ErrorCode, readonly [number, boolean]>> = {
    CONFIG_INVALID: [500, false],
    CHART_UNKNOWN: [404, false],
    SNAPSHOT_MISSING: [503, true],
    UPSTREAM_UNKNOWN: [502, true],
    UPSTREAM_DENIED: [502, true],
    UPSTREAM_UNAVAILABLE: [502, true],
    UPSTREAM_TIMEOUT: [504, true],
    UPSTREAM_MALFORMED: [502, true],
    DIGEST_MISMATCH: [502, true],
    BODY_TOO_LARGE: [502, false],
    STORAGE_FULL: [503, true],
    STORAGE_DENIED: [500, false],
    LAYOUT_DAMAGED: [500, false],
    NAME_INVALID: [400, false],
    REPOSITORY_UNKNOWN: [404, false],
    MANIFEST_UNKNOWN: [404, false],
    MANIFEST_INVALID: [400, false],
    MANIFEST_TOO_LARGE: [413, false],
    BLOB_IS_MANIFEST: [400, false],
    BLOB_UNKNOWN: [404, false],
    DIGEST_INVALID: [400, false],
    UPLOAD_UNKNOWN: [404, false],
    UPLOAD_INVALID: [400, false],
    UPLOAD_OUT_OF_ORDER: [416, false],
    TOO_MANY_UPLOADS: [429, true],
    TOO_MANY_TAGS: [414, false],
    PAGE_INVALID: [400, false],
  }

  /** Why there is no index yet, and what is wrong with what was asked or pushed. */
  const inItsOwnWords: ReadonlySet<string> = new Set<ErrorCode>([
    ...(['SNAPSHOT_MISSING', 'NAME_INVALID', 'MANIFEST_INVALID', 'MANIFEST_TOO_LARGE', 'DIGEST_INVALID'] as const),
    ...(['UPLOAD_UNKNOWN', 'UPLOAD_INVALID', 'UPLOAD_OUT_OF_ORDER'] as const),
    ...(['TOO_MANY_UPLOADS', 'TOO_MANY_TAGS', 'PAGE_INVALID'] as const),
  ])

  test.each(Object.entries(table))('%s is %j', async (code, [status, temporary]) => {
    const failure = new ChartRepoError(code as ErrorCode, 'GET https://inside.example/secret failed')
    const { request, log } = openStage({ failure })
    const response = await request(CHART)
    const text = await response.text()
    expect([response.status, response.headers.get('retry-after')]).toEqual([status, temporary ? '5' : null])
    expect(text).toMatch(/^[A-Z][^\n]+\.\n$/)
    expect(text.includes('inside')).toBe(inItsOwnWords.has(code))
    const said = log.lines.filter(({ message }) => message === 'request failed')
    expect(said.length).toBe(status >= 500 && code !== 'SNAPSHOT_MISSING' ? 1 : 0)
  })

  test('say how long the other side asked to wait, in whole seconds', async () => {
    for (const [retryAfterMs, header] of [
      [0, '0'],
      [1, '1'],
      [1500, '2'],
      [60_000, '60'],
    ] as const) {
      const failure = new ChartRepoError('UPSTREAM_UNAVAILABLE', 'x', { retryAfterMs })
      expect((await openStage({ failure }).request(CHART)).headers.get('retry-after')).toBe(header)
    }
  })

  test.each([new Error(PASSWORD), new TypeError(PASSWORD), PASSWORD])(
    'of this program are 500 with one fixed sentence, and the log has the rest',
    async (failure) => {
      const { request, log } = openStage({ failure })
      for (const path of [CHART, '/index.yaml']) {
        const response = await request(path)
        expect([response.status, await response.text()]).toEqual([
          500,
          'The server failed to answer; its log has the reason.\n',
        ])
      }
      expect(log.messages('error')).toHaveLength(2)
    },
  )
})

test('over a socket HEAD on a package has the length of what GET would send', async () => {
  const { state, overSocket } = openStage()
  await overSocket(async (origin) => {
    const [get, head] = [await fetch(origin + CHART), await fetch(origin + CHART, { method: 'HEAD' })]
    expect((await get.bytes()).length).toBe(PACKAGE.length)
    const length = String(PACKAGE.length)
    expect([head.status, head.headers.get('content-length'), await head.text()]).toEqual([200, length, ''])
  })
  expect(state.reads).toBe(1)
})

describe('the log of requests', () => {
  test('has method, path without query, status and time; probes are quiet', async () => {
    const { request, log } = openStage()
    await request(`/index.yaml?token=${PASSWORD}`)
    await request('/nope', {}, 'POST')
    await request('/health')
    await request('/readyz')
    await new Promise((resolve) => setImmediate(resolve))
    const lines = log.lines
      .filter(({ message }) => message === 'request')
      .map(({ level, fields }) => [level, fields['method'], fields['path'], fields['status']])
    expect(lines).toEqual([
      ['info', 'GET', '/index.yaml', 200],
      ['info', 'POST', '/nope', 404],
      ['debug', 'GET', '/health', 200],
      ['debug', 'GET', '/readyz', 200],
    ])
    expect(log.text()).not.toContain(PASSWORD)
  })
})
