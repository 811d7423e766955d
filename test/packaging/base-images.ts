/**
 * Stand-ins for the base images of the Dockerfile, put together from the machine's own files: the tests reach no image
 * registry. Each has what the real one is used for, and nothing else.
 */
import { existsSync } from 'node:fs'
import { chmod, copyFile, cp, link, mkdir, realpath, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { runOrThrow } from '../stand/child.ts'
import { PROJECT_ROOT } from '../stand/executable.ts'
import { need } from '../stand/programs.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import type { Buildah } from './buildah.ts'

const CA_CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt'
/** What the RUN lines of the Dockerfile and .ci/compile call. */
const BUILD_PROGRAMS = ['sh', 'mkdir', 'mv', 'rm', 'touch']
const CACHE = '/var/cache/bun'

/** For BUN_IMAGE: Bun, a shell, and the packages that the machine's Bun has in its cache already. */
export async function makeBunImage(buildah: Buildah, tag: string): Promise<void> {
  await using temp = await openTempDir()
  const root = join(temp.path, 'root')
  await addFile(root, await realpath(process.execPath), '/usr/local/bin/bun')
  await addLibraries(root, process.execPath)
  for (const program of BUILD_PROGRAMS) {
    await addFile(root, await realpath(need(program)), `/bin/${program}`)
    await addLibraries(root, need(program))
  }
  await addCachedPackages(root, join(temp.path, 'packages'))
  await buildImage(buildah, root, tag, [`ENV PATH=/usr/local/bin:/bin BUN_INSTALL_CACHE_DIR=${CACHE}`])
}

/** For BASE_IMAGE: the C library, CA certificates and the account 65532; no shell. */
export async function makeBaseImage(buildah: Buildah, tag: string, executable: string): Promise<void> {
  await using temp = await openTempDir()
  const root = join(temp.path, 'root')
  await addLibraries(root, executable)
  await addText(
    root,
    '/etc/passwd',
    'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532::/home/nonroot:/sbin/nologin\n',
  )
  await addText(root, '/etc/group', 'root:x:0:\nnonroot:x:65532:\n')
  await buildImage(buildah, root, tag, ['USER 65532'])
}

/** Absolute paths of the shared libraries of a program, its loader among them. */
export async function librariesOf(program: string): Promise<string[]> {
  const { stdout } = await runOrThrow([need('ldd'), program])
  return [...stdout.matchAll(/(\/\S+) \(0x/g)].map(([, path]) => path ?? '')
}

async function buildImage(buildah: Buildah, root: string, tag: string, lines: readonly string[]): Promise<void> {
  await addFile(root, CA_CERTIFICATES, CA_CERTIFICATES)
  await mkdir(join(root, 'tmp'), { recursive: true })
  await chmod(join(root, 'tmp'), 0o1777)
  const dockerfile = `${root}.dockerfile`
  await writeFile(dockerfile, ['FROM scratch', 'COPY . /', ...lines, ''].join('\n'))
  await buildah.build(tag, root, { dockerfile })
}

/** So that the install inside the build needs no network when the one outside has been done. */
async function addCachedPackages(root: string, scratch: string): Promise<void> {
  await mkdir(join(root, CACHE), { recursive: true })
  await mkdir(scratch)
  for (const file of ['package.json', 'bun.lock', 'bunfig.toml']) {
    await copyFile(join(PROJECT_ROOT, file), join(scratch, file))
  }
  const options = { cwd: scratch, env: { HOME: Bun.env['HOME'] ?? '/' } }
  await runOrThrow([process.execPath, 'install', '--frozen-lockfile', '--production'], options)
  const cache = (await runOrThrow([process.execPath, 'pm', 'cache'], options)).stdout.trim()
  for await (const file of new Bun.Glob('**/package.json').scan({ cwd: join(scratch, 'node_modules') })) {
    const { name, version } = (await Bun.file(join(scratch, 'node_modules', file)).json()) as Record<string, string>
    const entry = `${name}@${version}@@@1`
    // A package may have package.json files inside that are no packages.
    if (existsSync(join(cache, entry))) await cp(join(cache, entry), join(root, CACHE, entry), { recursive: true })
  }
}

async function addLibraries(root: string, program: string): Promise<void> {
  for (const library of await librariesOf(program)) await addFile(root, await realpath(library), library)
}

/** A hard link where that works: Bun alone is 100 MB. */
async function addFile(root: string, from: string, to: string): Promise<void> {
  const target = join(root, to)
  await mkdir(dirname(target), { recursive: true })
  await link(from, target).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'EEXIST') return copyFile(from, target)
  })
}

async function addText(root: string, path: string, text: string): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true })
  await writeFile(join(root, path), text)
}
