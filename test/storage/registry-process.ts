/**
 * An embedded registry in a process of its own. Prints what became of it as JSON. Arguments: `hold` to keep its
 * directory until a signal comes, `push` to read and push, or `sweep`, the last two also `-as-nobody`; the directory.
 */
import { setTimeout } from 'node:timers/promises'
import { errorCode } from '../../src/lib/error-code.ts'
import { LocalRegistry } from '../../src/storage/local-registry.ts'
import { FakeClock } from '../lib/fake-clock.ts'
import { captureLog } from '../telemetry/captured-log.ts'
import { makeBlob, streamOf } from './blob-content.ts'
import { makeImage } from './layout-content.ts'

const NOBODY = 65_534
const [mode = '', root = ''] = process.argv.slice(2)
// Rights do not stop root. Everything is loaded by now, so that nobody needs to read the sources.
if (mode.endsWith('-as-nobody') && process.getuid?.() === 0) {
  process.setgid?.(NOBODY)
  process.setuid?.(NOBODY)
}
const log = captureLog()
const clock = new FakeClock({ now: Date.now() })
const layer = makeBlob('layer')
const image = makeImage([layer])
const code = (work: Promise<unknown>) => work.then(() => 'done', errorCode)

async function push(registry: LocalRegistry) {
  const { digest } = image
  return {
    repositories: await registry.sortedRepositories(),
    tags: await registry.sortedTags('demo'),
    layer: await (await registry.openBlob('demo', layer.digest))?.text(),
    head: await registry.statBlob('demo', layer.digest),
    refused: [
      await code(registry.mountBlob('demo', layer.digest, 'demo')),
      await code(registry.beginUpload('demo', 'sha256')),
      await code(registry.writeManifest('demo', { ...image, digest, tags: ['v2'] })),
      await code(registry.writeManifest('new', { ...image, digest, tags: ['v1'] })),
      await code(registry.removeTag('demo', 'v1')),
      await code(registry.removeBlob('demo', layer.digest)),
    ],
  }
}

async function sweep(registry: LocalRegistry) {
  const { id } = await registry.beginUpload('demo', 'sha256')
  const other = makeBlob('other')
  const end = { body: streamOf(other.bytes), start: undefined, length: undefined, digest: other.digest }
  await registry.finishUpload('demo', id, end)
  await registry.removeBlob('demo', other.digest)
  await registry.sweep()
  const left = [layer, makeBlob('{}')].map(async ({ digest }) =>
    (await registry.statBlob('demo', digest)) ? digest : [],
  )
  return { left: (await Promise.all(left)).flat() }
}

try {
  const options = { root, sweepIntervalMs: 0, sweepDelayMs: 3_600_000, clock, log }
  const registry = await LocalRegistry.open(options)
  if (mode === 'hold') {
    console.log('opened')
    await setTimeout(2 ** 30, registry)
  }
  const done = mode.startsWith('sweep') ? await sweep(registry) : await push(registry)
  console.log(JSON.stringify({ opened: 'yes', log: log.messages('warn'), ...done }))
  await registry.close()
} catch (error) {
  console.log(JSON.stringify({ opened: errorCode(error) }))
}
