/** The pass over one repository: what it costs, when known tags are re-checked, and what failures do. */
import { afterEach, describe, expect, jest, test } from 'bun:test'
import fc from 'fast-check'
import { limits } from '../../src/limits.ts'
import type { RepositoryListing } from '../../src/repository/catalog.ts'
import { rejection } from '../upstream/fake-send.ts'
import { openCrawlStage, REVALIDATE_MS } from './crawl-stage.ts'
import { failure, hang } from './memory-registry.ts'

type Stage = ReturnType<typeof openCrawlStage>

const hex = 'ab'.repeat(32)
const tagsOf = (listing: RepositoryListing | undefined) => [...(listing?.tags.keys() ?? [])].sort()

afterEach(() => {
  jest.useRealTimers()
})

/** Passes over `a` until the listing is there, and forgets what that cost. */
async function begin(stage: Stage): Promise<RepositoryListing> {
  const { listing } = await stage.pass('a')
  stage.takeCalls()
  if (listing === undefined) throw new Error('There is no listing')
  return listing
}

/** The listing when everything that is due in one interval has been re-checked. */
async function passInterval(stage: Stage, before: RepositoryListing, steps = 4): Promise<RepositoryListing> {
  let listing = before
  for (let i = 0; i < steps; i++) {
    await stage.clock.advance(REVALIDATE_MS / steps)
    const pass = await stage.pass('a', listing)
    if (pass.listing === undefined) throw new Error('The repository is gone')
    listing = pass.listing
  }
  return listing
}

describe('the cost of a pass', () => {
  test('is a list and two requests for a new version, nothing for what is known', async () => {
    const stage = openCrawlStage()
    stage.registry.addChart('a', '1.0.0', { name: 'demo', version: '1.0.0' })
    stage.registry.addChart('a', '1.1.0_b', { name: 'demo', version: '1.1.0+b' })
    const { listing } = await stage.pass('a')
    expect(stage.takeCalls().sort()).toEqual(['blob a', 'blob a', 'get a:1.0.0', 'get a:1.1.0_b', 'tags a'])
    await stage.clock.advance(1)
    await stage.pass('a', listing)
    expect(stage.takeCalls()).toEqual(['tags a'])
  })

  test('is one HEAD for a tag that is no version and names one that is known', async () => {
    const stage = openCrawlStage()
    stage.registry.addChart('a', '1.0.0', { name: 'demo', version: '1.0.0' })
    const before = await begin(stage)
    stage.registry.addChart('a', 'latest', { name: 'demo', version: '1.0.0' })
    const { listing } = await stage.pass('a', before)
    expect(stage.takeCalls()).toEqual(['tags a', 'head a:latest'])
    expect(listing?.tags.get('latest')).toBe(before.tags.get('1.0.0') ?? null)
  })

  test('is nothing for signatures and other referrers, which are named once in the log', async () => {
    const stage = openCrawlStage()
    for (const tag of [`sha256-${hex}`, `sha256-${hex}.sig`, `sha256-${hex}.att`])
      stage.registry.addManifest('a', tag, 'x')
    const { listing } = await stage.pass('a')
    expect(stage.takeCalls()).toEqual(['tags a'])
    expect([...(listing?.tags.values() ?? [])]).toEqual([null, null, null])
    if (listing !== undefined) await passInterval(stage, listing)
    expect([stage.takeCalls().every((call) => call === 'tags a'), stage.log.messages('info').length]).toEqual([true, 3])
  })

  test('is one HEAD for each known tag in an interval', async () => {
    const stage = openCrawlStage()
    for (let i = 0; i < 20; i++) stage.registry.addChart('a', `1.0.${i}`, { name: 'demo', version: `1.0.${i}` })
    await passInterval(stage, await begin(stage))
    const checks = stage.takeCalls().filter((call) => call !== 'tags a')
    expect(checks.sort()).toEqual(Array.from({ length: 20 }, (_, i) => `head a:1.0.${i}`).sort())
  })

  test('is a GET more where the registry tells no digests by HEAD', async () => {
    const stage = openCrawlStage()
    stage.registry.addChart('a', '1.0.0', { name: 'demo', version: '1.0.0' })
    stage.registry.tellsDigests = false
    await passInterval(stage, await begin(stage))
    expect(stage.takeCalls().filter((call) => call !== 'tags a')).toEqual(['head a:1.0.0', 'get a:1.0.0'])
  })
})

describe('a tag whose digest means nothing any more', () => {
  async function openLost() {
    const stage = openCrawlStage()
    stage.registry.addChart('a', '1.0.0', { name: 'demo', version: '1.0.0' })
    stage.registry.addChart('a', '2.0.0', { name: 'demo', version: '2.0.0' })
    const before = await begin(stage)
    const lost = before.tags.get('1.0.0')
    if (typeof lost !== 'string') throw new TypeError('There is no such tag')
    stage.records.delete(lost)
    stage.store.records.delete(lost)
    return { ...stage, before, lost }
  }

  test('is read as if it were new, and counted', async () => {
    const { pass, before, lost, records, takeCalls, progress } = await openLost()
    const { total } = progress.report
    const { listing } = await pass('a', before)
    expect(takeCalls().filter((call) => !call.startsWith('head'))).toEqual(['tags a', 'get a:1.0.0', 'blob a'])
    expect([listing?.tags.get('1.0.0'), records.has(lost), progress.report.total]).toEqual([lost, true, total + 1])
  })

  test('is in no listing while it cannot be read', async () => {
    const { pass, before, registry } = await openLost()
    registry.fail('get a:1.0.0', failure())
    const { listing, problems } = await pass('a', before)
    expect([tagsOf(listing), problems.map(({ tag }) => tag)]).toEqual([['2.0.0'], ['1.0.0']])
  })
})

describe('the moments of re-checks', () => {
  test('come for every tag exactly once in an interval, whenever passes are made', async () => {
    const gaps = fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 1, maxLength: 12 })
    const names = fc.uniqueArray(fc.stringMatching(/^1\.0\.[0-9]{1,4}$/), { minLength: 1, maxLength: 12 })
    await fc.assert(
      fc.asyncProperty(gaps, names, fc.nat({ max: 10 ** 9 }), async (weights, tags, offset) => {
        const stage = openCrawlStage()
        await stage.clock.advance(offset)
        for (const tag of tags) stage.registry.addChart('a', tag, { name: 'demo', version: '1.0.0' })
        let listing = await begin(stage)
        const total = weights.reduce((sum, weight) => sum + weight)
        const start = stage.clock.now()
        for (let round = 0; round < 2; round++) {
          let passed = 0
          for (const weight of weights) {
            passed += weight
            const at = start + round * REVALIDATE_MS + Math.round((REVALIDATE_MS * passed) / total)
            const pass = await stage.passWith('a', { before: listing, now: at })
            listing = pass.listing ?? listing
          }
          const checks = stage.takeCalls().filter((call) => call !== 'tags a')
          expect(checks.sort()).toEqual(tags.map((tag) => `head a:${tag}`).sort())
        }
      }),
      { numRuns: 60 },
    )
  })

  test('are spread evenly over it', async () => {
    const stage = openCrawlStage()
    for (let i = 0; i < 400; i++) stage.registry.addManifest('a', `1.0.${i}`, '{}')
    let listing = await begin(stage)
    const checks: number[] = []
    for (let step = 0; step < 10; step++) {
      await stage.clock.advance(REVALIDATE_MS / 10)
      listing = (await stage.pass('a', listing)).listing ?? listing
      checks.push(stage.takeCalls().length - 1)
    }
    expect(checks.reduce((sum, each) => sum + each)).toBe(400)
    for (const each of checks) expect(each).toBeWithin(15, 75)
  })

  test('come once an interval for the other tags while one of them keeps failing', async () => {
    const stage = openCrawlStage()
    for (let i = 0; i < 10; i++) stage.registry.addChart('a', `1.0.${i}`, { name: 'demo', version: `1.0.${i}` })
    const before = await begin(stage)
    stage.registry.fail('head a:1.0.3', failure())
    let listing = before
    for (let round = 0; round < 3; round++) {
      listing = await passInterval(stage, listing, 20)
      const others = stage.takeCalls().filter((call) => call.startsWith('head') && call !== 'head a:1.0.3')
      expect([round, others.length, new Set(others).size]).toEqual([round, 9, 9])
    }
    expect(listing.tags).toEqual(before.tags)
  })
})

describe('the tags of a pass', () => {
  test('are the same object while nothing changed, also when all of them were checked', async () => {
    const stage = openCrawlStage()
    for (const tag of ['1.0.0', '2.0.0']) stage.registry.addChart('a', tag, { name: 'demo', version: tag })
    const before = await begin(stage)
    expect((await passInterval(stage, before)).tags).toBe(before.tags)
  })

  test.each([
    ['is new', (stage: Stage) => stage.registry.addChart('a', '2.0.0', { name: 'demo', version: '2.0.0' })],
    ['is gone', (stage: Stage) => stage.registry.removeTag('a', '1.0.0')],
    [
      'moved',
      (stage: Stage) => stage.registry.addChart('a', '1.0.0', { name: 'demo', version: '1.0.0', content: 'other' }),
    ],
    [
      'took the place of another',
      (stage: Stage) => {
        stage.registry.removeTag('a', '1.0.0')
        stage.registry.addChart('a', '1', { name: 'demo', version: '1.0.0' })
      },
    ],
  ] as const)('are another object when one %s, and the one before stays as it was', async (_what, change) => {
    const stage = openCrawlStage()
    for (const tag of ['1.0.0', 'latest']) stage.registry.addChart('a', tag, { name: 'demo', version: '1.0.0' })
    const before = await begin(stage)
    const copy = new Map(before.tags)
    change(stage)
    const after = await passInterval(stage, before)
    expect(after.tags).not.toEqual(copy)
    expect(before.tags).toEqual(copy)
  })
})

describe('changes', () => {
  test('of a tag are noticed within an interval', async () => {
    const stage = openCrawlStage()
    stage.registry.addChart('a', '1.0.0', { name: 'demo', version: '1.0.0', content: 'old' })
    const before = await begin(stage)
    const moved = stage.registry.addChart('a', '1.0.0', { name: 'demo', version: '1.0.0', content: 'new' })
    expect((await passInterval(stage, before)).tags.get('1.0.0')).toBe(moved)
  })

  test('of the list are noticed at once', async () => {
    const stage = openCrawlStage()
    for (const tag of ['1.0.0', '2.0.0']) stage.registry.addChart('a', tag, { name: 'demo', version: tag })
    const before = await begin(stage)
    stage.registry.removeTag('a', '1.0.0')
    stage.registry.addChart('a', '3.0.0', { name: 'demo', version: '3.0.0' })
    expect(tagsOf((await stage.pass('a', before)).listing)).toEqual(['2.0.0', '3.0.0'])
  })

  test('that the registry itself tells: a tag without a manifest, a repository that is not there', async () => {
    const stage = openCrawlStage()
    stage.registry.addChart('a', '1.0.0', { name: 'demo', version: '1.0.0' })
    await begin(stage)
    stage.registry.removeRepository('a')
    expect(await stage.pass('a')).toEqual({ listing: undefined, problems: [] })
    const other = openCrawlStage()
    other.registry.addChart('a', '1.0.0', { name: 'demo', version: '1.0.0' })
    other.registry.readManifest = async () => undefined
    expect(await other.pass('a')).toMatchObject({ listing: { tags: new Map() }, problems: [] })
  })
})

describe('failures', () => {
  test('of the list keep what was known, and nothing where nothing was', async () => {
    const stage = openCrawlStage()
    stage.registry.addChart('a', '1.0.0', { name: 'demo', version: '1.0.0' })
    stage.registry.fail('tags a', failure('UPSTREAM_DENIED'))
    const problem = { repository: 'a', reason: 'UPSTREAM_DENIED', transient: false }
    expect(await stage.pass('a')).toEqual({ listing: undefined, problems: [problem], failure: problem })
    stage.registry.fail('tags a', undefined)
    const before = await begin(stage)
    stage.registry.fail('tags a', failure('UPSTREAM_DENIED'))
    expect(await stage.pass('a', before)).toEqual({ listing: before, problems: [problem], failure: problem })
  })

  test('of a later page of the list keep what it does not name', async () => {
    const stage = openCrawlStage()
    for (const tag of ['1.0.0', '2.0.0']) stage.registry.addChart('a', tag, { name: 'demo', version: tag })
    const before = await begin(stage)
    stage.registry.removeTag('a', '1.0.0')
    stage.registry.addChart('a', '3.0.0', { name: 'demo', version: '3.0.0' })
    stage.registry.incomplete.set('a', failure())
    const { listing, problems } = await stage.pass('a', before)
    expect([tagsOf(listing), problems.length]).toEqual([['1.0.0', '2.0.0', '3.0.0'], 1])
    stage.registry.incomplete.clear()
    expect(tagsOf((await stage.pass('a', listing)).listing)).toEqual(['2.0.0', '3.0.0'])
  })

  test('of a later page that will not pass by themselves leave what the list does name as fresh as ever', async () => {
    const stage = openCrawlStage()
    stage.registry.addChart('a', '1.0.0', { name: 'demo', version: '1.0.0' })
    stage.registry.incomplete.set('a', failure('UPSTREAM_MALFORMED'))
    const before = await begin(stage)
    stage.registry.addChart('a', '2.0.0', { name: 'demo', version: '2.0.0' })
    await stage.clock.advance(30_000)
    const { listing, problems } = await stage.pass('a', before)
    expect([tagsOf(listing), problems.length]).toEqual([['1.0.0', '2.0.0'], 1])
  })

  test('of a new tag leave it out and are tried again: at once when they may pass, after a pause when not', async () => {
    const stage = openCrawlStage()
    for (const tag of ['1.0.0', '2.0.0']) stage.registry.addChart('a', tag, { name: 'demo', version: tag })
    stage.registry.fail('get a:1.0.0', failure())
    stage.registry.fail('get a:2.0.0', failure('UPSTREAM_DENIED'))
    let { listing, problems } = await stage.pass('a')
    expect([tagsOf(listing), problems.map(({ tag, transient }) => [tag, transient])]).toEqual([
      [],
      [
        ['1.0.0', true],
        ['2.0.0', false],
      ],
    ])
    stage.registry.fail('get a:1.0.0', undefined)
    stage.registry.fail('get a:2.0.0', undefined)
    ;({ listing, problems } = await stage.pass('a', listing))
    expect([tagsOf(listing), problems.map(({ tag }) => tag)]).toEqual([['1.0.0'], ['2.0.0']])
    await stage.clock.advance(REVALIDATE_MS)
    ;({ listing, problems } = await stage.pass('a', listing))
    expect([tagsOf(listing), problems]).toEqual([['1.0.0', '2.0.0'], []])
    expect(stage.log.messages('info')).toEqual(['readable again', 'readable again'])
  })

  test('of a re-check keep what was known, and are a problem until it succeeds', async () => {
    const stage = openCrawlStage()
    stage.registry.addChart('a', '1.0.0', { name: 'demo', version: '1.0.0', content: 'old' })
    const before = await begin(stage)
    const moved = stage.registry.addChart('a', '1.0.0', { name: 'demo', version: '1.0.0', content: 'new' })
    stage.registry.fail('head a:1.0.0', failure())
    const kept = await passInterval(stage, before)
    expect(kept.tags).toEqual(before.tags)
    expect((await stage.pass('a', kept)).problems).toHaveLength(1)
    stage.registry.fail('head a:1.0.0', undefined)
    const { listing, problems } = await stage.pass('a', kept)
    expect([listing?.tags.get('1.0.0'), problems]).toEqual([moved, []])
  })

  test('of a repository that hung leave no re-check out: it is made up for when the repository is tried again', async () => {
    const stage = openCrawlStage()
    stage.registry.addChart('a', '1.0.0', { name: 'demo', version: '1.0.0', content: 'old' })
    const before = await begin(stage)
    const moved = stage.registry.addChart('a', '1.0.0', { name: 'demo', version: '1.0.0', content: 'new' })
    stage.registry.fail('head a:1.0.0', hang)
    await stage.clock.advance(REVALIDATE_MS)
    jest.useFakeTimers()
    const passing = stage.pass('a', before)
    for (let turn = 0; turn < 100; turn++) await Promise.resolve()
    jest.advanceTimersByTime(limits.repositoryStallMs)
    const { listing } = await passing
    jest.useRealTimers()
    expect(listing?.tags).toEqual(before.tags)
    stage.registry.fail('head a:1.0.0', undefined)
    await stage.clock.advance(limits.timeoutPauseMs)
    expect((await stage.pass('a', listing)).listing?.tags.get('1.0.0')).toBe(moved)
  })

  test('of this program end the pass', async () => {
    const stage = openCrawlStage()
    stage.registry.addChart('a', '1.0.0', { name: 'demo', version: '1.0.0' })
    stage.registry.fail('get a:1.0.0', () => {
      throw new TypeError('fault')
    })
    expect(await rejection(stage.pass('a'))).toBeInstanceOf(TypeError)
  })

  test('that come of an end of the whole are no problems of the registry', async () => {
    const stage = openCrawlStage()
    stage.registry.addChart('a', '1.0.0', { name: 'demo', version: '1.0.0' })
    for (const call of ['tags a', 'get a:1.0.0']) {
      const controller = new AbortController()
      stage.registry.fail(call, () => {
        controller.abort(failure('SNAPSHOT_MISSING'))
        throw controller.signal.reason
      })
      const passed = stage.passWith('a', { now: 0, signal: controller.signal })
      expect(await rejection(passed)).toMatchObject({ code: 'SNAPSHOT_MISSING' })
      stage.registry.fail(call, undefined)
    }
    expect(stage.log.lines).toEqual([])
  })
})

test('what is no chart is named once in the log, per tag', async () => {
  const stage = openCrawlStage()
  for (const tag of ['1.0.0', 'latest'])
    stage.registry.addManifest('a', tag, { config: { mediaType: 'x', digest: `sha256:${hex}`, size: 1 }, layers: [] })
  await passInterval(stage, await begin(stage))
  expect(stage.log.messages()).toEqual(['skipped, not a chart', 'skipped, not a chart'])
  expect(stage.log.lines.map(({ fields }) => fields['tag']).sort()).toEqual(['1.0.0', 'latest'])
})
