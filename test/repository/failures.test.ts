/** Failures: said once, tried again when it is worth it, forgotten when what failed is gone. */
import { describe, expect, test } from 'bun:test'
import { ChartRepoError } from '../../src/errors.ts'
import { Failures } from '../../src/repository/failures.ts'
import { FakeClock } from '../lib/fake-clock.ts'
import { captureLog } from '../telemetry/captured-log.ts'
import { failure } from './memory-registry.ts'

function open() {
  const clock = new FakeClock()
  const log = captureLog()
  return { clock, log, failures: new Failures({ pauseMs: 60_000, clock, log }) }
}

const place = { repository: 'a', tag: '1' }

describe('Failures.note', () => {
  test('makes a problem of a failure, with its place and reason', () => {
    const { failures } = open()
    expect(failures.note(place, failure('UPSTREAM_DENIED', 'no'))).toEqual({ ...place, reason: 'no', transient: false })
    expect(failures.note({ repository: 'a' }, failure())).toEqual({
      repository: 'a',
      reason: 'UPSTREAM_UNAVAILABLE',
      transient: true,
    })
  })

  test.each([
    ['UPSTREAM_UNAVAILABLE', true],
    ['UPSTREAM_TIMEOUT', true],
    ['UPSTREAM_DENIED', false],
    ['UPSTREAM_UNKNOWN', false],
    ['UPSTREAM_MALFORMED', false],
    ['DIGEST_MISMATCH', false],
    ['BODY_TOO_LARGE', false],
  ] as const)('takes %s for transient: %j', (code, transient) => {
    expect(open().failures.note(place, new ChartRepoError(code, 'x')).transient).toBe(transient)
  })

  test('writes a failure into the log once, and again when its reason is another one', () => {
    const { failures, log } = open()
    for (const reason of ['a', 'a', 'b', 'b', 'a']) failures.note(place, failure('UPSTREAM_DENIED', reason))
    expect(log.lines.map(({ fields }) => fields['reason'])).toEqual(['a', 'b', 'a'])
  })

  test('does not take a fault of this program for a failure of the registry', () => {
    const { failures } = open()
    const fault = new TypeError('fault')
    expect(() => failures.note(place, fault)).toThrow(fault)
    expect(failures.has('a', '1')).toBe(false)
  })
})

describe('Failures.pending', () => {
  test('leaves what will not pass by itself alone for a while, and what may pass not at all', async () => {
    const { failures, clock } = open()
    const problem = failures.note(place, failure('UPSTREAM_DENIED'))
    failures.note({ repository: 'a', tag: '2' }, failure())
    expect([
      failures.pending('a', '1'),
      failures.pending('a', '2'),
      failures.pending('a', '3'),
      failures.pending('b', '1'),
    ]).toEqual([problem, undefined, undefined, undefined])
    await clock.advance(59_999)
    expect(failures.pending('a', '1')).toEqual(problem)
    await clock.advance(1)
    expect([failures.pending('a', '1'), failures.has('a', '1')]).toEqual([undefined, true])
  })
})

describe('Failures.clear', () => {
  test('says that a place can be read again, once, and nothing of one that never failed', () => {
    const { failures, log } = open()
    failures.note(place, failure())
    failures.note({ repository: 'a' }, failure())
    for (let i = 0; i < 2; i++) {
      failures.clear(place)
      failures.clear({ repository: 'a' })
      failures.clear({ repository: 'b', tag: '1' })
    }
    expect(log.lines.filter(({ level }) => level === 'info').map(({ fields }) => fields)).toEqual([
      place,
      { repository: 'a' },
    ])
    expect(failures.has('a', '1')).toBe(false)
  })
})

describe('Failures.retainTags and retainRepositories', () => {
  test('forget what is gone, and only that', () => {
    const { failures, log } = open()
    for (const [repository, tag] of [['a', '1'], ['a', '2'], ['a'], ['a/b', '1'], ['b', '1']] as const) {
      failures.note({ repository, ...(tag !== undefined && { tag }) }, failure('UPSTREAM_DENIED'))
    }
    failures.retainTags('a', new Set(['2']))
    failures.retainTags('nowhere', new Set())
    expect([failures.has('a', '1'), failures.has('a', '2'), failures.has('a/b', '1')]).toEqual([false, true, true])
    failures.retainRepositories(new Set(['a', 'b']))
    expect([failures.has('a', '2'), failures.has('a/b', '1'), failures.has('b', '1')]).toEqual([true, false, true])
    failures.clear({ repository: 'a' })
    expect(log.messages('info')).toEqual(['readable again'])
  })
})
