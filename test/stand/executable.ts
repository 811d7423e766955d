/** The compiled product: built when it is missing or older than its sources, once per run, by whoever asks first. */
import { mkdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { runOrThrow } from './child.ts'
import { waitFor } from './wait-for.ts'

export const PROJECT_ROOT = join(import.meta.dir, '..', '..')

const LOCK_TIMEOUT_MS = 100_000

let built: Promise<string> | undefined

/**
 * Absolute path of an executable that is up to date with `src` (`make build`).
 * `OCI_CHARTREPO_EXECUTABLE` in the environment names another one, which is then taken as it is.
 */
export function buildExecutable(): Promise<string> {
  built ??= build()
  return built
}

/** make knows what the executable depends on, and does nothing when it is up to date. */
async function build(): Promise<string> {
  const given = Bun.env['OCI_CHARTREPO_EXECUTABLE']
  if (given !== undefined && given !== '') return given
  await using _lock = await openLock(join(PROJECT_ROOT, 'node_modules', '.cache', 'build.lock'))
  await runOrThrow(['make', '--no-print-directory', 'build'], {
    cwd: PROJECT_ROOT,
    env: { HOME: Bun.env['HOME'] ?? '/' },
  })
  return join(PROJECT_ROOT, 'dist', 'oci-chartrepo')
}

async function modifiedAt(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).mtimeMs
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw cause
  }
}

/** A directory is the lock: making one is atomic. One left by a killed run is taken over after the time limit. */
export async function openLock(path: string): Promise<AsyncDisposable> {
  await mkdir(join(path, '..'), { recursive: true })
  await waitFor(
    `the lock ${path}`,
    async () => {
      try {
        await mkdir(path)
        return true
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause
      }
      const takenAt = await modifiedAt(path)
      if (takenAt !== undefined && Date.now() - takenAt > LOCK_TIMEOUT_MS)
        await rm(path, { recursive: true, force: true })
      return false
    },
    { timeoutMs: LOCK_TIMEOUT_MS, everyMs: 100 },
  )
  return { [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}
