/** One blob of a gigabyte, pushed in a stream and pulled: the embedded registry beside docker-registry. */
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { runOrThrow } from '../test/stand/child.ts'
import { isPresent } from '../test/stand/programs.ts'
import { openTempDir } from '../test/stand/temp-dir.ts'
import type { StandaloneBench } from './bench.ts'
import { openRegistryPair } from './registry-pair.ts'
import { compare, type Must, type Row, unmeasured } from './table.ts'
import { runWrk } from './wrk.ts'

const MiB = 1024 * 1024
const BLOB_BYTES = 1024 * MiB
const FIGURES = ['push of a blob of 1 GiB, streamed', 'pull of the same'] as const
const MUST: Must = { of: 'ratio', atMost: 1 }

export async function measureRegistryLargeBlob({ executable, runs }: StandaloneBench): Promise<readonly Row[]> {
  const missing = ['docker-registry', 'wrk'].find((program) => !isPresent(program))
  if (missing !== undefined) {
    return FIGURES.map((figure) => unmeasured(1, figure, `skipped: ${missing} is not installed`, MUST))
  }
  await using temp = await openTempDir()
  const file = join(temp.path, 'blob')
  const digest = await writeLargeFile(file)
  const ours = { push: [] as number[], pull: [] as number[], peakMiB: [] as number[] }
  const theirs = { push: [] as number[], pull: [] as number[] }
  for (let run = 0; run < runs; run++) {
    await using pair = await openRegistryPair(executable)
    const { product, counterpartUrl } = pair
    theirs.push.push(await runClient('push', counterpartUrl, digest, file))
    ours.push.push(await runClient('push', product.url, digest, file))
    for (const origin of [counterpartUrl, product.url]) await runClient('check', origin, digest)
    theirs.pull.push(await timePull(counterpartUrl, digest))
    ours.pull.push(await timePull(product.url, digest))
    ours.peakMiB.push(product.peakMiB())
  }
  const [pushFigure, pullFigure] = FIGURES
  const common = { versions: 1, unit: 'ms', peakMiB: ours.peakMiB, must: MUST }
  const counterpart = (values: readonly number[]) => ({ name: 'docker-registry', values })
  return [
    compare({ ...common, figure: pushFigure, product: ours.push, counterpart: counterpart(theirs.push) }),
    compare({ ...common, figure: pullFigure, product: ours.pull, counterpart: counterpart(theirs.pull) }),
  ]
}

/** Its digest. */
async function writeLargeFile(path: string): Promise<string> {
  const block = Buffer.alloc(MiB, crypto.getRandomValues(Buffer.alloc(MiB / 16)))
  const hasher = new Bun.CryptoHasher('sha256')
  await using file = await open(path, 'w')
  for (let written = 0; written < BLOB_BYTES; written += MiB) {
    block.writeUInt32LE(written)
    hasher.update(block)
    await file.writeFile(block)
  }
  await file.sync()
  return `sha256:${hasher.digest('hex')}`
}

/** Milliseconds, by a client that costs little: what it adds is added to both. */
async function timePull(origin: string, digest: string): Promise<number> {
  const { medianMs } = await runWrk({ url: `${origin}/v2/charts/large/blobs/${digest}`, connections: 1, seconds: 3 })
  return medianMs
}

/** Starts the program of blob-client.ts; milliseconds of a push. */
async function runClient(...args: readonly ['push' | 'check', ...string[]]): Promise<number> {
  const { stdout } = await runOrThrow([process.execPath, join(import.meta.dir, 'blob-client.ts'), ...args])
  return Number(stdout)
}
