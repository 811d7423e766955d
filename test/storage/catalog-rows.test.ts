/** Rows of the catalog: whatever a record is, it is read back as it was. */
import { expect, test } from 'bun:test'
import fc from 'fast-check'
import type { ManifestRecord } from '../../src/helm/chart-record.ts'
import { type Digest, digestBytes } from '../../src/oci/digest.ts'
import { readCatalog, toRow } from '../../src/storage/catalog-rows.ts'
import { openMemoryDatabase } from '../../src/storage/catalog-schema.ts'
import { awkwardText } from '../helm/awkward-text.ts'
import { digest, skipped } from './catalog-content.ts'

const SAVE =
  'INSERT INTO record VALUES ($digest, $skip_reason, $name, $version, $created, $chart_digest, $chart_size, $provenance_digest, $provenance_size, $manifest)'

function readBack(records: readonly (readonly [Digest, ManifestRecord])[]) {
  using db = openMemoryDatabase()
  const save = db.query(SAVE)
  db.transaction(() => {
    for (const [key, record] of records) save.run(toRow(key, record))
  })()
  return readCatalog(db)
}

const layer = fc.record({
  digest: fc.constantFrom(digest('a'), digestBytes(Buffer.from('b'), 'sha512')),
  size: fc.maxSafeNat(),
})
const text = awkwardText().map((each) => each.toWellFormed())
const chart = fc.record({
  kind: fc.constant('chart' as const),
  name: text,
  version: fc.constantFrom('1.2.3', 'v1', '0.1', '1.0.0-rc.1+b'),
  created: fc.option(text, { nil: undefined }),
  chart: layer,
  provenance: fc.option(layer, { nil: undefined }),
  manifest: fc.constantFrom(digest('key'), digest('child'), digestBytes(Buffer.from('child'), 'sha512')),
})

test('readCatalog gives any record that toRow was given', () => {
  fc.assert(
    fc.property(fc.oneof(chart, text.map(skipped)), (record) => {
      expect(readBack([[digest('key'), record]]).records).toEqual(new Map([[digest('key'), record]]))
    }),
    { numRuns: 200 },
  )
})

test('readCatalog reads every row, however many', () => {
  for (const count of [0, 1, 12_000]) {
    const records = Array.from({ length: count }, (_, i) => [digest(String(i)), skipped(String(i))] as const)
    expect(readBack(records).records).toEqual(new Map(records))
  }
})

test('readCatalog has no listing when one of its tags means nothing, and keeps the records', () => {
  using db = openMemoryDatabase()
  db.query(SAVE).run(toRow(digest('known'), skipped('known')))
  db.run('INSERT INTO listing VALUES (1, 7)')
  db.run('INSERT INTO tag VALUES (?, ?, ?)', ['team/app', '1.0.0', digest('known')])
  expect(readCatalog(db)).toMatchObject({ listedAt: 7, repositories: { size: 1 } })
  db.run('INSERT INTO tag VALUES (?, ?, ?)', ['team/app', '2.0.0', digest('lost')])
  expect(readCatalog(db)).toMatchObject({ listedAt: undefined, repositories: { size: 0 }, records: { size: 1 } })
})

test('readCatalog takes tags without a listing for none', () => {
  using db = openMemoryDatabase()
  db.run("INSERT INTO tag VALUES ('team/app', 'x.sig', NULL)")
  expect(readCatalog(db)).toMatchObject({ listedAt: undefined, repositories: { size: 0 } })
})

const rows: readonly (readonly [string, string])[] = [
  ['whose digest is none', `INSERT INTO record (digest, skip_reason) VALUES ('md5:x', 'x')`],
  ['with half a chart', `INSERT INTO record (digest, name) VALUES ('${digest('half')}', 'half a chart')`],
  [
    'whose version is none',
    `INSERT INTO record (digest, name, version, chart_digest, chart_size) VALUES ('${digest('a')}', 'a', 'one', '${digest('b')}', 1)`,
  ],
  [
    'whose manifest is no digest',
    `INSERT INTO record (digest, name, version, chart_digest, chart_size, manifest) VALUES ('${digest('a')}', 'a', '1.0.0', '${digest('b')}', 1, 'x')`,
  ],
]
test.each(rows)('readCatalog passes a row over %s', (_what, sql) => {
  using db = openMemoryDatabase()
  db.run(sql)
  expect(readCatalog(db).records.size).toBe(0)
})

test('readCatalog passes a tag over whose digest is none', () => {
  using db = openMemoryDatabase()
  db.run('INSERT INTO listing VALUES (1, 7)')
  db.run(`INSERT INTO tag VALUES ('team/app', 'odd', 'no digest'), ('team/app', 'x.sig', NULL)`)
  expect(readCatalog(db)).toMatchObject({
    listedAt: 7,
    repositories: new Map([['team/app', new Map([['x.sig', null]])]]),
  })
})
