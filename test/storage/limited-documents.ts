/**
 * Documents in a process of its own that may write no file larger than its limit until it lifts that itself, as on a
 * disk that fills up and is tidied later. Prints what became of it as JSON. Arguments: the directory of the sets.
 */
import { readdir } from 'node:fs/promises'
import { DocumentFiles } from '../../src/storage/document-files.ts'
import { FakeClock } from '../lib/fake-clock.ts'
import { captureLog } from '../telemetry/captured-log.ts'
import { describeContents, keyOf, largeSet, readSet, sources } from './document-content.ts'

const dir = process.argv[2] ?? ''
const log = captureLog()
const clock = new FakeClock({ now: Date.now() })
const files = new DocumentFiles({ dir, clock, log })

async function write(seed: string) {
  const set = await files.write(keyOf(seed), sources(largeSet(seed)))
  await files.retain(keyOf(seed))
  const isRight = Bun.deepEquals(await readSet(set), describeContents(largeSet(seed)))
  return { isRight, names: await readdir(dir) }
}

const whileFull = [await write('0'), await write('1')]
const { exitCode } = Bun.spawnSync(['prlimit', `--pid=${process.pid}`, '--fsize=unlimited'])
if (exitCode !== 0) throw new Error(`prlimit exited with ${exitCode}`)
const whenRoom = await write('2')
const lines = log.lines.map(({ level, message, fields }) => [level, message, fields['code']])
console.log(JSON.stringify({ whileFull, whenRoom, log: lines }))
