/** The embedded registry and docker-registry, each over an empty directory of the same disk. */
import { join } from 'node:path'
import { openTempDir } from '../test/stand/temp-dir.ts'
import { openEmbedded, type Product } from './product.ts'
import { openQuietRegistry } from './quiet-registry.ts'

export interface RegistryPair extends AsyncDisposable {
  readonly product: Product
  /** Of docker-registry: `http://127.0.0.1:41234`. */
  readonly counterpartUrl: string
}

export async function openRegistryPair(executable: string): Promise<RegistryPair> {
  await using stack = new AsyncDisposableStack()
  const { path } = stack.use(await openTempDir())
  const dir = join(path, 'embedded')
  const product = stack.use(await openEmbedded({ executable, dir, cacheDir: join(path, 'cache') }))
  const { host } = stack.use(await openQuietRegistry(join(path, 'docker-registry')))
  const owned = stack.move()
  return { product, counterpartUrl: `http://${host}`, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}
