/** The product as the registry itself, over a directory that outlives it. */
import type { PushTarget } from './charts.ts'
import { openServer, type Server } from './server.ts'

export interface LocalServer extends Server, PushTarget {
  /** `127.0.0.1:41234`. */
  readonly host: string
}

export async function openLocalServer(root: string, ...args: readonly string[]): Promise<LocalServer> {
  const server = await openServer({ args: ['--storage=local', `--storage-local-rootdir=${root}`, ...args] })
  return { ...server, host: new URL(server.url).host, origin: server.url, fetch: server.get }
}
