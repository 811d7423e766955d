/** While the first crawl is under way: nothing but how far it is, or with --serve-partial what there is so far. */
import { describe, expect, test } from 'bun:test'
import { type FakeRegistry, openFakeRegistry } from '../fakes/fake-registry.ts'
import { held } from '../fakes/fault-script.ts'
import type { Server } from '../stand/server.ts'
import { waitFor } from '../stand/wait-for.ts'
import { expectServed, openServerOver, readIndex, waitForIndex } from './scene.ts'

/** A repository that the registry holds back until it is told to let go of it. */
function holdBack(registry: FakeRegistry, repository: string): () => void {
  const { promise, resolve } = Promise.withResolvers<void>()
  registry.script({ path: new RegExp(`^/v2/${repository}/tags/list`) }, held(promise))
  return resolve
}

function addRepositories(registry: FakeRegistry, names: readonly string[]) {
  return names.flatMap((name) =>
    ['1.0.0', '2.0.0'].map((version) => registry.addChart({ repository: `team/${name}`, name, version })),
  )
}

const filesOf = (charts: readonly { readonly fileName: string }[]) => charts.map(({ fileName }) => fileName)

/** Only the first crawl, however long the test takes. */
const onceOnly = ['--refresh-interval=1h', '--refresh-wait=50ms']
const partial = [...onceOnly, '--serve-partial']

/** The headers that tell a part of the index from the whole, with the status. */
async function readMarks(server: Server, init: RequestInit = {}) {
  const { status, headers } = await server.get('/index.yaml', init)
  return { status, partial: headers.get('x-index-partial'), cacheControl: headers.get('cache-control') }
}
const marksOfPart = { status: 200, partial: 'true', cacheControl: 'no-store' }

describe.concurrent('the first crawl', () => {
  test('with --serve-partial: the index grows, marked as a part of it, until it is the whole one', async () => {
    await using registry = await openFakeRegistry()
    const [first, second, third] = [['a', 'b'], ['c'], ['d']].map((names) => addRepositories(registry, names))
    const releases = ['team/c', 'team/d'].map((repository) => holdBack(registry, repository))
    await using server = await openServerOver(registry, { args: partial })
    const charts = [...(first ?? [])]
    await waitForIndex(server, filesOf(charts))
    expect(await readMarks(server)).toEqual(marksOfPart)
    expect(await readMarks(server, { method: 'HEAD' })).toEqual(marksOfPart)
    const json = await server.get('/index.yaml', { headers: { accept: 'application/json' } })
    expect(json.headers.get('x-index-partial')).toBe('true')
    expect(Object.keys(((await json.json()) as { entries: object }).entries)).toEqual(['a', 'b'])
    expect(await server.readyz()).toMatchObject({ ready: true, partial: true, charts: 2, versions: 4 })
    for (const chart of charts) await expectServed(server, chart)

    releases[0]?.()
    charts.push(...(second ?? []))
    await waitForIndex(server, filesOf(charts))
    expect(await readMarks(server)).toEqual(marksOfPart)

    releases[1]?.()
    charts.push(...(third ?? []))
    await waitForIndex(server, filesOf(charts))
    const whole = await waitFor('the whole index', async () => {
      const marks = await readMarks(server)
      return marks.partial === null && marks
    })
    expect(whole.status).toBe(200)
    expect(whole.cacheControl).toContain('public')
    expect(await server.readyz()).toMatchObject({ ready: true, partial: false, versions: 8 })
    expect(server.logLines().filter(({ msg }) => msg === 'index published')).toHaveLength(1)
  })

  test('with --serve-partial: everything that was read is there, whatever is held back', async () => {
    await using registry = await openFakeRegistry()
    const names = Array.from({ length: 40 }, (_, i) => `app-${i}`)
    const charts = addRepositories(registry, names)
    addRepositories(registry, ['late'])
    const release = holdBack(registry, 'team/late')
    await using server = await openServerOver(registry, { args: partial })
    await waitForIndex(server, filesOf(charts))
    release()
  })

  test('with --serve-partial: nothing is said to be gone once there was a whole index', async () => {
    await using registry = await openFakeRegistry()
    const charts = addRepositories(registry, ['a', 'b'])
    await using server = await openServerOver(registry, { args: ['--serve-partial', '--refresh-interval=300ms'] })
    await waitForIndex(server, filesOf(charts))
    await waitFor('the whole index', async () => (await readMarks(server)).partial === null)
    const script = registry.script({ path: /^\/v2\/team\/a\/tags\/list/ }, held(new Promise(() => undefined)))
    await waitFor('the held list', () => script.used() > 0)
    expect((await readIndex(server)).sort()).toEqual(filesOf(charts).sort())
    expect((await readMarks(server)).partial).toBeNull()
  })

  test('without it: 503 with Retry-After and one line that says how far it is, then the whole', async () => {
    await using registry = await openFakeRegistry()
    const charts = addRepositories(registry, ['a', 'b', 'late'])
    const release = holdBack(registry, 'team/late')
    await using server = await openServerOver(registry, { args: onceOnly })
    const { progress } = await waitFor('the tags that can be read', async () => {
      const readiness = (await (await server.get('/readyz')).json()) as { progress: { done: number } | null }
      return readiness.progress?.done === 4 && readiness
    })
    expect(progress).toMatchObject({ done: 4, total: 4, repositoriesListed: 2, repositories: 3, secondsLeft: null })
    const answer = await server.get('/index.yaml')
    expect(answer.status).toBe(503)
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(answer.headers.get('cache-control')).toBe('no-store')
    expect(answer.headers.get('x-index-partial')).toBeNull()
    expect(await answer.text()).toMatch(
      /^There is no index yet: [^\n]*4 of at least 4 tags are read, \d+ a second\.\n$/,
    )
    release()
    await waitForIndex(server, filesOf(charts))
    expect((await readMarks(server)).partial).toBeNull()
  })

  test('says in the log every five seconds how far it is, as long as it takes', async () => {
    await using registry = await openFakeRegistry()
    const charts = addRepositories(registry, ['a', 'b', 'late'])
    const release = holdBack(registry, 'team/late')
    await using server = await openServerOver(registry, { args: onceOnly })
    const lines = () => server.logLines().filter(({ msg }) => msg === 'reading the registry')
    const [first, second] = await waitFor('two lines', () => lines().length >= 2 && lines())
    expect(first).toMatchObject({ level: 'info', done: 4, total: 4 })
    const apartMs = Date.parse(second?.time ?? '') - Date.parse(first?.time ?? '')
    expect(apartMs).toBeGreaterThan(4500)
    release()
    await waitForIndex(server, filesOf(charts))
    expect(lines().length).toBeLessThanOrEqual(3)
  })
})
