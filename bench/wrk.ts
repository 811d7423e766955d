/** wrk with one thread, which leaves the second core to the server. */
import { runOrThrow } from '../test/stand/child.ts'
import { need } from '../test/stand/programs.ts'

export interface WrkOptions {
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  readonly connections?: number
  readonly seconds?: number
}

/** Answers per second. @throws when any of them was an error. */
export async function runWrk({ url, headers = {}, connections = 16, seconds = 2 }: WrkOptions): Promise<number> {
  const flags = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
  const wrk = [need('wrk'), '-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '30s', ...flags, url]
  const { stdout } = await runOrThrow(wrk)
  if (/Non-2xx|Socket errors/.test(stdout)) throw new Error(`wrk met errors at ${url}: ${stdout}`)
  return Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1])
}
