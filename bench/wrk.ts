/** wrk with one thread, which leaves the second core to the server. */
import { join } from 'node:path'
import { runOrThrow } from '../test/stand/child.ts'
import { need } from '../test/stand/programs.ts'
import { openTempDir } from '../test/stand/temp-dir.ts'

export interface WrkOptions {
  readonly url: string
  /** Asked for in turns, in place of the path of `url`. */
  readonly paths?: readonly string[]
  readonly headers?: Readonly<Record<string, string>>
  readonly connections?: number
  readonly seconds?: number
}

export interface WrkAnswers {
  /** In a second. */
  readonly rate: number
  /** From a request to the last byte of its answer, in milliseconds. */
  readonly medianMs: number
}

/** @throws when any of the answers was an error. */
export async function runWrk(options: WrkOptions): Promise<WrkAnswers> {
  const { url, paths = [], headers = {}, connections = 16, seconds = 2 } = options
  await using temp = await openTempDir()
  const script = join(temp.path, 'paths.lua')
  await Bun.write(script, paths.length > 0 ? renderPaths(paths) + REPORT : REPORT)
  const flags = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
  const wrk = [need('wrk'), '-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '30s', '-s', script, ...flags, url]
  const { stdout } = await runOrThrow(wrk)
  if (/Non-2xx|Socket errors/.test(stdout)) throw new Error(`wrk met errors at ${url}: ${stdout}`)
  const [, rate, median] = /^rate (\S+) median (\S+)$/m.exec(stdout) ?? []
  if (!(Number(rate) > 0)) throw new Error(`wrk had no answer from ${url} in ${seconds} s: ${stdout}`)
  return { rate: Number(rate), medianMs: Number(median) / 1000 }
}

/** wrk counts in microseconds. */
const REPORT = `function done(summary, latency)
  print(string.format('rate %f median %d', summary.requests / summary.duration * 1e6, latency:percentile(50)))
end
`

/** The requests are made before the first of them is sent. */
function renderPaths(paths: readonly string[]): string {
  return `local paths = { ${paths.map((path) => JSON.stringify(path)).join(', ')} }
local requests, last = {}, 0
function init()
  for place, path in ipairs(paths) do requests[place] = wrk.format('GET', path) end
end
function request()
  last = last % #requests + 1
  return requests[last]
end
`
}
