/** An index that was amended has the bytes and the names of one that was made as a whole. */
import { describe, expect, spyOn, test } from 'bun:test'
import fc from 'fast-check'
import type { KeptDocument } from '../../src/repository/ports.ts'
import { documentName } from '../../src/repository/published-index.ts'
import { rejection } from '../upstream/fake-send.ts'
import { openIndexStage, readDocument } from './index-stage.ts'
import type { TagRow, TagTable } from './listing-content.ts'

const FORMATS = ['yaml', 'json'] as const
const before: TagTable = {
  r: [
    ['1.0.0', 'a', '1.0.0'],
    ['1.1.0', 'a', '1.1.0'],
  ],
  s: [['1.0.0', 'm', '1.0.0']],
  t: [['1.0.0', 'z', '1.0.0']],
}

/** How many readings of `document` are under way: each holds a page and an open file. */
function countReadings(document: KeptDocument): () => number {
  const { readAhead } = document
  let underWay = 0
  const counted = async function* (start: number, end: number) {
    underWay += 1
    try {
      yield* readAhead?.(start, end) ?? []
    } finally {
      underWay -= 1
    }
  }
  Object.assign(document, { readAhead: counted })
  return () => underWay
}

async function openAmendable(table: TagTable) {
  const stage = openIndexStage()
  const base = await stage.make(table)
  await stage.maker.prepareToAmend()
  return { ...stage, base }
}

describe('IndexMaker.amend', () => {
  const tables: readonly (readonly [string, TagTable])[] = [
    ['nothing is different', before],
    ['a version is added', { ...before, s: [...(before['s'] ?? []), ['1.1.0', 'm', '1.1.0']] }],
    ['a version is gone', { ...before, r: [['1.0.0', 'a', '1.0.0']] }],
    ['the first chart is gone', { s: before['s'] ?? [], t: before['t'] ?? [] }],
    ['the last chart is gone', { r: before['r'] ?? [], s: before['s'] ?? [] }],
    ['a chart comes first', { ...before, q: [['1.0.0', '0', '1.0.0']] }],
    ['a chart comes last', { ...before, q: [['1.0.0', 'zz', '1.0.0']] }],
    ['a package is another', { ...before, t: [['1.0.0', 'z', '1.0.0', 'another "one"']] }],
    ['nothing is left', {}],
  ]
  test.each(tables)('makes the same of it where %s', async (_what, after) => {
    const { maker, plan, makeMaker } = await openAmendable(before)
    const charts = await plan(after)
    const amended = maker.amend(charts)
    const whole = await makeMaker().make(charts)
    expect([amended?.key, amended?.charts, amended?.versions]).toEqual([whole.key, whole.charts, whole.versions])
    for (const format of FORMATS) {
      const document = amended?.document(format, 'gzip')
      const other = whole.document(format)
      expect([document?.etag, document?.size, document?.coding]).toEqual([
        `"${whole.key}.${format}"`,
        other.size,
        undefined,
      ])
      expect(await (await document?.open())?.text()).toBe(await readDocument(whole, format))
      expect(await new Response(await document?.stream?.()).text()).toBe(await readDocument(whole, format))
    }
  })

  test('goes on from nothing', async () => {
    const { maker, plan, makeMaker } = await openAmendable({})
    const charts = await plan(before)
    const amended = maker.amend(charts)
    if (amended === undefined) throw new Error('It could not be amended')
    for (const format of FORMATS) {
      expect(await readDocument(amended, format)).toBe(await readDocument(await makeMaker().make(charts), format))
    }
  })

  test('makes the same of any changes, one after the other', async () => {
    const row: fc.Arbitrary<TagRow> = fc.tuple(
      fc.constantFrom('1.0.0', '2.0.0', 'x'),
      fc.constantFrom('a', 'b', 'c', 'd'),
      fc.constantFrom('1.0.0', '2.0.0', '3.0.0'),
    )
    const table: fc.Arbitrary<TagTable> = fc.dictionary(
      fc.constantFrom('r', 's', 't'),
      fc.uniqueArray(row, { selector: ([tag]) => tag, maxLength: 4 }),
    )
    await fc.assert(
      fc.asyncProperty(table, fc.array(table, { minLength: 1, maxLength: 3 }), async (first, others) => {
        const { maker, plan, makeMaker } = await openAmendable(first)
        for (const next of others) {
          const charts = await plan(next)
          const amended = maker.amend(charts)
          const whole = await makeMaker().make(charts)
          for (const format of FORMATS) {
            expect(amended?.key).toBe(whole.key)
            expect(amended && (await readDocument(amended, format))).toBe(await readDocument(whole, format))
          }
        }
      }),
      { numRuns: 40 },
    )
  })

  test('is left out as long as nothing was made, and says that it is made again where an entry is lost', async () => {
    const { maker, plan } = openIndexStage()
    expect(maker.amend(await plan(before))).toBeUndefined()
    const stage = await openAmendable(before)
    const after = await stage.plan({ ...before, q: [['1.0.0', 'new', '1.0.0']] })
    stage.store.lose(...after.flatMap(({ versions }) => versions.map(({ record }) => record.manifest)))
    const amended = stage.maker.amend(after)
    for (const format of FORMATS) {
      expect(() => amended?.document(format)).toThrow(expect.objectContaining({ code: 'SNAPSHOT_MISSING' }))
    }
  })

  test('renders a form for whoever asks for it first, and for nobody', async () => {
    const { maker, plan, store } = await openAmendable(before)
    const charts = await plan({ ...before, q: [['1.0.0', 'new', '1.0.0']] })
    const reads = spyOn(store, 'readEntries')
    const amended = maker.amend(charts)
    expect(reads).not.toHaveBeenCalled()
    for (let i = 0; i < 3; i++) amended?.document('json')
    expect(reads.mock.calls.map(([, format]) => format)).toEqual(['json'])
  })

  test('is made of the entries when what it goes on from was removed, or says that it is made again', async () => {
    const { maker, plan, documents, makeMaker, store } = await openAmendable(before)
    const charts = await plan({ ...before, q: [['1.0.0', 'new', '1.0.0']] })
    const [amended, lost] = [maker.amend(charts), maker.amend(charts)]
    if (amended === undefined || lost === undefined) throw new Error('It could not be amended')
    const streamed = await amended.document('json').stream?.()
    documents.remove()
    const whole = await makeMaker().make(charts)
    for (const format of FORMATS) {
      expect(await readDocument(amended, format)).toBe(await readDocument(whole, format))
      expect(await new Response(await amended.document(format).stream?.()).text()).toBe(
        await readDocument(whole, format),
      )
    }
    // What had begun goes on to its end.
    expect(await new Response(streamed).text()).toBe(await readDocument(whole, 'json'))
    store.lose(...charts.flatMap(({ versions }) => versions.map(({ record }) => record.manifest)))
    expect(await rejection(lost.document('yaml').open())).toMatchObject({ code: 'SNAPSHOT_MISSING' })
  })

  test('ends with an error on its way when what it goes on from has fewer bytes by now', async () => {
    const { maker, plan, documents } = await openAmendable(before)
    const amended = maker.amend(await plan({ ...before, q: [['1.0.0', 'new', '1.0.0']] }))
    const document = amended?.document('json')
    await documents.damage('index.json', (bytes) => bytes.slice(0, bytes.byteLength / 2))
    const streamed = await document?.stream?.()
    expect(await rejection(new Response(streamed).text())).toBeInstanceOf(RangeError)
  })

  test('holds one reading of what it goes on from for each client, however many charts are different', async () => {
    const names = Array.from({ length: 40 }, (_, place) => `c${10 + place}`)
    const table = (newest: string): TagTable =>
      Object.fromEntries(names.map((name, place) => [name, [['1', name, place % 2 === 0 ? '1.0.0' : newest]]]))
    const { maker, plan, documents, base, makeMaker } = await openAmendable(table('1.0.0'))
    const document = (await documents.find(base.key))?.get(documentName('json'))
    if (document === undefined) throw new Error('There is no base')
    const readings = countReadings(document)
    const charts = await plan(table('2.0.0'))
    const { stream } = maker.amend(charts)?.document('json') ?? {}
    const [first, second, third] = [await stream?.(), await stream?.(), await stream?.()]
    expect(readings()).toBe(3)
    expect(await new Response(first).text()).toBe(await readDocument(await makeMaker().make(charts), 'json'))
    await second?.cancel()
    expect(readings()).toBe(1)
    await third?.cancel()
    expect(readings()).toBe(0)
  })
})
