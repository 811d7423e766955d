/**
 * A cache in a process of its own that may write no file larger than its limit, as on a disk that fills up in the
 * middle of a blob. Prints what became of it as JSON. Arguments: the directory of the cache.
 */
import { BlobCache } from '../../src/storage/blob-cache.ts'
import { FakeClock } from '../lib/fake-clock.ts'
import { captureLog } from '../telemetry/captured-log.ts'
import { fillBlob, makeBlob, openSource } from './blob-content.ts'

const log = captureLog()
const clock = new FakeClock({ now: Date.now() })
const cache = await BlobCache.open({ dir: process.argv[2] ?? '', maxBytes: 10 ** 9, clock, log })
const results = []
for (const blob of [fillBlob(4 * 1024 * 1024, 'x'), makeBlob('small')]) {
  const source = openSource(blob.bytes)
  const [first, second] = [await cache.open(blob, source.fetch), await cache.open(blob, source.fetch)]
  const isRight = [first, second].map(
    async (each) => each !== undefined && Buffer.compare(await each.bytes(), blob.bytes) === 0,
  )
  results.push({ isRight: await Promise.all(isRight), fetches: source.calls })
}
console.log(
  JSON.stringify({ results, log: log.lines.map(({ level, message, fields }) => [level, message, fields['code']]) }),
)
