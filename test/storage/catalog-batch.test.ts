/** A listing is written in pieces, as one: whatever comes in the middle waits, and nothing is lost or seen by halves. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import type { ManifestRecord } from '../../src/helm/chart-record.ts'
import { limits } from '../../src/limits.ts'
import type { Digest } from '../../src/oci/digest.ts'
import type { CatalogFile, SavedListing } from '../../src/storage/catalog-file.ts'
import {
  alter,
  chart,
  digest,
  entry,
  first,
  later,
  NOT_WRITTEN,
  openFilledStage,
  skipped,
  stopAfterEachRow,
  WRITTEN_AGAIN,
} from './catalog-content.ts'

const demo = digest('demo')
const turn = () => new Promise((resolve) => setImmediate(resolve))

/** The filled catalog, whose next listing is in the middle of being written. */
async function openMiddle(tags: readonly string[] = ['v1', 'v2', 'v3', 'v4', 'v5']) {
  const stage = await openFilledStage()
  const before = stage.reopen()
  const { catalog } = stage.open()
  const slices = stopAfterEachRow()
  const state = { isSaved: false }
  const changes = { a: Object.fromEntries(tags.map((tag) => [tag, demo])) }
  const saving = catalog.saveListing(first(5, changes)).then(() => {
    state.isSaved = true
  })
  await turn()
  return {
    ...stage,
    before,
    catalog,
    saving,
    state,
    tags,
    async [Symbol.asyncDispose]() {
      slices[Symbol.dispose]()
      catalog.close()
      await stage[Symbol.asyncDispose]()
    },
  }
}

const tagsOf = (repositories: ReadonlyMap<string, ReadonlyMap<string, unknown>>) =>
  Object.fromEntries([...repositories].map(([name, tags]) => [name, [...tags.keys()]]))

describe('what comes while a listing is written', () => {
  test('finds what was there before', async () => {
    await using stage = await openMiddle()
    expect([stage.state.isSaved, stage.reopen()]).toEqual([false, stage.before])
    await stage.saving
    expect(tagsOf(stage.reopen().repositories)).toEqual({ a: [...stage.tags] })
  })

  test('waits: records, as many as may be, which can be read meanwhile', async () => {
    await using stage = await openMiddle()
    const names = Array.from({ length: 200 }, (_, i) => `new-${i}`)
    for (const name of names) stage.catalog.saveRecord(digest(name), chart(name), entry(name))
    expect([stage.state.isSaved, stage.reopen()]).toEqual([false, stage.before])
    expect(stage.catalog.readEntries(names.map(digest), 'yaml').size).toBe(200)
    await stage.saving
    expect([stage.reopen().records.size, stage.reopen().listedAt]).toEqual([2, 5])
    expect(stage.catalog.readEntries(names.map(digest), 'yaml').size).toBe(200)
    await stage.catalog.saveListing(later(6))
    expect([stage.reopen().records.size, stage.reopen().listedAt]).toEqual([202, 6])
  })

  test('waits: what is forgotten', async () => {
    await using stage = await openMiddle()
    stage.catalog.forget({ records: [digest('image')], entries: [] })
    await stage.saving
    expect(stage.reopen().records.size).toBe(2)
    await stage.catalog.saveListing(later(6))
    expect([...stage.reopen().records.keys()]).toEqual([demo])
  })

  test('waits: the next listing', async () => {
    await using stage = await openMiddle(['v1', 'v2', 'v3'])
    const next = stage.catalog.saveListing(later(6, { a: { v1: undefined }, b: { v1: demo } }))
    await stage.saving
    expect([stage.reopen().listedAt, tagsOf(stage.reopen().repositories)]).toEqual([5, { a: ['v1', 'v2', 'v3'] }])
    await next
    stage.catalog.close()
    const { listedAt, repositories } = stage.reopen()
    expect([listedAt, tagsOf(repositories)]).toEqual([6, { a: ['v2', 'v3'], b: ['v1'] }])
  })

  test('waits for nothing: the end, which finishes it and writes what came', async () => {
    await using stage = await openMiddle()
    stage.catalog.saveRecord(digest('new'), skipped('new'))
    stage.catalog.close()
    const { listedAt, repositories, records } = stage.reopen()
    expect([listedAt, tagsOf(repositories), records.size]).toEqual([5, { a: [...stage.tags] }, 3])
    await stage.saving
    expect(stage.log.lines).toEqual([])
  })
})

test('a listing of many tags lets others have their turn every few milliseconds', async () => {
  await using stage = await openFilledStage()
  const { catalog } = stage.open()
  const many = Array.from({ length: 40_000 }, (_, i) => [`app-${i}`, { v1: demo }] as const)
  let isSaved = false
  const changes = Object.fromEntries(many)
  const saving = catalog.saveListing(first(5, changes)).then(() => {
    isSaved = true
  })
  const startedAt = performance.now()
  let turns = 0
  for (; !isSaved; turns++) await turn()
  await saving
  expect(turns).toBeGreaterThan((performance.now() - startedAt) / (limits.maxSliceMs * 4))
  expect(stage.reopen().repositories.size).toBe(many.length)
  catalog.close()
})

/** Makes a row of a table impossible to write until it is undone. */
function refuse(path: string, table: string, when = 'true'): () => void {
  alter(path, `CREATE TRIGGER refuse BEFORE INSERT ON ${table} WHEN ${when} BEGIN SELECT RAISE(ABORT, 'refused'); END`)
  return () => alter(path, 'DROP TRIGGER refuse')
}

test('a disk that refuses in the middle of a listing: what was there stays, and all is written with the next one', async () => {
  await using stage = await openFilledStage()
  const before = stage.reopen()
  const { catalog } = stage.open()
  const allow = refuse(stage.path, 'tag', "NEW.tag = 'v3'")
  using _slices = stopAfterEachRow()
  catalog.saveRecord(digest('new'), chart('new'), entry('new'))
  const saving = catalog.saveListing(first(5, { a: { v1: digest('new'), v2: demo, v3: demo, v4: demo } }))
  await turn()
  catalog.saveRecord(digest('newer'), chart('newer'), entry('newer'))
  catalog.forget({ records: [digest('image')], entries: [] })
  await saving
  expect([stage.reopen(), stage.log.messages()]).toEqual([before, [NOT_WRITTEN]])
  expect(catalog.readEntries([digest('new'), digest('newer')], 'json').size).toBe(2)
  allow()
  await catalog.saveListing(later(6, { a: { v4: undefined }, b: { v1: demo } }))
  const { listedAt, repositories, records } = stage.reopen()
  expect([listedAt, tagsOf(repositories)]).toEqual([6, { a: ['v1', 'v2', 'v3'], b: ['v1'] }])
  expect([...records.keys()].sort()).toEqual([demo, digest('new'), digest('newer')].sort())
  expect(stage.log.messages()).toEqual([NOT_WRITTEN, WRITTEN_AGAIN])
  catalog.close()
})

test('any calls in any order, with faults of the disk in between, come to the same as one after the other', async () => {
  await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 30 }), run), { numRuns: 200 })
})

const contents = {
  1: chart('1', { manifest: digest('m') }),
  2: chart('2', { manifest: digest('m') }),
  3: chart('3', { manifest: digest('n') }),
  4: skipped('4'),
} as const
const texts = new Map(['demo', 'm', 'n'].map((each) => [digest(each), entry(each)]))

type Name = keyof typeof contents
type Step =
  | readonly ['save', name: Name]
  | readonly ['forget', name: Name]
  | readonly ['list', repository: string, tags: readonly (readonly [tag: string, name: Name | undefined])[]]
  | readonly ['list anew', repository: string, tag: string, name: Name]
  | readonly ['break', table: string]
  | readonly ['wait']
  | readonly ['mend']

const name = fc.constantFrom<Name[]>(1, 2, 3, 4)
const tag = fc.constantFrom('v1', 'v2', 'v3')
const repository = fc.constantFrom('a', 'b')
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(fc.constant('save' as const), name) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('forget' as const), name) },
  {
    weight: 4,
    arbitrary: fc.tuple(
      fc.constant('list' as const),
      repository,
      fc.array(fc.tuple(tag, fc.option(name, { nil: undefined })), { maxLength: 3 }),
    ),
  },
  { weight: 2, arbitrary: fc.tuple(fc.constant('list anew' as const), repository, tag, name) },
  { weight: 2, arbitrary: fc.constant(['wait'] as const) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('break' as const), fc.constantFrom('entry', 'tag', 'listing')) },
  fc.constant(['mend'] as const),
)

async function run(steps: readonly Step[]): Promise<void> {
  await using stage = await openFilledStage()
  const { catalog, stored } = stage.open()
  using _slices = stopAfterEachRow()
  const model = new Model(stored)
  const saving: Promise<void>[] = []
  let mend: (() => void) | undefined
  for (const step of [...steps, ['mend'] satisfies Step]) {
    if (step[0] === 'wait') await turn()
    else if (step[0] === 'mend' || step[0] === 'break') {
      await Promise.all(saving.splice(0))
      mend?.()
      mend = step[0] === 'break' ? refuse(stage.path, step[1]) : undefined
    } else if (step[0] === 'save') catalog.saveRecord(...model.save(step[1]))
    else if (step[0] === 'forget') catalog.forget(model.forget(digestOf(step[1])))
    else if (step[0] === 'list') saving.push(catalog.saveListing(model.list(step[1], step[2])))
    else saving.push(catalog.saveListing(model.listAnew(step[1], step[2], step[3])))
    for (const manifest of model.manifests) expect(catalog.readEntries([manifest], 'yaml').size).toBe(1)
  }
  await Promise.all(saving)
  catalog.close()
  const again = stage.open()
  expect(again.stored).toEqual(model.stored)
  expect([...again.catalog.readEntries([...texts.keys()], 'json').keys()].sort()).toEqual([...model.manifests].sort())
  again.catalog.close()
}

const digestOf = (of: Name) => digest(String(of))

type Stored = ReturnType<typeof CatalogFile.open>['stored']

/** What the calls come to, one after the other; it says what each is to be given. */
class Model {
  #listedAt: number
  readonly #records: Map<Digest, ManifestRecord>
  readonly #tags: Map<string, Map<string, Digest | null>>

  constructor({ listedAt, repositories, records }: Stored) {
    this.#listedAt = listedAt ?? 0
    this.#records = new Map(records)
    this.#tags = new Map([...repositories].map(([each, tags]) => [each, new Map(tags)]))
  }

  /** Those whose entries are needed. */
  get manifests(): ReadonlySet<Digest> {
    return new Set([...this.#records.values()].flatMap((each) => (each.kind === 'chart' ? [each.manifest] : [])))
  }

  get stored(): Stored {
    const repositories = new Map([...this.#tags].filter(([, tags]) => tags.size > 0))
    const digests = [...repositories.values()].flatMap((tags) => [...tags.values()])
    const isWhole = digests.every((each) => each === null || this.#records.has(each))
    const listing = isWhole
      ? { listedAt: this.#listedAt, repositories }
      : { listedAt: undefined, repositories: new Map() }
    return { ...listing, records: this.#records }
  }

  /** The entry comes with the first record that needs it, as it does from whoever looks into manifests. */
  save(of: Name): Parameters<CatalogFile['saveRecord']> {
    const record: ManifestRecord = contents[of]
    const text =
      record.kind === 'chart' && !this.manifests.has(record.manifest) ? texts.get(record.manifest) : undefined
    this.#records.set(digestOf(of), record)
    return [digestOf(of), record, text]
  }

  forget(each: Digest): Parameters<CatalogFile['forget']>[0] {
    const before = this.manifests
    this.#records.delete(each)
    return { records: [each], entries: before.difference(this.manifests) }
  }

  list(repository: string, rows: readonly (readonly [tag: string, of: Name | undefined])[]): SavedListing {
    const tags = this.#tags.get(repository) ?? new Map<string, Digest | null>()
    this.#tags.set(repository, tags)
    const changed = Object.fromEntries(rows.map(([tag, of]) => [tag, of && digestOf(of)]))
    for (const [tag, each] of Object.entries(changed)) {
      if (each === undefined) tags.delete(tag)
      else tags.set(tag, each)
    }
    return later(++this.#listedAt, { [repository]: changed })
  }

  listAnew(repository: string, tag: string, of: Name): SavedListing {
    this.#tags.clear()
    this.#tags.set(repository, new Map([[tag, digestOf(of)]]))
    return first(++this.#listedAt, { [repository]: { [tag]: digestOf(of) } })
  }
}
