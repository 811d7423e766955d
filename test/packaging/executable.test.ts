/** The executable on its own: no Bun, no node_modules, no environment, and nothing of the directory it is started in. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { copyFile, mkdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import packageJson from '../../package.json' with { type: 'json' }
import { type Finished, openChild, runCommand, runOrThrow, waitForOutput } from '../stand/child.ts'
import { buildExecutable, PROJECT_ROOT } from '../stand/executable.ts'
import { openTempDir, type TempDir } from '../stand/temp-dir.ts'

/** Nothing listens there: what is tested needs no registry. */
const NO_REGISTRY = '--storage-registry-repo=127.0.0.1:1'
/** An empty PATH: neither a Bun nor anything else can be started. */
const NOTHING = { PATH: '' }

describe('executable', () => {
  let temp: TempDir
  let executable: string
  let workDir: string

  beforeAll(async () => {
    temp = await openTempDir()
    executable = join(temp.path, 'alone', 'oci-chartrepo')
    workDir = join(temp.path, 'work')
    await mkdir(join(temp.path, 'alone'))
    await mkdir(workDir)
    await copyFile(await buildExecutable(), executable)
  })
  afterAll(() => temp[Symbol.asyncDispose]())

  const run = (...args: string[]): Promise<Finished> =>
    runCommand([executable, ...args], { env: NOTHING, cwd: workDir })

  async function readHealth(): Promise<unknown> {
    const args = ['--port=0', '--listen-host=127.0.0.1', NO_REGISTRY, `--cache-dir=${join(temp.path, 'cache')}`]
    await using child = openChild([executable, ...args], { env: NOTHING, cwd: workDir })
    const [, url] = await waitForOutput(child, 'stdout', / at (http:\/\/\S+)/)
    const health = await (await fetch(`${url}/health`)).json()
    expect(await child.stop()).toBe(0)
    return health
  }

  test('tells its version and its options', async () => {
    const version = await run('--version')
    expect(version).toEqual({ code: 0, stdout: expect.stringContaining(packageJson.version), stderr: '' })
    const help = await run('--help')
    expect(help).toEqual({ code: 0, stdout: expect.stringContaining('--storage-registry-repo'), stderr: '' })
  })

  test('serves with nothing beside it and an empty environment', async () => {
    expect(await readHealth()).toEqual({ healthy: true })
  })

  test('loads neither .env nor bunfig.toml of the directory it is started in', async () => {
    await writeFile(join(workDir, '.env'), 'PORT=from-dotenv\nLOG_LEVEL=from-dotenv\n')
    await writeFile(join(workDir, 'bunfig.toml'), 'preload = ["./preload.ts"]\n')
    await writeFile(join(workDir, 'preload.ts'), 'process.exit(97)\n')
    await writeFile(join(workDir, 'show.ts'), 'console.log(Bun.env.PORT)\n')
    // That Bun itself obeys both is what makes the rest of this test worth something.
    expect((await runCommand([process.execPath, 'show.ts'], { cwd: workDir })).code).toBe(97)
    await writeFile(join(workDir, 'preload.ts'), '')
    expect((await runCommand([process.execPath, 'show.ts'], { cwd: workDir })).stdout).toBe('from-dotenv\n')
    await writeFile(join(workDir, 'preload.ts'), 'process.exit(97)\n')

    expect((await run('--version')).code).toBe(0)
    expect(await readHealth()).toEqual({ healthy: true })
  })

  test('is not built again when nothing changed', async () => {
    const options = { cwd: PROJECT_ROOT, env: { HOME: Bun.env['HOME'] ?? '/' } }
    await runOrThrow(['make', '--no-print-directory', 'build'], options)
    const before = await stat(join(PROJECT_ROOT, 'dist', 'oci-chartrepo'))
    await runOrThrow(['make', '--no-print-directory', 'build'], options)
    const after = await stat(join(PROJECT_ROOT, 'dist', 'oci-chartrepo'))
    expect([after.ino, after.mtimeMs]).toEqual([before.ino, before.mtimeMs])
  })
})
