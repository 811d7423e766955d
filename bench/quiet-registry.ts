/** docker-registry over a directory, without the access log: writing that costs it a tenth of its time. */
import { createServer } from 'node:net'
import { join } from 'node:path'
import { openChild } from '../test/stand/child.ts'
import { need } from '../test/stand/programs.ts'
import { openTempDir } from '../test/stand/temp-dir.ts'
import { waitFor } from '../test/stand/wait-for.ts'

export interface QuietRegistry extends AsyncDisposable {
  /** `127.0.0.1:41234` */
  readonly host: string
}

export async function openQuietRegistry(dir: string): Promise<QuietRegistry> {
  await using stack = new AsyncDisposableStack()
  const temp = stack.use(await openTempDir())
  const host = `127.0.0.1:${await findFreePort()}`
  const file = join(temp.path, 'config.yml')
  // JSON is YAML.
  const config = {
    version: '0.1',
    log: { level: 'error', accesslog: { disabled: true } },
    storage: {
      filesystem: { rootdirectory: dir, maxthreads: 100 },
      delete: { enabled: true },
      maintenance: { uploadpurging: { enabled: false } },
    },
    http: { addr: host, secret: 'not a credential: it signs upload sessions' },
  }
  await Bun.write(file, JSON.stringify(config))
  stack.use(openChild([need('docker-registry'), 'serve', file]))
  await waitFor(`docker-registry at ${host}`, () => isListening(`http://${host}/v2/`))
  const owned = stack.move()
  return { host, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

/** Whether anything answers there, whatever the answer. */
export async function isListening(url: string): Promise<boolean> {
  try {
    const response = await fetch(url)
    await response.body?.cancel()
    return true
  } catch (cause) {
    if ((cause as { code?: string }).code === 'ECONNREFUSED') return false
    throw cause
  }
}

/** For programs that cannot pick one themselves. */
export function findFreePort(): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const server = createServer()
  server.once('error', reject)
  server.listen(0, '127.0.0.1', () => {
    const address = server.address()
    server.close(() => {
      if (address !== null && typeof address === 'object') resolve(address.port)
      else reject(new Error('Cannot find a free port: the listener has no address'))
    })
  })
  return promise
}
