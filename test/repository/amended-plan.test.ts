/** A plan that was amended is the plan of the listing as a whole. */
import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { amendPlan } from '../../src/repository/amended-plan.ts'
import type { CatalogListing } from '../../src/repository/catalog.ts'
import { ChartPicks } from '../../src/repository/chart-picks.ts'
import { findChangedRepositories } from '../../src/repository/listing-changes.ts'
import { planSnapshot, type SnapshotPlan } from '../../src/repository/snapshot.ts'
import { ListingContent, type TagRow, type TagTable } from './listing-content.ts'
import { MemoryCatalog } from './memory-catalog.ts'

function openPlans() {
  const content = new ListingContent(new MemoryCatalog())
  const picks = new ChartPicks(content.records)
  return {
    picks,
    /** Repositories whose tags are as before keep them as the same object, as crawls and pushes leave them. */
    list: (table: TagTable, before?: CatalogListing): CatalogListing => {
      const { repositories, ...rest } = content.list(table)
      const kept = [...repositories].map(([name, state]) => {
        const old = before?.repositories.get(name)
        const isSame = old !== undefined && JSON.stringify([...old.tags]) === JSON.stringify([...state.tags])
        return [name, isSame ? old : state] as const
      })
      return { ...rest, repositories: new Map(kept) }
    },
    plan: (listing: CatalogListing) => planSnapshot(listing, picks),
  }
}

const describe = ({ charts }: SnapshotPlan) =>
  charts.map(({ name, versions }) => [name, versions.map((file) => [file.repository, file.tag, file.fileName])])

const row: fc.Arbitrary<TagRow> = fc.tuple(
  fc.constantFrom('latest', '1.0.0', '1.0.0_b', '2.0.0', 'x'),
  fc.constantFrom('a', 'b', 'c'),
  fc.constantFrom('1.0.0', '1.0.0+b', '2.0.0'),
  fc.constantFrom('p', 'q'),
)
const table: fc.Arbitrary<TagTable> = fc.dictionary(
  fc.constantFrom('r', 's', 't/u', 'T'),
  fc.uniqueArray(row, { selector: ([tag]) => tag, maxLength: 5 }),
)

test('amendPlan comes to what planSnapshot makes of the listing, time after time', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(table, { minLength: 2, maxLength: 5 }), async (tables) => {
      const { picks, list, plan } = openPlans()
      let before = list(tables[0] ?? {})
      let amended: SnapshotPlan | undefined = await plan(before)
      for (const next of tables.slice(1)) {
        const after = list(next, before)
        amended = amended && amendPlan(amended, findChangedRepositories(before, after), { before, after, picks })
        const whole = await plan(after)
        if (amended === undefined) throw new Error('It could not be amended')
        expect(describe(amended)).toEqual(describe(whole))
        expect(amended.holders).toEqual(whole.holders)
        for (const name of [
          'a-1.0.0.tgz',
          'a-1.0.0+b.tgz',
          'a-2.0.0.tgz',
          'b-1.0.0.tgz',
          'b-2.0.0.tgz',
          'c-1.0.0.tgz',
        ]) {
          expect(amended.files.get(name)).toEqual(whole.files.get(name))
        }
        before = after
      }
    }),
  )
})

test('amendPlan leaves charts alone that did not change', async () => {
  const { picks, list, plan } = openPlans()
  const before = list({ r: [['1.0.0', 'a', '1.0.0']], s: [['1.0.0', 'b', '1.0.0']] })
  const first = await plan(before)
  const after = list({ r: [['1.0.0', 'a', '1.0.0']], s: [['2.0.0', 'b', '2.0.0']] }, before)
  const amended = amendPlan(first, ['s'], { before, after, picks })
  expect(amended?.charts[0]).toBe(first.charts[0] as NonNullable<typeof amended>['charts'][number])
  expect(amended?.files.get('b-1.0.0.tgz')).toBeUndefined()
})

test('amendPlan gives up where charts of different names want one file name', async () => {
  const { picks, list, plan } = openPlans()
  const before = list({ r: [['1.0.0', 'a', '1-2.0.0']] })
  const after = list({ r: [['1.0.0', 'a', '1-2.0.0']], s: [['2.0.0', 'a-1', '2.0.0']] }, before)
  const first = await plan(before)
  expect(amendPlan(first, ['s'], { before, after, picks })).toBeUndefined()
  const tangled = await plan(after)
  expect(tangled.isTangled).toBe(true)
  expect(amendPlan(tangled, ['s'], { before: after, after: before, picks })).toBeUndefined()
})
