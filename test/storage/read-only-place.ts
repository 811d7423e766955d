/**
 * A catalog and documents in a process of its own that may write nowhere, as with a volume that is mounted read-only.
 * Prints what became of them as JSON. Arguments: the file of the catalog, the directory of documents.
 */
import { CatalogFile } from '../../src/storage/catalog-file.ts'
import { DocumentFiles } from '../../src/storage/document-files.ts'
import { FakeClock } from '../lib/fake-clock.ts'
import { captureLog } from '../telemetry/captured-log.ts'
import { chart, digest, entry, later } from './catalog-content.ts'
import { describeContents, keyOf, largeSet, readSet, sources } from './document-content.ts'

const NOBODY = 65_534
// Rights do not stop root. Everything is loaded by now, so that nobody needs to read the sources.
if (process.getuid?.() === 0) {
  process.setegid?.(NOBODY)
  process.seteuid?.(NOBODY)
}
const [path = '', dir = ''] = process.argv.slice(2)
const log = captureLog()

const { catalog, stored } = CatalogFile.open(path, log)
const found = { listedAt: stored.listedAt, repositories: stored.repositories.size, records: stored.records.size }
const atFirst = [...catalog.readEntries([digest('demo')], 'yaml').values()]
for (let i = 0; i < 100; i++) {
  catalog.saveRecord(digest(`new ${i}`), chart(`new ${i}`), entry(`new ${i}`))
  await catalog.saveListing(later(5, { 'team/demo': { [`v${i}`]: digest(`new ${i}`) } }))
}
const texts = catalog.readEntries([digest('demo'), digest('new 0'), digest('new 99')], 'json')
catalog.close()

const files = new DocumentFiles({ dir, clock: new FakeClock({ now: Date.now() }), log })
const documents: boolean[] = []
for (const seed of ['kept', 'new', 'newer']) {
  const set = (await files.find(keyOf(seed))) ?? (await files.write(keyOf(seed), sources(largeSet(seed))))
  await files.retain(keyOf(seed))
  documents.push(Bun.deepEquals(await readSet(set), describeContents(largeSet(seed))))
}
console.log(JSON.stringify({ found, atFirst, texts: texts.size, documents, log: log.messages('warn') }))
