/** Starts the program of delaying-proxy.ts. */
import { join } from 'node:path'
import { openChild, waitForOutput } from '../test/stand/child.ts'

export interface RequestCounts {
  readonly lists: number
  readonly manifests: number
  /** HEAD requests. */
  readonly checks: number
  readonly blobs: number
  readonly others: number
}

export interface ProxiedRegistry extends AsyncDisposable {
  readonly host: string
  /** Since the last call. */
  takeCounts(): Promise<RequestCounts>
}

export async function openProxiedRegistry(host: string, delayMs: number): Promise<ProxiedRegistry> {
  const program = join(import.meta.dir, 'delaying-proxy.ts')
  const child = openChild([process.execPath, program, host, String(delayMs)])
  const [, own = '', counter = ''] = await waitForOutput(child, 'stdout', /^(\S+) (\S+)$/m)
  return {
    host: own,
    takeCounts: async () => ({
      lists: 0,
      manifests: 0,
      checks: 0,
      blobs: 0,
      others: 0,
      ...((await (await fetch(`http://${counter}/`)).json()) as Partial<RequestCounts>),
    }),
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  }
}
