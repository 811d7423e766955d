/** The embedded registry and its directory, as skopeo uses both: while the server runs, and while it does not. */
import { describe, expect } from 'bun:test'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { chartArtifact, digestOf, OCI_MANIFEST_TYPE, pushArtifact } from '../stand/charts.ts'
import { runOrThrow } from '../stand/child.ts'
import { readLayouts } from '../stand/image-layouts.ts'
import { openLocalServer } from '../stand/local-server.ts'
import { need } from '../stand/programs.ts'
import { needing } from '../stand/registry-stage.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { waitFor } from '../stand/wait-for.ts'

const NEEDED = ['skopeo']

const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json'
const LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar+gzip'

/** skopeo's output; it needs no policy about whose images may be copied, and TLS is not what is tested. */
async function skopeo(command: string, ...args: readonly string[]): Promise<string> {
  const plain = {
    copy: ['--src-tls-verify=false', '--dest-tls-verify=false'],
    inspect: ['--tls-verify=false'],
    'list-tags': ['--tls-verify=false'],
    delete: ['--tls-verify=false'],
  }[command]
  return (await runOrThrow([need('skopeo'), '--insecure-policy', command, ...(plain ?? []), ...args])).stdout
}

interface Image {
  /** `oci:DIR:TAG`. */
  readonly reference: string
  /** Of its manifest. */
  readonly digest: string
  readonly layerDigest: string
}

/** An image layout with one image of one layer. */
async function makeImage(dir: string, tag: string): Promise<Image> {
  const blobs = join(dir, 'blobs', 'sha256')
  await mkdir(blobs, { recursive: true })
  const add = async (mediaType: string, bytes: Uint8Array | string) => {
    const digest = digestOf(bytes)
    await writeFile(join(blobs, digest.slice('sha256:'.length)), bytes)
    return { mediaType, digest, size: Buffer.byteLength(bytes) }
  }
  const tar = await new Bun.Archive({ 'hello.txt': `hello from ${tag}\n` }).bytes()
  const layer = await add(LAYER_TYPE, Bun.gzipSync(tar))
  const rootfs = { type: 'layers', diff_ids: [digestOf(tar)] }
  const labels = { config: { Labels: { tag } } }
  const config = await add(CONFIG_TYPE, JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs, ...labels }))
  const manifest = { schemaVersion: 2, mediaType: OCI_MANIFEST_TYPE, config, layers: [layer] }
  const described = await add(OCI_MANIFEST_TYPE, JSON.stringify(manifest))
  const annotations = { 'org.opencontainers.image.ref.name': tag }
  await writeFile(join(dir, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }))
  await writeFile(
    join(dir, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...described, annotations }] }),
  )
  return { reference: `oci:${dir}:${tag}`, digest: described.digest, layerDigest: layer.digest }
}

describe('skopeo', () => {
  needing(NEEDED, 'copies an image to the registry and back, lists, inspects and deletes it', async () => {
    await using dir = await openTempDir()
    const image = await makeImage(join(dir.path, 'source'), '1.0')
    await using server = await openLocalServer(join(dir.path, 'root'))
    const target = `docker://${server.host}/team/hello`
    await skopeo('copy', image.reference, `${target}:1.0`)
    await skopeo('copy', image.reference, `${target}:latest`)
    expect(JSON.parse(await skopeo('list-tags', target))).toMatchObject({ Tags: ['1.0', 'latest'] })
    expect(JSON.parse(await skopeo('inspect', `${target}:1.0`))).toMatchObject({
      Digest: image.digest,
      RepoTags: ['1.0', 'latest'],
      Labels: { tag: '1.0' },
      Layers: [image.layerDigest],
    })
    expect(digestOf(await skopeo('inspect', '--raw', `${target}@${image.digest}`))).toBe(image.digest)

    const back = join(dir.path, 'back')
    await skopeo('copy', `${target}:1.0`, `oci:${back}:1.0`)
    expect(digestOf(await skopeo('inspect', '--raw', `oci:${back}:1.0`))).toBe(image.digest)
    const files = join(dir.path, 'files')
    await skopeo('copy', `${target}:latest`, `dir:${files}`)
    expect(digestOf(await readFile(join(files, 'manifest.json')))).toBe(image.digest)
    expect(digestOf(await readFile(join(files, image.layerDigest.slice('sha256:'.length))))).toBe(image.layerDigest)

    // From one repository to another, where the layer is mounted.
    await skopeo('copy', `${target}:1.0`, `docker://${server.host}/other/place:1.0`)
    expect(digestOf(await skopeo('inspect', '--raw', `docker://${server.host}/other/place:1.0`))).toBe(image.digest)

    // skopeo deletes what the tag points to, and with it all other tags of that.
    await skopeo('delete', `${target}:1.0`)
    expect(JSON.parse(await skopeo('list-tags', target))).toMatchObject({ Tags: [] })
    expect(digestOf(await skopeo('inspect', '--raw', `docker://${server.host}/other/place:1.0`))).toBe(image.digest)
  })

  needing(NEEDED, 'reads and writes the directory of a server that is stopped', async () => {
    await using dir = await openTempDir()
    const root = join(dir.path, 'root')
    const [first, second] = [
      await makeImage(join(dir.path, 'first'), '1.0'),
      await makeImage(join(dir.path, 'second'), '2.0'),
    ]
    {
      await using server = await openLocalServer(root)
      await skopeo('copy', first.reference, `docker://${server.host}/team/hello:1.0`)
      expect(await server.stop()).toBe(0)
    }
    const layout = join(root, 'team/hello')
    expect(digestOf(await skopeo('inspect', '--raw', `oci:${layout}:1.0`))).toBe(first.digest)
    const back = join(dir.path, 'back')
    await skopeo('copy', `oci:${layout}:1.0`, `dir:${back}`)
    expect(digestOf(await readFile(join(back, 'manifest.json')))).toBe(first.digest)

    await skopeo('copy', second.reference, `oci:${layout}:2.0`)
    // A repository that the server has never seen, below one that it has.
    await mkdir(join(layout, 'nested'))
    await skopeo('copy', second.reference, `oci:${join(layout, 'nested')}:2.0`)

    await using server = await openLocalServer(root)
    const target = `docker://${server.host}/team/hello`
    expect(JSON.parse(await skopeo('list-tags', target))).toMatchObject({ Tags: ['1.0', '2.0'] })
    const expected: readonly [reference: string, digest: string][] = [
      [`${target}:1.0`, first.digest],
      [`${target}:2.0`, second.digest],
      [`${target}@${second.digest}`, second.digest],
      [`${target}/nested:2.0`, second.digest],
    ]
    for (const [reference, digest] of expected) {
      expect(digestOf(await skopeo('inspect', '--raw', reference)), reference).toBe(digest)
    }
    await skopeo('copy', `${target}:2.0`, `dir:${join(dir.path, 'again')}`)
    const catalog = await server.get('/v2/_catalog')
    expect((await catalog.json()) as unknown).toEqual({ repositories: ['team/hello', 'team/hello/nested'] })
    await readLayouts(root)
  })

  needing(NEEDED, 'writes into the directory while the server runs, which goes on with what it finds', async () => {
    await using dir = await openTempDir()
    const root = join(dir.path, 'root')
    const images = [
      await makeImage(join(dir.path, 'first'), '1.0'),
      await makeImage(join(dir.path, 'second'), '2.0'),
      await makeImage(join(dir.path, 'third'), '3.0'),
    ] as const
    const [first, second, third] = images
    await using server = await openLocalServer(root, '--refresh-interval=1s')
    const target = `docker://${server.host}/team/hello`
    const digestAt = async (tag: string) => digestOf(await skopeo('inspect', '--raw', `${target}:${tag}`))
    await skopeo('copy', first.reference, `${target}:1.0`)
    const layout = join(root, 'team/hello')
    await skopeo('copy', second.reference, `oci:${layout}:2.0`)
    expect(await digestAt('2.0')).toBe(second.digest)
    // What the server writes keeps what the other tool wrote, and the other way round.
    await skopeo('copy', third.reference, `${target}:3.0`)
    await skopeo('copy', third.reference, `oci:${layout}:1.0`)
    expect(JSON.parse(await skopeo('list-tags', target))).toMatchObject({ Tags: ['1.0', '2.0', '3.0'] })
    expect(await Promise.all(['1.0', '2.0', '3.0'].map(digestAt))).toEqual([third.digest, second.digest, third.digest])
    for (const { tags } of await readLayouts(root)) {
      expect(Object.fromEntries(tags)).toEqual({ '1.0': third.digest, '2.0': second.digest, '3.0': third.digest })
    }

    // A chart that arrives as a directory is a chart like any other.
    await using elsewhere = await openLocalServer(join(dir.path, 'elsewhere'))
    await pushArtifact(elsewhere, 'demo', '1.0.0', await chartArtifact({ name: 'demo', version: '1.0.0' }))
    await mkdir(join(root, 'charts/demo'), { recursive: true })
    await skopeo('copy', `oci:${join(dir.path, 'elsewhere/demo')}:1.0.0`, `oci:${join(root, 'charts/demo')}:1.0.0`)
    await waitFor('the chart', async () => (await server.get('/charts/demo-1.0.0.tgz')).status === 200)
  })
})
