/** What is told of a registry is looked into, and handed on in the order in which it was told. */
import { expect, test } from 'bun:test'
import { ChartRepoError } from '../../src/errors.ts'
import type { ManifestRecord } from '../../src/helm/chart-record.ts'
import { type Digest, digestBytes } from '../../src/oci/digest.ts'
import type { Examiner } from '../../src/repository/examiner.ts'
import { News } from '../../src/repository/news.ts'
import type { ListingChanges } from '../../src/repository/ports.ts'
import { defer } from '../lib/fake-clock.ts'
import { captureLog } from '../telemetry/captured-log.ts'

const digest = (text: string): Digest => digestBytes(Buffer.from(text))
const REFERRER = `sha256-${'a'.repeat(64)}`

function openNews() {
  const records = new Map<Digest, ManifestRecord>()
  const stopping = new AbortController()
  const handed: unknown[] = []
  const examined: Digest[] = []
  const state: { gate: Promise<void> | undefined; fails: ReadonlySet<Digest>; refuses: boolean } = {
    gate: undefined,
    fails: new Set(),
    refuses: false,
  }
  const examiner = {
    examine: async (_repository: string, reference: Digest) => {
      examined.push(reference)
      await state.gate
      if (state.fails.has(reference)) throw new ChartRepoError('LAYOUT_DAMAGED', 'it cannot be read')
      const record: ManifestRecord = { kind: 'skipped', reason: 'no chart' }
      records.set(reference, record)
      return { digest: reference, record }
    },
  } as unknown as Examiner
  const log = captureLog()
  const news = new News({
    examiner,
    records,
    handOn: (changes: ListingChanges) => {
      if (state.refuses) throw new Error('it cannot be shown')
      handed.push(Object.fromEntries([...changes].map(([name, tags]) => [name, Object.fromEntries(tags)])))
    },
    signal: stopping.signal,
    log,
  })
  return { news, handed, examined, state, log, stopping }
}

test('News hands on what is new, what is gone, and what is no chart by its name, without asking for more than it must', async () => {
  const { news, handed, examined } = openNews()
  news.tell(
    'r',
    new Map([
      ['1.0.0', digest('a')],
      ['old', undefined],
      [REFERRER, digest('b')],
    ]),
  )
  await news.settled
  expect(handed).toEqual([{ r: { '1.0.0': digest('a'), old: undefined, [REFERRER]: null } }])
  expect(examined).toEqual([digest('a')])
})

test('News hands on together what is told while something is looked into, and the last word counts', async () => {
  const { news, handed, state } = openNews()
  const gate = defer()
  state.gate = gate.promise
  news.tell('r', new Map([['1.0.0', digest('a')]]))
  news.tell('r', new Map([['1.0.0', digest('b')]]))
  news.tell('s', new Map([['2.0.0', digest('c')]]))
  news.tell('r', new Map([['1.0.0', undefined]]))
  gate.resolve()
  await news.settled
  expect(news.settled).toBeUndefined()
  expect(handed).toEqual([{ r: { '1.0.0': digest('a') } }, { r: { '1.0.0': undefined }, s: { '2.0.0': digest('c') } }])
})

test('News makes nobody wait for what is told later', async () => {
  const { news, handed, state } = openNews()
  news.tell('r', new Map([['1.0.0', digest('a')]]))
  const first = news.settled
  news.tell('r', new Map([['2.0.0', digest('b')]]))
  const second = news.settled
  const gate = defer()
  state.gate = gate.promise
  await first
  expect(handed).toEqual([{ r: { '1.0.0': digest('a') } }])
  gate.resolve()
  await second
  expect(news.settled).toBeUndefined()
  expect(handed.slice(1)).toEqual([{ r: { '2.0.0': digest('b') } }])
})

test('News leaves to the next crawl what cannot be read, and goes on', async () => {
  const { news, handed, state, log } = openNews()
  state.fails = new Set([digest('bad')])
  news.tell(
    'r',
    new Map([
      ['1.0.0', digest('bad')],
      ['2.0.0', digest('good')],
    ]),
  )
  await news.settled
  state.refuses = true
  news.tell('r', new Map([['3.0.0', digest('x')]]))
  await news.settled
  state.refuses = false
  news.tell('r', new Map([['4.0.0', digest('y')]]))
  await news.settled
  expect(handed).toEqual([{ r: { '2.0.0': digest('good') } }, { r: { '4.0.0': digest('y') } }])
  expect(log.lines.filter(({ level }) => level === 'error').map(({ message }) => message)).toEqual([
    'what was pushed cannot be shown yet',
  ])
})

test('News takes nothing more once the server stops', async () => {
  const { news, handed, stopping } = openNews()
  stopping.abort(new Error('stop'))
  news.tell('r', new Map([['1.0.0', digest('a')]]))
  await news.settled
  expect(handed).toEqual([])
})
