/**
 * The product with a mount of its own over --cache-dir, or over another directory of it: a disk with no room, or one
 * that cannot be written. The mount is seen by this process alone and goes with it.
 */
import { open } from 'node:fs/promises'
import { openChild, waitForOutput } from '../stand/child.ts'
import { buildExecutable } from '../stand/executable.ts'
import { need, which } from '../stand/programs.ts'
import { parseLog, type Readiness, type Server } from '../stand/server.ts'
import { waitFor } from '../stand/wait-for.ts'

/** Why nothing can be mounted here, or undefined when it can: completes `skipped: … `. */
export function whyNoMounts(): string | undefined {
  if (process.getuid?.() !== 0) return 'mounting needs root'
  if (which('unshare') === undefined || which('mount') === undefined) return 'unshare or mount is not installed'
  const attempt = Bun.spawnSync([need('unshare'), '-m', 'mount', '-t', 'tmpfs', 'none', '/tmp'])
  return attempt.exitCode === 0 ? undefined : 'this machine allows no mounts'
}

/** What is mounted over the directory `$1`. */
export const mounts = {
  /** As a disk that somebody else has filled up. */
  full: 'mount -t tmpfs -o size=16k none "$1"',
  /** Has room for its first directory and nothing else, until it is mounted anew with more. */
  noFiles: 'mount -t tmpfs -o size=8m,nr_inodes=1 none "$1"',
  /** Has room until it is filled. */
  tiny: 'mount -t tmpfs -o size=8m none "$1"',
  small: 'mount -t tmpfs -o size=96m none "$1"',
  readOnly: 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"',
} as const

export interface MountedServer extends Server {
  /** Where this process sees what the server has in the directory that is mounted over. */
  readonly mountedDir: string
}

export async function openMountedServer(
  mount: keyof typeof mounts,
  {
    cacheDir,
    mountedOver = cacheDir,
    args,
  }: { readonly cacheDir: string; readonly mountedOver?: string; readonly args: readonly string[] },
): Promise<MountedServer> {
  const options = ['--port=0', '--listen-host=127.0.0.1', '--log-format=json', `--cache-dir=${cacheDir}`, ...args]
  const script = `${mounts[mount]} && shift && exec "$@"`
  const command = [need('unshare'), '-m', 'sh', '-c', script, 'sh', mountedOver, await buildExecutable(), ...options]
  const child = openChild(command, { env: { HOME: cacheDir }, cwd: cacheDir })
  try {
    const url = (await waitForOutput(child, 'stdout', / at (https?:\/\/\S+)/))[1] ?? ''
    const get = (path: string, init?: RequestInit): Promise<Response> => fetch(url + path, init)
    const readyz = async (): Promise<Readiness> => (await (await get('/readyz')).json()) as Readiness
    return {
      url,
      pid: child.pid,
      cacheDir,
      mountedDir: `/proc/${child.pid}/root${mountedOver}`,
      stdout: child.stdout,
      log: child.stderr,
      logLines: () => parseLog(child.stderr()),
      get,
      readyz,
      ready: () =>
        waitFor('the server to be ready', async () => {
          const readiness = await readyz()
          return readiness.ready && readiness
        }),
      stop: child.stop,
      kill: child.kill,
      [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
    }
  } catch (cause) {
    await child.stop()
    throw cause
  }
}

/** Leaves no byte of room on the disk of `path`. */
export async function fillUp(path: string): Promise<void> {
  const file = await open(path, 'wx')
  try {
    for (const page = Buffer.alloc(64 * 1024); ; ) await file.appendFile(page)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  } finally {
    await file.close()
  }
}
