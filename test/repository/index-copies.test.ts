/** What did not change is copied from the index before: the bytes are those of one that is made anew. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import type { IndexFormat } from '../../src/helm/index-entry.ts'
import type { PublishedIndex } from '../../src/repository/published-index.ts'
import { openIndexStage, readDocument } from './index-stage.ts'
import { manifestOf, type TagRow, type TagTable } from './listing-content.ts'

type Stage = ReturnType<typeof openIndexStage>

const FORMATS: readonly IndexFormat[] = ['yaml', 'json']

const etagsOf = (index: PublishedIndex) =>
  FORMATS.flatMap((format) => [undefined, 'gzip' as const, 'zstd' as const].map((c) => index.document(format, c).etag))

const chart = (name: string, ...versions: readonly string[]): readonly TagRow[] =>
  versions.map((version) => [`${name}-${version}`, name, version] as const)

/** The manifests whose entries are read while `work` goes on. */
async function watchReads(stage: Stage, work: () => Promise<unknown>): Promise<Set<string>> {
  const { store } = stage
  const { readEntries } = store
  const asked = new Set<string>()
  store.readEntries = (manifests, format) => {
    for (const manifest of manifests) asked.add(manifest)
    return readEntries.call(store, manifests, format)
  }
  await work()
  store.readEntries = readEntries
  return asked
}

describe('an index that is made after another', () => {
  test('has the bytes of one that is made anew, whatever changed', async () => {
    // Out of a few, so that most charts stay as they were while others come and go around them.
    const rows = ['a', 'a-1', 'b', 'c', 'ü', 'yes', '0x1F'].flatMap((name) => [
      [`${name}-1`, name, '1.0.0', `first of ${name}`] as const,
      [`${name}-2`, name, '2.0.0+b', 'z€'.repeat(name === 'c' ? 5000 : 5)] as const,
    ])
    const table = fc.subarray(rows).map((some): TagTable => ({ team: some }))
    const options = fc.constantFrom({}, { versionsEach: 1 }, { chartUrls: { registryHost: 'registry.example' } })
    await fc.assert(
      fc.asyncProperty(fc.array(table, { minLength: 2, maxLength: 6 }), options, async (tables, others) => {
        const stage = openIndexStage(others)
        for (const each of tables) {
          const [index, anew] = [await stage.make(each), await openIndexStage(others).make(each)]
          expect([index.key, ...etagsOf(index)]).toEqual([anew.key, ...etagsOf(anew)])
        }
      }),
      { numRuns: 60 },
    )
  })

  test('reads the entries of the charts that changed, and no others', async () => {
    const stage = openIndexStage()
    const others = { a: chart('a', '1.0.0', '1.1.0'), c: chart('c', '1.0.0'), d: chart('d', '3.0.0') }
    await stage.make({ ...others, b: chart('b', '1.0.0') })
    const asked = await watchReads(stage, () => stage.make({ ...others, b: chart('b', '1.0.0', '2.0.0') }))
    expect(asked).toEqual(new Set([manifestOf('b', '1.0.0'), manifestOf('b', '2.0.0')]))
    const gone = await watchReads(stage, () => stage.make({ a: others.a, d: others.d }))
    expect(gone).toEqual(new Set())
  })

  test('reads those of a chart again whose place in the registry changed, when that is its address', async () => {
    const stage = openIndexStage({ chartUrls: { registryHost: 'registry.example' } })
    await stage.make({ a: chart('a', '1.0.0'), b: chart('b', '1.0.0') })
    const asked = await watchReads(stage, () => stage.make({ a: chart('a', '1.0.0'), z: chart('b', '1.0.0') }))
    expect(asked).toEqual(new Set([manifestOf('b', '1.0.0')]))
  })

  test('is made anew when the one before is gone', async () => {
    const stage = openIndexStage()
    const table = { a: chart('a', '1.0.0'), b: chart('b', '1.0.0') }
    await stage.make(table)
    stage.documents.remove()
    const next = { ...table, c: chart('c', '1.0.0') }
    const index = await stage.make(next)
    expect(etagsOf(index)).toEqual(etagsOf(await openIndexStage().make(next)))
    expect(Object.keys(JSON.parse(await readDocument(index, 'json')).entries)).toEqual(['a', 'b', 'c'])
    // And is copied from by the one after it.
    const asked = await watchReads(stage, () => stage.make({ ...next, d: chart('d', '1.0.0') }))
    expect(asked).toEqual(new Set([manifestOf('d', '1.0.0')]))
  })

  test('misses no entry that is lost but stands in the one before', async () => {
    const stage = openIndexStage()
    const table = { a: chart('a', '1.0.0'), b: chart('b', '1.0.0') }
    await stage.make(table)
    stage.store.lose(manifestOf('a', '1.0.0'))
    expect((await stage.make({ ...table, c: chart('c', '1.0.0') })).versions).toBe(3)
  })
})

describe('an index that is made after a restart', () => {
  const table = { a: chart('a', '1.0.0', '1.1.0'), b: chart('b', '1.0.0'), c: chart('c', '1.0.0') }
  const next = { ...table, d: chart('d', '1.0.0') }

  /** The next run has found the index of the one before. */
  async function openNextRun(damage: (stage: Stage) => unknown = () => undefined) {
    const stage = openIndexStage()
    await stage.make(table)
    await damage(stage)
    const maker = stage.makeMaker()
    await maker.make(await stage.plan(table))
    let index: PublishedIndex | undefined
    const asked = await watchReads(stage, async () => {
      index = await maker.make(await stage.plan(next))
    })
    return { stage, maker, asked, etags: index && etagsOf(index) }
  }

  async function makeAnew() {
    const stage = openIndexStage()
    let index: PublishedIndex | undefined
    const asked = await watchReads(stage, async () => {
      index = await stage.make(next)
    })
    return { asked, etags: index && etagsOf(index) }
  }

  test('goes on with what the run before has left', async () => {
    const { stage, maker, asked, etags } = await openNextRun()
    expect(etags).toEqual((await makeAnew()).etags)
    expect(asked).toEqual(new Set([manifestOf('d', '1.0.0')]))
    const then = await watchReads(stage, async () => maker.make(await stage.plan(table)))
    expect(then).toEqual(new Set())
  })

  const flip = (bytes: Uint8Array<ArrayBuffer>) => bytes.with(bytes.length >> 1, (bytes[bytes.length >> 1] ?? 0) ^ 1)
  const cut = (bytes: Uint8Array<ArrayBuffer>) => bytes.slice(0, -1)
  const move = (bytes: Uint8Array<ArrayBuffer>) =>
    new Uint8Array(
      Buffer.from(
        Buffer.from(bytes)
          .toString()
          .replace(/\d(?=\])/, (digit) => String(9 - Number(digit))),
      ),
    )
  const empty = (text: string) => () => new Uint8Array(Buffer.from(text))
  const damages: readonly (readonly [string, string, (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>])[] = [
    ['index.yaml', 'with another bit', flip],
    ['index.json', 'with another bit', flip],
    ['index.yaml', 'without its last byte', cut],
    ['index.json', 'without its last byte', cut],
    ['places.json', 'without its last byte', cut],
    ['places.json', 'with another number', move],
    ['places.json', 'of nothing', empty('')],
    ['places.json', 'of no places', empty('{}')],
    ['places.json', 'of another kind', empty('{"yaml":{"x":[1]}}')],
    ['places.json', 'of places that are none', empty('{"yaml":{"x":[-1,2]},"json":{"x":[2,1]}}')],
  ]
  test.each(damages)('is made of its entries when it finds %s %s', async (name, _how, change) => {
    const { asked, etags } = await openNextRun(({ documents }) => documents.damage(name, change))
    expect({ asked, etags }).toEqual(await makeAnew())
  })
})
