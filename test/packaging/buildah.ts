/**
 * Images without an engine: Debian's buildah with a storage of its own, so that nothing of the machine's images is
 * seen or touched. Its chroot isolation shares the machine's network and process table, and knows no read-only root:
 * `openContainer` lays one underneath.
 */
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Child, openChild, runOrThrow } from '../stand/child.ts'
import { need, which } from '../stand/programs.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { waitFor } from '../stand/wait-for.ts'

export interface ImageConfig {
  readonly User: string
  readonly Env: readonly string[]
  readonly Entrypoint: readonly string[]
  readonly Cmd: readonly string[] | null
  readonly ExposedPorts: Readonly<Record<string, object>>
  readonly Volumes: Readonly<Record<string, object>>
}

export interface ContainerOptions {
  /** Host directory → path in the container; writable. */
  readonly volumes: Readonly<Record<string, string>>
  /** Added to the entrypoint of the image, as `docker run IMAGE …` does. */
  readonly args: readonly string[]
}

export interface Buildah extends AsyncDisposable {
  /** `buildah build` of a directory with its Dockerfile (or of `dockerfile`). */
  build(
    tag: string,
    context: string,
    options?: { readonly dockerfile?: string; readonly args?: readonly string[] },
  ): Promise<void>
  config(tag: string): Promise<ImageConfig>
  /** A container's root directory as a path of the machine, and its name. */
  create(tag: string): Promise<{ readonly name: string; readonly root: string }>
  /** Runs a command to its end in a container, as the user of the image; its stdout. */
  run(container: string, ...command: readonly string[]): Promise<string>
  /** Runs the entrypoint on a read-only root. */
  openContainer(tag: string, options: ContainerOptions): Promise<Container>
}

export interface Container extends AsyncDisposable {
  readonly child: Child
  readonly root: string
  /** The process of the entrypoint, as the machine numbers it. */
  readonly pid: number
}

/** Why no image can be built here, or undefined when it can: completes `skipped: … `. */
export function whyNoImages(): string | undefined {
  if (which('buildah') === undefined) return 'buildah is not installed'
  // Rootless buildah needs ranges of user ids that few machines are set up with.
  if (process.getuid?.() !== 0) return 'buildah needs root here'
  if (which('unshare') === undefined || Bun.spawnSync(['unshare', '-m', 'true']).exitCode !== 0) {
    return 'this machine allows no mount namespace'
  }
  return undefined
}

/** Everything below the shell's `$1` becomes read-only; /run stays writable because buildah keeps a file there. */
const READ_ONLY_ROOT =
  'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && mount -t tmpfs -o mode=755 none "$1/run" && shift && exec "$@"'

export async function openBuildah(): Promise<Buildah> {
  const temp = await openTempDir()
  const storage = [
    '--storage-driver',
    'vfs',
    '--root',
    join(temp.path, 'root'),
    '--runroot',
    join(temp.path, 'runroot'),
  ]
  const command = [need('buildah'), ...storage]
  await mkdir(join(temp.path, 'tmp'))
  const env = { HOME: temp.path, TMPDIR: join(temp.path, 'tmp'), ...proxyEnvironment() }
  const buildah = async (...args: readonly string[]): Promise<string> =>
    (await runOrThrow([...command, ...args], { env })).stdout.trim()

  const create = async (tag: string): Promise<{ name: string; root: string }> => {
    const name = await buildah('from', '--pull-never', tag)
    return { name, root: await buildah('mount', name) }
  }
  const config = async (tag: string): Promise<ImageConfig> => {
    const inspected = JSON.parse(await buildah('inspect', '--type', 'image', tag)) as { OCIv1: { config: ImageConfig } }
    return inspected.OCIv1.config
  }
  return {
    build: async (tag, context, { dockerfile, args = [] } = {}) => {
      const file = dockerfile === undefined ? [] : ['--file', dockerfile]
      const values = args.flatMap((arg) => ['--build-arg', arg])
      await buildah('build', '--isolation', 'chroot', '--pull-never', '--tag', tag, ...file, ...values, context)
    },
    config,
    create,
    run: (container, ...line) => buildah('run', '--isolation', 'chroot', container, '--', ...line),
    openContainer: async (tag, { volumes, args }) => {
      const { name, root } = await create(tag)
      const [program = '', ...rest] = (await config(tag)).Entrypoint
      const mounts = Object.entries(volumes).flatMap(([from, to]) => ['--volume', `${from}:${to}`])
      await makeMountPoints(root, Object.values(volumes))
      const line = [...command, 'run', '--isolation', 'chroot', ...mounts, name, '--', program, ...rest, ...args]
      const child = openChild([need('unshare'), '-m', 'sh', '-c', READ_ONLY_ROOT, 'sh', root, ...line], { env })
      try {
        const pid = await waitFor(`the process ${program} below ${child.pid}`, () => findProcess(child.pid, program))
        return { child, root, pid, [Symbol.asyncDispose]: () => child[Symbol.asyncDispose]() }
      } catch (cause) {
        await child.stop()
        throw new Error(`The container did not start:\n${child.stdout()}${child.stderr()}`, { cause })
      }
    },
    [Symbol.asyncDispose]: () => temp[Symbol.asyncDispose](),
  }
}

/** What an engine makes at the start of a container, before the root becomes read-only. */
async function makeMountPoints(root: string, volumes: readonly string[]): Promise<void> {
  for (const dir of ['dev', 'proc', 'sys', 'run', 'etc', ...volumes]) await mkdir(join(root, dir), { recursive: true })
  for (const file of ['etc/hosts', 'etc/hostname', 'etc/resolv.conf'])
    await writeFile(join(root, file), '', { flag: 'a' })
}

/** The package install of a build may have to go through the proxy of the machine. */
function proxyEnvironment(): Record<string, string> {
  const names = ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY'].flatMap((name) => [name, name.toLowerCase()])
  return Object.fromEntries(names.flatMap((name) => (Bun.env[name] === undefined ? [] : [[name, Bun.env[name]]])))
}

/** The descendant of `ancestor` whose own program is `program`; buildah's helpers name it as an argument only. */
async function findProcess(ancestor: number, program: string): Promise<number | undefined> {
  const parents = new Map<number, number>()
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const status = await readFile(`/proc/${name}/status`, 'utf8').catch(() => '')
    parents.set(Number(name), Number(/^PPid:\s+(\d+)/m.exec(status)?.[1] ?? 0))
  }
  const descends = (pid: number): boolean => pid === ancestor || (parents.has(pid) && descends(parents.get(pid) ?? 0))
  for (const pid of [...parents.keys()].filter(descends)) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    if (line.split('\0')[0] === program) return pid
  }
  return undefined
}

/** Numeric owner and permission bits of a path below a container's root. */
export async function ownerOf(root: string, path: string): Promise<{ uid: number; gid: number; mode: string }> {
  const { uid, gid, mode } = await stat(join(root, path))
  return { uid, gid, mode: (mode & 0o7777).toString(8) }
}
