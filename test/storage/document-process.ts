/**
 * One of several servers that keep documents in one directory, in a process of its own.
 *
 * write <dir> <key> <rounds>: writes the set; prints what is wrong with it and the log as JSON.
 * crash <dir> <key>: is killed while it writes the set.
 */
import { DocumentFiles } from '../../src/storage/document-files.ts'
import { FakeClock } from '../lib/fake-clock.ts'
import { captureLog } from '../telemetry/captured-log.ts'
import { describeContents, fill, inPages, LARGE, largeSet, readSet, sources } from './document-content.ts'

const [what, dir = '', key = '', rounds] = process.argv.slice(2)
const log = captureLog()
const files = new DocumentFiles({ dir, clock: new FakeClock({ now: Date.now() }), log })

if (what === 'crash') {
  await files.write(
    key,
    new Map([
      ...sources({ 'index.yaml': fill(LARGE, 'x') }),
      [
        'index.json',
        async function* () {
          yield* inPages(fill(LARGE, 'y'))
          process.kill(process.pid, 'SIGKILL')
        },
      ],
    ]),
  )
} else {
  const wanted = describeContents(largeSet())
  const wrong: unknown[] = []
  for (let round = 0; round < Number(rounds); round++) {
    const read = await readSet(await files.write(key, sources(largeSet())))
    if (!Bun.deepEquals(read, wanted)) wrong.push([round, read])
  }
  console.log(JSON.stringify({ wrong, log: log.messages() }))
}
