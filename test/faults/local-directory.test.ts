/**
 * Directories that cannot be the embedded registry: one clear line and exit 2, by the name of the option.
 */
import { describe, expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { openServer } from '../stand/server.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { expectFaults, run } from './bad-start.ts'

const bare = ['--port=0', '--listen-host=127.0.0.1']

describe.concurrent('the directory of the embedded registry', () => {
  test('that is a file, or under one, is refused by whoever named it', async () => {
    await using dir = await openTempDir()
    const file = join(dir.path, 'file')
    await Bun.write(file, 'x')
    const settings = join(dir.path, 'settings.yaml')
    await Bun.write(settings, `storage-local-rootdir: ${file}\n`)
    const wanted = (origin: string, path: string) => [
      new RegExp(
        `^oci-chartrepo: ${RegExp.escape(`${origin}: given "${path}", which cannot be made or is no directory`)}`,
      ),
    ]
    for (const path of [file, join(file, 'charts')]) {
      expectFaults(await run([...bare, `--storage-local-rootdir=${path}`]), wanted('--storage-local-rootdir', path))
      expectFaults(await run(bare, { STORAGE_LOCAL_ROOTDIR: path }), wanted('STORAGE_LOCAL_ROOTDIR', path))
    }
    const inFile = await run([...bare, `--config=${settings}`])
    expectFaults(inFile, wanted(`storage-local-rootdir in ${settings}`, file))
  })

  test('belongs to one server at a time, and to the next when that one has ended', async () => {
    await using dir = await openTempDir()
    const args = [`--storage-local-rootdir=${join(dir.path, 'charts')}`]
    await using first = await openServer({ args })
    expectFaults(await run([...bare, ...args]), [
      /^oci-chartrepo: --storage-local-rootdir: .* is in use by another server/,
    ])
    expect((await first.get('/v2/')).status).toBe(200)
    await first.stop()
    await using second = await openServer({ args })
    expect((await second.get('/v2/')).status).toBe(200)
  })

  test('is made, with all above it, where there is none', async () => {
    await using dir = await openTempDir()
    const root = join(dir.path, 'a', 'b', 'charts')
    await using server = await openServer({ args: ['--storage=local', `--storage-local-rootdir=${root}`] })
    expect(server.stdout()).toContain(`its own registry in ${root}`)
    expect(existsSync(root)).toBe(true)
  })

  test('is ./data where nobody says otherwise', async () => {
    await using dir = await openTempDir()
    await using server = await openServer({ cwd: dir.path })
    expect(server.stdout()).toContain('its own registry in ./data')
    expect(existsSync(join(dir.path, 'data'))).toBe(true)
  })
})
