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

/** Answers per second. @throws when any of them was an error. */
export async function runWrk(options: WrkOptions): Promise<number> {
  const { url, paths = [], headers = {}, connections = 16, seconds = 2 } = options
  await using temp = await openTempDir()
  const script = join(temp.path, 'paths.lua')
  await Bun.write(script, renderScript(paths))
  const flags = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
  if (paths.length > 0) flags.push('-s', script)
  const wrk = [need('wrk'), '-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '30s', ...flags, url]
  const { stdout } = await runOrThrow(wrk)
  if (/Non-2xx|Socket errors/.test(stdout)) throw new Error(`wrk met errors at ${url}: ${stdout}`)
  return Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1])
}

/** The requests are made before the first of them is sent. */
function renderScript(paths: readonly string[]): string {
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
