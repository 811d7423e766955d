/**
 * The image of the real Dockerfile, built over stand-ins for its base images and run as its user on a read-only root.
 * What this cannot show, for lack of a container engine and of image registries: the real base images, the limits an
 * engine puts around a process (network, process table, dropped capabilities), and a process that is number 1.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { chown, mkdir, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import packageJson from '../../package.json' with { type: 'json' }
import { chartArtifact, pushArtifact } from '../stand/charts.ts'
import { waitForOutput } from '../stand/child.ts'
import { basicCredential, mountCredentials } from '../stand/credentials-file.ts'
import { buildExecutable, PROJECT_ROOT } from '../stand/executable.ts'
import { isPresent } from '../stand/programs.ts'
import { openRegistry } from '../stand/registry.ts'
import { findSecrets, PASSWORD, USER } from '../stand/secrets.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { waitFor } from '../stand/wait-for.ts'
import { librariesOf, makeBaseImage, makeBunImage } from './base-images.ts'
import { type Buildah, openBuildah, ownerOf, whyNoImages } from './buildah.ts'

const BUN_IMAGE = 'localhost/stand-in-bun'
const BASE_IMAGE = 'localhost/stand-in-base'
const IMAGE = 'localhost/oci-chart-registry'
const USER_ID = 65532

const missing = isPresent('docker-registry', 'htpasswd') ? undefined : 'docker-registry or htpasswd is not installed'
const reason = whyNoImages() ?? missing
const prefix = reason === undefined ? '' : `skipped: ${reason} — `
const imageTest = test.skipIf(reason !== undefined)

describe('image', () => {
  let buildah: Buildah

  beforeAll(async () => {
    if (reason !== undefined) return
    buildah = await openBuildah()
    await makeBunImage(buildah, BUN_IMAGE)
    await makeBaseImage(buildah, BASE_IMAGE, await buildExecutable())
    await buildah.build(IMAGE, PROJECT_ROOT, { args: [`BUN_IMAGE=${BUN_IMAGE}`, `BASE_IMAGE=${BASE_IMAGE}`] })
  })
  afterAll(() => buildah?.[Symbol.asyncDispose]())

  test('the Dockerfile builds with the Bun that package.json pins', async () => {
    const dockerfile = await readFile(join(PROJECT_ROOT, 'Dockerfile'), 'utf8')
    expect(dockerfile).toContain(`\nARG BUN_IMAGE=oven/bun:${packageJson.devDependencies.bun}\n`)
  })

  imageTest(`${prefix}takes the arguments of the original image and runs as a numeric user`, async () => {
    const config = await buildah.config(IMAGE)
    expect(config.Entrypoint).toEqual(['/oci-chartrepo'])
    expect(config.Cmd ?? []).toEqual([])
    expect(config.User).toBe(`${USER_ID}:${USER_ID}`)
    expect(config.Env).toContain('CACHE_DIR=/cache')
    expect(config.Volumes).toEqual({ '/cache': {} })
    expect(config.ExposedPorts).toEqual({ '8080/tcp': {} })
  })

  imageTest(
    `${prefix}holds its base, the executable of make build and two empty directories, and nothing else`,
    async () => {
      const base = await buildah.create(BASE_IMAGE)
      const { name, root } = await buildah.create(IMAGE)
      const files = async (of: string): Promise<string[]> =>
        (await Array.fromAsync(new Bun.Glob('**/*').scan({ cwd: of, dot: true }))).sort()
      expect(await files(root)).toEqual([...(await files(base.root)), 'oci-chartrepo'].sort())
      expect(await ownerOf(root, 'oci-chartrepo')).toEqual({ uid: 0, gid: 0, mode: '755' })
      // An engine gives a new volume the owner and the mode of the directory it covers.
      for (const volume of ['cache', 'data']) {
        expect(await ownerOf(root, volume)).toEqual({ uid: USER_ID, gid: USER_ID, mode: '1777' })
      }
      expect(await sha256(join(root, 'oci-chartrepo'))).toBe(await sha256(await buildExecutable()))
      expect(await buildah.run(name, '/oci-chartrepo', '--version')).toContain(packageJson.version)
    },
  )

  imageTest(`${prefix}needs no library but those of glibc`, async () => {
    const names = (await librariesOf(await buildExecutable())).map((path) => basename(path).replace(/[-.].*$/, ''))
    const glibc = ['ld', 'libc', 'libdl', 'libm', 'libpthread', 'librt']
    expect(names.filter((library) => !glibc.includes(library))).toEqual([])
  })

  imageTest(`${prefix}serves a private registry as its user on a read-only root`, async () => {
    await using registry = await openRegistry({ auth: 'htpasswd' })
    const chart = await chartArtifact({ name: 'web', version: '1.2.3' })
    await pushArtifact(registry, 'team/web', '1.2.3', chart)
    await using temp = await openTempDir()
    const cache = join(temp.path, 'cache')
    await mkdir(cache, { mode: 0o700 })
    await chown(cache, USER_ID, USER_ID)
    const secret = await mountCredentials(temp.path, registry.host, basicCredential(USER, PASSWORD))

    await using container = await buildah.openContainer(IMAGE, {
      volumes: { [cache]: '/cache', [join(secret.path, '..')]: '/etc/secret' },
      args: [
        '--storage=registry',
        `--storage-registry-repo=${registry.host}`,
        '--storage-registry-scheme=HTTP',
        '--port=0',
      ],
    })
    const { child, pid } = container
    const [, port] = await waitForOutput(child, 'stdout', / at http:\/\/\S*:(\d+)/)
    const url = `http://127.0.0.1:${port}`
    expect(child.stdout()).toContain(`(as ${USER})`)

    const status = await readFile(`/proc/${pid}/status`, 'utf8')
    expect(status).toMatch(new RegExp(`^Uid:(\\s+${USER_ID}){4}$`, 'm'))
    expect(status).toMatch(/^CapEff:\s+0+$/m)
    const mounts = (await readFile(`/proc/${pid}/mounts`, 'utf8')).split('\n').map((line) => line.split(' '))
    expect(mounts.findLast(([, path]) => path === '/')?.[3]).toMatch(/^ro,/)
    expect(mounts.findLast(([, path]) => path === '/cache')?.[3]).toMatch(/^rw,/)

    const index = await waitFor('the chart in the index', async () => {
      const response = await fetch(`${url}/index.yaml`)
      return response.ok ? response.text() : undefined
    })
    expect(index).toContain('charts/web-1.2.3.tgz')
    const served = await fetch(`${url}/charts/web-1.2.3.tgz`)
    expect(Buffer.from(await served.arrayBuffer()).equals(Buffer.from(chart.layers[0]?.bytes ?? ''))).toBe(true)
    // The cache of the image is the volume, and it is used.
    expect(await Array.fromAsync(new Bun.Glob('blobs/sha256/*/*').scan({ cwd: cache }))).toHaveLength(1)

    process.kill(pid, 'SIGTERM')
    expect(await child.exited).toBe(0)
    expect(findSecrets(child.stdout() + child.stderr())).toEqual([])
  })

  imageTest(`${prefix}is a registry of its own without arguments, in its volume`, async () => {
    await using temp = await openTempDir()
    const volumes: Record<string, string> = {}
    for (const name of ['cache', 'data']) {
      await mkdir(join(temp.path, name), { mode: 0o700 })
      await chown(join(temp.path, name), USER_ID, USER_ID)
      volumes[join(temp.path, name)] = `/${name}`
    }
    const chart = await chartArtifact({ name: 'web', version: '1.2.3' })
    await using container = await buildah.openContainer(IMAGE, { volumes, args: ['--port=0'] })
    const { child, pid } = container
    const [, port] = await waitForOutput(child, 'stdout', / at http:\/\/\S*:(\d+)/)
    const url = `http://127.0.0.1:${port}`
    await pushArtifact({ origin: url, fetch: (path, init) => fetch(url + path, init) }, 'team/web', '1.2.3', chart)
    const index = await fetch(`${url}/index.yaml`)
    expect(await index.text()).toContain('charts/web-1.2.3.tgz')
    expect(await Bun.file(join(temp.path, 'data/team/web/index.json')).text()).toContain('1.2.3')
    process.kill(pid, 'SIGTERM')
    expect(await child.exited).toBe(0)
  })
})

async function sha256(path: string): Promise<string> {
  return new Bun.CryptoHasher('sha256').update(await Bun.file(path).arrayBuffer()).digest('hex')
}
