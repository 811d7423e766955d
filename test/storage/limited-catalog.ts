/**
 * A catalog in a process of its own that may write no file larger than its limit until it lifts that itself, as on a
 * disk that fills up and is tidied later. Prints what became of it as JSON. Arguments: the file of the catalog.
 */
import { CatalogFile } from '../../src/storage/catalog-file.ts'
import { captureLog } from '../telemetry/captured-log.ts'
import { chart, digest, later } from './catalog-content.ts'

const log = captureLog()
const { catalog } = CatalogFile.open(process.argv[2] ?? '', log)
const names = Array.from({ length: 2_000 }, (_, i) => `new-${i}`)
const all = ['demo', ...names].map(digest)
const count = () => catalog.readEntries(all, 'json').size

const atFirst = count()
for (const name of names) {
  catalog.saveRecord(digest(name), chart(name), {
    yaml: `- name: ${name} ${'x'.repeat(1_000)}\n`,
    json: `{"name":"${name}"`,
  })
}
await catalog.saveListing(later(5, { new: Object.fromEntries(names.map((name) => [name, digest(name)])) }))
// More than SQLite holds in memory: it is refused in the middle of it.
const many = Object.fromEntries(Array.from({ length: 40_000 }, (_, i) => [`v${i}`, digest('demo')]))
await catalog.saveListing(later(6, { many }))
const whileFull = count()
const { exitCode } = Bun.spawnSync(['prlimit', `--pid=${process.pid}`, '--fsize=unlimited'])
if (exitCode !== 0) throw new Error(`prlimit exited with ${exitCode}`)
await catalog.saveListing(later(7))
const whenRoom = count()
catalog.close()
const lines = log.lines.map(({ level, message }) => [level, message])
console.log(JSON.stringify({ atFirst, whileFull, whenRoom, log: lines }))
