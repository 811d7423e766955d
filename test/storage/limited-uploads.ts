/**
 * Uploads in a process of its own that may write no file larger than its limit, as on a disk that fills up in the middle
 * of one. Prints what became of them as JSON. Arguments: the directory of uploads.
 */
import { readdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { errorCode } from '../../src/lib/error-code.ts'
import { UploadFiles } from '../../src/storage/upload-files.ts'
import { FakeClock } from '../lib/fake-clock.ts'
import { fillBlob, streamOf } from './blob-content.ts'

const dir = process.argv[2] ?? ''
const uploads = new UploadFiles(dir, new FakeClock())
const PIECE = 256 * 1024
const large = fillBlob(8 * PIECE, 'l')
const small = fillBlob(1000, 's')
const pieces = Array.from({ length: 8 }, (_, i) => large.bytes.subarray(i * PIECE, (i + 1) * PIECE))
const chunk = (...bytes: readonly Uint8Array[]) => ({ body: streamOf(...bytes), start: undefined, length: undefined })
const code = (work: Promise<unknown>) => work.then(() => 'done', errorCode)

const { id } = await uploads.begin('demo', 'sha256')
const { id: other } = await uploads.begin('demo', 'sha256')
const { id: third } = await uploads.begin('demo', 'sha256')
const keep = (path: string) => rename(path, join(dir, 'small'))
const failed = [
  await code(uploads.append('demo', id, chunk(...pieces))),
  await code(uploads.finish('demo', other, { ...chunk(large.bytes), digest: large.digest }, keep)),
]
const afterwards = [
  await code(uploads.append('demo', id, chunk(small.bytes))),
  await code(uploads.finish('demo', other, { ...chunk(small.bytes), digest: small.digest }, keep)),
]
await uploads.finish('demo', third, { ...chunk(small.bytes), digest: small.digest }, keep)
console.log(JSON.stringify({ large: failed, afterwards, names: await readdir(dir) }))
