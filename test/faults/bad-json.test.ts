/** Answers with status 200 that are not what was asked for: no JSON, another shape, names that are none. */
import { describe, expect, test } from 'bun:test'
import { digestOf, mediaTypes } from '../fakes/fake-chart.ts'
import { type FakeRegistry, openFakeRegistry } from '../fakes/fake-registry.ts'
import { type Answer, always, reply, replyJson, wrongBytes } from '../fakes/fault-script.ts'
import { waitFor } from '../stand/wait-for.ts'
import {
  expectServed,
  openServerOver,
  readIndex,
  waitForHealth,
  waitForIndex,
  waitForProblem,
  waitForRefreshError,
  waitForRounds,
} from './scene.ts'

/** `good` in one repository, `poor` with two versions in another. */
function addCharts(registry: FakeRegistry) {
  const good = registry.addChart({ repository: 'good', name: 'good', version: '1.0.0' })
  const poor = registry.addChart({ repository: 'poor', name: 'poor', version: '1.0.0' })
  const other = registry.addChart({ repository: 'poor', name: 'poor', version: '2.0.0' })
  return { good, poor, other }
}
const allFiles = ['good-1.0.0.tgz', 'poor-2.0.0.tgz', 'poor-1.0.0.tgz']
const withoutPoor1 = ['good-1.0.0.tgz', 'poor-2.0.0.tgz']

describe.concurrent('bad JSON', () => {
  const html = reply({ status: 200, headers: { 'content-type': 'text/html' }, body: '<html>Sign in</html>' })
  const bad: [what: string, answer: Answer][] = [
    ['HTML', html],
    ['nothing', reply({ status: 200 })],
    ['half of it', reply({ status: 200, body: '{"repositories":["good","po' })],
    ['another shape', replyJson({ repositories: 'good', tags: { '1.0.0': true } })],
    ['a bare array', replyJson(['good', 'poor'])],
    [
      'wrong UTF-8',
      reply({ status: 200, body: Buffer.from('{"repositories":["g\xffod"],"tags":["\xff"]}', 'latin1') }),
    ],
  ]

  test.each(bad)('%s as the catalog: the index stays', async (_what, answer) => {
    await using registry = await openFakeRegistry()
    addCharts(registry)
    await using server = await openServerOver(registry)
    await waitForIndex(server, allFiles)
    const script = registry.script({ path: /_catalog/ }, always(answer))
    await waitForRefreshError(server)
    await waitForRounds(registry)
    expect(await readIndex(server)).toEqual(allFiles)
    script.clear()
    await waitForHealth(server)
  })

  test.each(bad)('%s as a tag list: the others are there, then this one too', async (_what, answer) => {
    await using registry = await openFakeRegistry()
    addCharts(registry)
    const script = registry.script({ path: /poor\/tags\/list/ }, always(answer))
    await using server = await openServerOver(registry)
    await waitForIndex(server, ['good-1.0.0.tgz'])
    await waitForProblem(server, 'poor')
    script.clear()
    await waitForIndex(server, allFiles)
  })

  test('null for an empty list is an empty list', async () => {
    await using registry = await openFakeRegistry()
    registry.script({ path: /_catalog/ }, always(replyJson({ repositories: null })))
    await using server = await openServerOver(registry)
    await waitForIndex(server, [])
    expect((await server.readyz()).refresh.ok).toBe(true)
  })

  test('as manifests and configs: the rest is there, each is named once in the log', async () => {
    await using registry = await openFakeRegistry()
    const { good } = addCharts(registry)
    const bytes = [
      '',
      'null',
      '[]',
      '{',
      '"text"',
      '{"schemaVersion":2}',
      '{"config":1,"layers":[]}',
      '\u0000'.repeat(50),
    ]
    for (const [at, text] of bytes.entries()) registry.addManifest({ repository: 'bad', tag: `m${at}`, bytes: text })
    for (const [at, text] of [...bytes, '{"name":"bad"}', '{"name":7,"version":[]}'].entries()) {
      const config = { mediaType: mediaTypes.chartConfig, digest: registry.addBlob('bad', text), size: text.length }
      const layers = [{ mediaType: mediaTypes.chartLayer, digest: good.chartDigest, size: good.archive.length }]
      registry.addManifest({ repository: 'bad', tag: `c${at}`, bytes: JSON.stringify({ config, layers }) })
    }
    await using server = await openServerOver(registry)
    await waitForIndex(server, allFiles)
    await waitForRounds(registry)
    expect(await readIndex(server)).toEqual(allFiles)
    const named = server
      .logLines()
      .map((line) => line['digest'] ?? line['tag'])
      .filter((value) => value !== undefined)
    expect(new Set(named).size).toBe(named.length)
  })

  test('names that are none are passed over, and never asked for', async () => {
    await using registry = await openFakeRegistry()
    addCharts(registry)
    // The fake refuses a path with a name that is none, so asking for one of these fails the test.
    const names = [
      '',
      '..',
      '../good',
      'good/../poor',
      'UPPER',
      'a b',
      'a//b',
      '/good',
      'good/',
      '__proto__',
      'é',
      '%2e%2e',
    ]
    registry.script(
      { path: /_catalog/ },
      always(replyJson({ repositories: ['good', ...names, 'x'.repeat(300), 'poor'] })),
    )
    const tags = ['1.0.0', '', '..', '../../x', 'a/b', 'a b', '-x', 'x'.repeat(129), '2.0.0\r\nX-Evil: 1', '2.0.0']
    registry.script({ path: /poor\/tags\/list/ }, always(replyJson({ name: 'poor', tags })))
    await using server = await openServerOver(registry)
    await waitForIndex(server, allFiles)
  })

  test('items that are no text are passed over too: one bad item sinks no list', async () => {
    await using registry = await openFakeRegistry()
    addCharts(registry)
    registry.script({ path: /_catalog/ }, always(replyJson({ repositories: ['good', 7, null, {}, ['good'], 'poor'] })))
    registry.script({ path: /poor\/tags\/list/ }, always(replyJson({ tags: ['1.0.0', 2, null, {}, '2.0.0'] })))
    await using server = await openServerOver(registry)
    await waitForIndex(server, allFiles)
  })

  test.each([
    ['a sign-in page', html],
    ['an empty body', reply({ status: 200 })],
    ['another shape', replyJson({ schemaVersion: 2 })],
    ['other bytes than promised', wrongBytes()],
  ])('%s in place of a manifest that was known: what was known stays', async (_what, answer) => {
    await using registry = await openFakeRegistry()
    const { poor } = addCharts(registry)
    await using server = await openServerOver(registry, { args: ['--revalidate-interval=500ms'] })
    await waitForIndex(server, allFiles)
    const headless = reply({ status: 200, headers: { 'content-type': 'text/html' } })
    registry.script({ method: 'HEAD', path: /poor\/manifests\/1\.0\.0$/ }, always(headless))
    const script = registry.script({ method: 'GET', path: /poor\/manifests\/1\.0\.0$/ }, always(answer))
    await waitFor('the tag to be read again', () => script.used() > 0)
    await waitForRounds(registry)
    expect(await readIndex(server)).toEqual(allFiles)
    await expectServed(server, poor)
  })

  test('one damaged chart does not change the digest others are listed with', async () => {
    await using registry = await openFakeRegistry()
    const { good, other } = addCharts(registry)
    registry.script({ path: /poor\/manifests\/1\.0\.0$/ }, always(html))
    await using server = await openServerOver(registry)
    await waitForIndex(server, withoutPoor1)
    const text = await (await server.get('/index.yaml')).text()
    for (const chart of [good, other]) expect(text).toContain(digestOf(chart.archive).replace('sha256:', ''))
  })
})
