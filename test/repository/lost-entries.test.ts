/** What the store has lost is named, all of it at once, and nothing is served without it. */
import { describe, expect, test } from 'bun:test'
import { LostEntries } from '../../src/repository/index-maker.ts'
import { rejection } from '../upstream/fake-send.ts'
import { openIndexStage } from './index-stage.ts'
import { manifestOf, type TagTable } from './listing-content.ts'

const versions = (count: number, name: string): TagTable => ({
  [name]: Array.from({ length: count }, (_, i) => [`1.0.${i}`, name, `1.0.${i}`] as const),
})

describe('LostEntries', () => {
  test('names every manifest that is lost, wherever in the index it stands', async () => {
    const { plan, maker, store, documents } = openIndexStage()
    const charts = await plan({ ...versions(200, 'a'), ...versions(3, 'b'), ...versions(70, 'c') })
    const lost = [
      manifestOf('a', '1.0.199'),
      manifestOf('a', '1.0.0'),
      manifestOf('b', '1.0.1'),
      manifestOf('c', '1.0.7'),
    ]
    store.lose(...lost)
    const error = await rejection(maker.make(charts))
    if (!(error instanceof LostEntries)) throw error
    expect(error.message).toBe('The catalog file has lost 4 index entries')
    expect(error.manifests.toSorted()).toEqual(lost.toSorted())
    expect(documents.written).toEqual([])
  })

  test('are no matter to an index that has none of them', async () => {
    const { plan, makeMaker, store } = openIndexStage()
    const charts = await plan(versions(10, 'a'))
    store.lose(manifestOf('a', '1.0.0'))
    expect(await makeMaker({ versionsEach: 9 }).make(charts)).toMatchObject({ versions: 9 })
    expect(await rejection(makeMaker({ versionsEach: 10 }).make(charts))).toBeInstanceOf(LostEntries)
  })

  test('are no matter while the documents are there', async () => {
    const { plan, maker, makeMaker, store } = openIndexStage()
    const charts = await plan(versions(3, 'a'))
    const { key } = await maker.make(charts)
    store.lose(manifestOf('a', '1.0.0'))
    expect(await makeMaker().make(charts)).toMatchObject({ key, versions: 3 })
  })

  test('are none where two tags of different repositories mean one manifest', async () => {
    const { content, maker } = openIndexStage()
    content.list({ a: [['1.0.0', 'demo', '1.0.0']] })
    const record = content.records.get(manifestOf('demo', '1.0.0'))
    if (record?.kind !== 'chart') throw new TypeError('There is no such chart')
    const file = { fileName: 'demo-1.0.0.tgz', repository: 'a', tag: '1.0.0', record }
    const index = await maker.make([{ name: 'demo', versions: [file, { ...file, repository: 'b' }] }])
    expect(index.versions).toBe(2)
  })
})
