/** The index in all its forms: the same content in each, named by it, and made once. */
import { describe, expect, mock, test } from 'bun:test'
import { parse } from 'yaml'
import * as indexDocument from '../../src/helm/index-document.ts'
import * as indexEntry from '../../src/helm/index-entry.ts'
import { limits } from '../../src/limits.ts'
import { digestBytes, digestHex } from '../../src/oci/digest.ts'
import { defer, settle } from '../lib/fake-clock.ts'
import { rejection } from '../upstream/fake-send.ts'
import { openIndexStage, readDocument, readVersions } from './index-stage.ts'
import type { TagTable } from './listing-content.ts'

const table: TagTable = {
  'team/demo': [
    ['1.0.0', 'demo', '1.0.0'],
    ['1.1.0_b', 'demo', '1.1.0+b'],
    ['2.0.0', 'demo', '2.0.0', 'two: "quoted", yes'],
    ['0.9.0', 'demo', '0.9.0'],
  ],
  other: [
    ['latest', 'other', '0.1.0'],
    ['0.2.0', 'other', '0.2.0'],
  ],
}
const FORMS = (['yaml', 'json'] as const).flatMap((format) =>
  [undefined, 'gzip' as const, 'zstd' as const].map((coding) => ({ format, coding })),
)

describe('IndexMaker.make', () => {
  test('makes documents of one content in every form', async () => {
    const index = await openIndexStage().make(table)
    const contents = FORMS.map(async ({ format, coding }) => {
      const text = await readDocument(index, format, coding)
      return format === 'json' ? JSON.parse(text) : parse(text)
    })
    const [first, ...others] = await Promise.all(contents)
    expect(Object.keys(first.entries)).toEqual(['demo', 'other'])
    const created = [...first.entries.demo, ...first.entries.other].map((entry) => entry.created)
    expect([first.generated, new Set(created).size]).toEqual([created.toSorted().at(-1), 6])
    for (const other of others) expect(other).toEqual(first)
    expect([index.charts, index.versions]).toEqual([2, 6])
  })

  test('names each document by the SHA-256 of its bytes, and its size', async () => {
    const index = await openIndexStage().make(table)
    const etags = new Set<string>()
    for (const { format, coding } of FORMS) {
      const document = index.document(format, coding)
      const bytes = await (await document.open()).bytes()
      const etag = `"${digestHex(digestBytes(bytes))}"`
      expect(document).toMatchObject({ etag, size: bytes.byteLength, coding })
      etags.add(document.etag)
    }
    expect(etags.size).toBe(FORMS.length)
  })

  test('makes the same bytes under the same key, in whatever order things were found', async () => {
    const backwards = Object.entries(table)
      .reverse()
      .map(([name, rows]) => [name, rows.toReversed()] as const)
    const [one, other] = [
      await openIndexStage().make(table),
      await openIndexStage().make(Object.fromEntries(backwards)),
    ]
    expect(other.key).toBe(one.key)
    for (const { format, coding } of FORMS) {
      expect(other.document(format, coding).etag).toBe(one.document(format, coding).etag)
    }
  })

  test('has another key for other charts, other forms and other addresses', async () => {
    const { plan, makeMaker } = openIndexStage()
    const charts = await plan(table)
    const makers = [
      makeMaker(),
      makeMaker({ formats: ['yaml'] }),
      makeMaker({ formats: ['json'] }),
      makeMaker({ versionsEach: 1 }),
      makeMaker({ versionsEach: 2 }),
      makeMaker({ chartUrls: { prefix: 'https://charts.example/' } }),
      makeMaker({ chartUrls: { registryHost: 'registry.example' } }),
    ]
    const keys = new Set<string>()
    for (const maker of makers) keys.add((await maker.make(charts)).key)
    keys.add((await makeMaker().make(await plan({ other: table['other'] ?? [] }))).key)
    keys.add((await makeMaker().make([])).key)
    expect(keys.size).toBe(makers.length + 2)
  })

  test('has another key when what makes its bytes is another one', async () => {
    const { plan, makeMaker } = openIndexStage()
    const charts = await plan(table)
    const keyNow = async () => (await makeMaker().make(charts)).key
    const key = await keyNow()
    const { documentPageBytes } = limits
    Object.assign(limits, { documentPageBytes: 4096 })
    const paged = await keyNow()
    Object.assign(limits, { documentPageBytes })
    const [entry, document] = [{ ...indexEntry }, { ...indexDocument }]
    await mock.module('../../src/helm/index-entry.ts', () => ({ ...entry, ENTRY_VERSION: entry.ENTRY_VERSION + 1 }))
    const ofEntries = await keyNow()
    await mock.module('../../src/helm/index-entry.ts', () => entry)
    const RENDERER_VERSION = document.RENDERER_VERSION + 100
    await mock.module('../../src/helm/index-document.ts', () => ({ ...document, RENDERER_VERSION }))
    const ofDocuments = await keyNow()
    await mock.module('../../src/helm/index-document.ts', () => document)
    expect([new Set([key, paged, ofEntries, ofDocuments]).size, await keyNow()]).toEqual([4, key])
  })

  test('has another key for addresses in the registry when the same chart has another place or tag', async () => {
    const { make } = openIndexStage({ chartUrls: { registryHost: 'registry.example' } })
    const indexes = [
      await make({ a: [['1.0.0', 'demo', '1.0.0']] }),
      await make({ b: [['1.0.0', 'demo', '1.0.0']] }),
      await make({ a: [['latest', 'demo', '1.0.0']] }),
    ]
    expect(new Set(indexes.map(({ key }) => key)).size).toBe(3)
    const here = openIndexStage()
    const keys = [
      await here.make({ a: [['1.0.0', 'demo', '1.0.0']] }),
      await here.make({ b: [['x', 'demo', '1.0.0']] }),
    ]
    expect(new Set(keys.map(({ key }) => key)).size).toBe(1)
  })

  test('makes an empty index of nothing', async () => {
    const index = await openIndexStage().make({})
    expect([index.charts, index.versions, await readVersions(index)]).toEqual([0, 0, {}])
    expect(parse(await readDocument(index, 'yaml')).entries).toEqual({})
  })

  test('takes the newest versions of each chart when it is told how many', async () => {
    const newest = await openIndexStage({ versionsEach: 2 }).make(table)
    expect(await readVersions(newest)).toEqual({
      demo: ['2.0.0 charts/demo-2.0.0.tgz', '1.1.0+b charts/demo-1.1.0+b.tgz'],
      other: ['0.2.0 charts/other-0.2.0.tgz', '0.1.0 charts/other-0.1.0.tgz'],
    })
    expect([newest.charts, newest.versions]).toEqual([2, 4])
    expect((await openIndexStage({ versionsEach: 3 }).make(table)).versions).toBe(5)
  })

  test('puts a prefix in front of every address', async () => {
    const index = await openIndexStage({ chartUrls: { prefix: 'https://cdn.example/x/' } }).make(table)
    expect((await readVersions(index))['demo']?.slice(0, 2)).toEqual([
      '2.0.0 https://cdn.example/x/charts/demo-2.0.0.tgz',
      '1.1.0+b https://cdn.example/x/charts/demo-1.1.0+b.tgz',
    ])
  })

  test('gives the addresses of the registry by the version where the tag is the version, else by the tag', async () => {
    const index = await openIndexStage({ chartUrls: { registryHost: 'registry.example:5000' } }).make(table)
    expect(await readVersions(index)).toEqual({
      demo: [
        '2.0.0 oci://registry.example:5000/team/demo:2.0.0',
        '1.1.0+b oci://registry.example:5000/team/demo:1.1.0+b',
        '1.0.0 oci://registry.example:5000/team/demo:1.0.0',
        '0.9.0 oci://registry.example:5000/team/demo:0.9.0',
      ],
      other: ['0.2.0 oci://registry.example:5000/other:0.2.0', '0.1.0 oci://registry.example:5000/other:latest'],
    })
  })

  test('has no form that was not asked for', async () => {
    const index = await openIndexStage({ formats: ['yaml'] }).make(table)
    expect(() => index.document('json')).toThrow(TypeError)
    expect(() => index.document('json', 'gzip')).toThrow(TypeError)
    expect(await readDocument(index, 'yaml', 'zstd')).toBe(await readDocument(index, 'yaml'))
  })

  test('ends with its signal, and keeps nothing', async () => {
    const { plan, maker, documents } = openIndexStage()
    const charts = await plan(table)
    const controller = new AbortController()
    documents.delay = async () => controller.abort(new Error('enough'))
    expect(await rejection(maker.make(charts, controller.signal))).toMatchObject({ message: 'enough' })
    expect(documents.written).toEqual([])
    documents.delay = undefined
    expect((await maker.make(charts)).versions).toBe(6)
  })
})

describe('an index that was made before', () => {
  test('is found again by the next start without reading one entry', async () => {
    const { store, documents, makeMaker, make, plan } = openIndexStage()
    const first = await make(table)
    const { reads } = store
    const again = await makeMaker().make(await plan(table))
    expect([store.reads, documents.written]).toEqual([reads, [first.key]])
    expect(reads).toBeGreaterThan(0)
    expect(again.document('json', 'zstd').etag).toBe(first.document('json', 'zstd').etag)
    expect([again.charts, again.versions, await readVersions(again)]).toEqual([2, 6, await readVersions(first)])
  })

  test('is made again when its documents were removed, once however many ask', async () => {
    const { make, documents } = openIndexStage()
    const index = await make(table)
    const before = await readDocument(index, 'yaml')
    documents.remove()
    const gate = defer()
    documents.delay = () => gate.promise
    const readings = Promise.all(
      Array.from({ length: 100 }, (_, i) => readDocument(index, i % 2 === 0 ? 'yaml' : 'json', 'gzip')),
    )
    await settle()
    gate.resolve()
    const texts = await readings
    expect(new Set(texts.filter((_, i) => i % 2 === 0))).toEqual(new Set([before]))
    expect(documents.written).toEqual([index.key, index.key])
  })

  test('is made again once, also for those who ask later', async () => {
    const { make, documents } = openIndexStage()
    const index = await make(table)
    documents.remove()
    for (let i = 0; i < 3; i++) await readDocument(index, 'yaml')
    expect(documents.written).toEqual([index.key, index.key])
  })

  test('cannot be served when its documents are gone and cannot be kept', async () => {
    const { make, documents } = openIndexStage()
    const index = await make(table)
    documents.remove()
    documents.write = async () => new Map()
    expect(await rejection(index.document('yaml').open())).toMatchObject({ code: 'STORAGE_FULL' })
  })
})

test('an index of many pages has the same content in every form, also where one entry is longer than a page', async () => {
  const { documentPageBytes } = limits
  const rows = Array.from({ length: 7 }, (_, i) => {
    const units = i === 3 ? documentPageBytes / 2 : documentPageBytes / 8
    return [`1.0.${i}`, 'demo', `1.0.${i}`, `${i} ${'ü€😀'.repeat(units / 4)}`] as const
  })
  const index = await openIndexStage().make({ a: rows })
  expect(index.document('json').size).toBeGreaterThan(documentPageBytes * 2)
  const [yaml, json] = [await readDocument(index, 'yaml'), await readDocument(index, 'json')]
  for (const document of [JSON.parse(json), parse(yaml)]) {
    const texts = document.entries.demo.map(({ description }: { readonly description: string }) => description)
    // Not by `toEqual`, which would take its time to show megabytes.
    expect(
      Bun.deepEquals(
        texts.toReversed(),
        rows.map(([, , , text]) => text),
      ),
    ).toBe(true)
  }
  for (const coding of ['gzip', 'zstd'] as const) {
    expect((await readDocument(index, 'yaml', coding)) === yaml).toBe(true)
    expect((await readDocument(index, 'json', coding)) === json).toBe(true)
  }
})

test('an index of many versions is read in pages, and reads each entry once per format', async () => {
  const { make, store } = openIndexStage()
  const rows = Array.from({ length: 500 }, (_, i) => [`1.0.${i}`, 'demo', `1.0.${i}`] as const)
  const asked: number[] = []
  const readEntries = store.readEntries.bind(store)
  store.readEntries = (manifests, format) => {
    asked.push(manifests.length)
    return readEntries(manifests, format)
  }
  const index = await make({ a: rows })
  expect([index.versions, asked.reduce((sum, count) => sum + count)]).toEqual([500, 1000])
  expect(Math.max(...asked)).toBeLessThanOrEqual(64)
})
