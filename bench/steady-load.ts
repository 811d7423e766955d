/** Starts the program of open-loop-client.ts. */
import { join } from 'node:path'
import { runOrThrow } from '../test/stand/child.ts'

export interface LoadOptions {
  readonly url: string
  readonly perSecond: number
  readonly seconds: number
  readonly encoding?: string
}

/** Milliseconds from the moment a request was due to the last byte of its answer. */
export interface Latencies {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

/** @throws when any request failed. */
export async function runSteadyLoad({ url, perSecond, seconds, encoding }: LoadOptions): Promise<Latencies> {
  const program = join(import.meta.dir, 'open-loop-client.ts')
  const rest = encoding === undefined ? [] : [encoding]
  const { stdout } = await runOrThrow([process.execPath, program, url, String(perSecond), String(seconds), ...rest])
  const { failures, ...latencies } = JSON.parse(stdout) as Latencies & { failures: number }
  if (failures > 0) throw new Error(`${failures} requests for ${url} failed`)
  return latencies
}
