/** An embedded registry whose disk is full, cannot be written or is damaged: nothing is lost, and the rest goes on. */
import { describe, expect, test } from 'bun:test'
import { closeSync, openSync, writeSync } from 'node:fs'
import { chmod, mkdir, readdir, readFile, rm, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { digestOf, OCI_MANIFEST_TYPE } from '../stand/charts.ts'
import { runOrThrow } from '../stand/child.ts'
import { readLayouts } from '../stand/image-layouts.ts'
import { need, which } from '../stand/programs.ts'
import type { Server } from '../stand/server.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { waitFor } from '../stand/wait-for.ts'
import { fillUp, openMountedServer, whyNoMounts } from './mounted-server.ts'
import {
  complaintsOf,
  expectChart,
  expectRefusal,
  localArgs,
  openRegistryServer,
  type PushedChart,
  pushChartTo,
  waitForEntry,
  waitForPackage,
} from './registry-scene.ts'

const reason = whyNoMounts()
const nameOf = (name: string): string => (reason === undefined ? name : `skipped: ${reason} — ${name}`)
const testMounted = test.skipIf(reason !== undefined)

/** Everything that writes, each with the repository and the manifest that it would change. */
const writes: readonly [what: string, send: (server: Server, chart: PushedChart) => Promise<Response>][] = [
  ['a blob in one piece', (server, { repository }) => pushBlob(server, repository, new Uint8Array(300_000))],
  ['a small blob', (server, { repository }) => pushBlob(server, repository, new Uint8Array(1))],
  ['a manifest', (server, { repository }) => pushManifest(server, repository, 'new', '{"of":"nobody"}')],
  [
    'a tag',
    async (server, { repository, tag }) => {
      const manifest = await (await server.get(`/v2/${repository}/manifests/${tag}`)).text()
      return await putManifest(server, repository, 'other', manifest)
    },
  ],
  [
    'a mount',
    (server, { repository, layerDigest }) =>
      server.get(`/v2/new/place/blobs/uploads/?mount=${layerDigest}&from=${repository}`, { method: 'POST' }),
  ],
  [
    'the end of a tag',
    (server, { repository, tag }) => server.get(`/v2/${repository}/manifests/${tag}`, { method: 'DELETE' }),
  ],
  [
    'the end of a manifest',
    (server, { repository, digest }) => server.get(`/v2/${repository}/manifests/${digest}`, { method: 'DELETE' }),
  ],
]

function pushBlob(server: Server, repository: string, bytes: Uint8Array<ArrayBuffer>): Promise<Response> {
  return server.get(`/v2/${repository}/blobs/uploads/?digest=${digestOf(bytes)}`, { method: 'POST', body: bytes })
}

function putManifest(server: Server, repository: string, tag: string, body: string): Promise<Response> {
  const headers = { 'content-type': OCI_MANIFEST_TYPE }
  return server.get(`/v2/${repository}/manifests/${tag}`, { method: 'PUT', headers, body })
}

/** Of blobs that need not be there. */
function pushManifest(server: Server, repository: string, tag: string, config: string): Promise<Response> {
  const described = { mediaType: 'application/json', digest: digestOf(config), size: config.length }
  return putManifest(server, repository, tag, JSON.stringify({ schemaVersion: 2, config: described, layers: [] }))
}

describe.concurrent('the disk of a registry', () => {
  testMounted(nameOf('fills up, and has room again later'), async () => {
    await using dir = await openTempDir()
    const [root, cacheDir] = [join(dir.path, 'root'), dir.path]
    await mkdir(root)
    await using server = await openMountedServer('tiny', { cacheDir, mountedOver: root, args: localArgs(root) })
    const chart = await pushChartTo(server, 'team/app')
    await waitForPackage(server, chart)
    const before = await readLayouts(server.mountedDir)
    const filler = join(server.mountedDir, 'filler')
    await fillUp(filler)
    for (const [what, send] of writes) {
      const answer = await send(server, chart)
      expect(Number(answer.headers.get('retry-after')), what).toBeGreaterThan(0)
      await expectRefusal(answer, 503, 'DENIED')
    }
    await expectChart(server, chart)
    await waitForPackage(server, chart)
    await unlink(filler)
    expect(await readLayouts(server.mountedDir)).toEqual(before)
    expect(await readdir(join(server.mountedDir, '.uploads'))).toEqual([])

    const other = await pushChartTo(server, 'team/app', '2.0.0')
    for (const each of [chart, other]) await expectChart(server, each)
    await expectChart(server, await pushChartTo(server, 'new/place'))
    for (const complaint of complaintsOf(server)) expect(complaint).toMatch(/^warn: .*is full \(ENOSPC\)/)
  })

  testMounted(nameOf('fills up in the middle of a blob'), async () => {
    await using dir = await openTempDir()
    const [root, cacheDir] = [join(dir.path, 'root'), dir.path]
    await mkdir(root)
    await using server = await openMountedServer('tiny', { cacheDir, mountedOver: root, args: localArgs(root) })
    const chart = await pushChartTo(server, 'app')
    const begun = await server.get('/v2/app/blobs/uploads/', { method: 'POST' })
    const location = begun.headers.get('location') ?? ''
    // Without a length nobody knows before how much comes.
    const pieces = Array.from({ length: 16 }, () => new Uint8Array(1024 * 1024))
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        const piece = pieces.pop()
        if (piece === undefined) controller.close()
        else controller.enqueue(piece)
      },
    })
    await expectRefusal(await server.get(location, { method: 'PATCH', body }), 503, 'DENIED')
    expect(await readdir(join(server.mountedDir, '.uploads'))).toEqual([])
    await expectRefusal(await server.get(location), 404, 'BLOB_UPLOAD_UNKNOWN')
    const other = (await server.get('/v2/app/blobs/uploads/', { method: 'POST' })).headers.get('location') ?? ''
    const whole = new Uint8Array(16 * 1024 * 1024)
    await expectRefusal(await server.get(other, { method: 'PATCH', body: whole }), 503, 'DENIED')
    // It was refused before a byte of it was read.
    expect((await server.get(other)).headers.get('range')).toBe('0-0')
    expect((await pushBlob(server, 'app', new Uint8Array(4 * 1024 * 1024))).status).toBe(201)
    await expectChart(server, chart)
  })

  testMounted(nameOf('is full at the start, and has room later'), async () => {
    await using dir = await openTempDir()
    const [root, cacheDir] = [join(dir.path, 'root'), dir.path]
    await mkdir(root)
    await using server = await openMountedServer('noFiles', { cacheDir, mountedOver: root, args: localArgs(root) })
    await expectRefusal(await pushBlob(server, 'app', new Uint8Array(10)), 503, 'DENIED')
    const remount = ['mount', '-o', 'remount,size=8m,nr_inodes=1000', root]
    await runOrThrow([need('nsenter'), '-m', '-t', String(server.pid), ...remount])
    await expectChart(server, await pushChartTo(server, 'app'))
    expect(complaintsOf(server)[0]).toStartWith('warn: directory of the registry cannot be written')
    expect(server.logLines().filter(({ msg }) => msg.endsWith('can be written again'))).toHaveLength(1)
  })

  testMounted(nameOf('is read-only'), async () => {
    await using dir = await openTempDir()
    const [root, cacheDir] = [join(dir.path, 'root'), dir.path]
    let chart: PushedChart
    {
      await using server = await openRegistryServer(root)
      chart = await pushChartTo(server, 'team/app')
    }
    const before = (await readdir(root, { recursive: true })).sort()
    await using server = await openMountedServer('readOnly', { cacheDir, mountedOver: root, args: localArgs(root) })
    for (const [, send] of writes) await expectRefusal(await send(server, chart), 500, 'DENIED')
    await expectChart(server, chart)
    await waitForPackage(server, chart)
    expect((await readdir(root, { recursive: true })).sort()).toEqual(before)
    expect(complaintsOf(server)[0]).toStartWith('warn: directory of the registry cannot be written')
    for (const complaint of complaintsOf(server).slice(1)) expect(complaint).toMatch(/^warn: request failed: .*EROFS/)
  })
})

describe.concurrent('a repository of a registry', () => {
  const damages: readonly [what: string, damage: (index: string, text: string) => Promise<void>][] = [
    ['empty', (index) => writeFile(index, '')],
    ['cut off', (index, text) => writeFile(index, text.slice(0, -20))],
    ['no JSON', (index) => writeFile(index, 'password: hunter2\n')],
    ['of another kind', (index) => writeFile(index, '{"schemaVersion":2,"manifests":{}}')],
    ['no object', (index) => writeFile(index, '[]')],
    ['full of strange entries', (index) => writeFile(index, '{"schemaVersion":2,"manifests":[1,null,{}]}')],
  ]
  test.each(damages)('whose index.json is %s says so, and is as it was once that is mended', async (_, damage) => {
    await using dir = await openTempDir()
    await using server = await openRegistryServer(dir.path, { args: ['--refresh-interval=100ms'] })
    const [chart, other] = [await pushChartTo(server, 'team/app'), await pushChartTo(server, 'team/other')]
    for (const each of [chart, other]) await waitForPackage(server, each)
    const index = join(dir.path, 'team/app/index.json')
    const text = await readFile(index, 'utf8')
    await damage(index, text)
    for (const path of ['tags/list', 'manifests/1.0.0', `manifests/${chart.digest}`, `referrers/${chart.digest}`]) {
      await expectRefusal(await server.get(`/v2/team/app/${path}`), 500, 'UNKNOWN')
    }
    await expectRefusal(await pushManifest(server, 'team/app', '2.0.0', '{}'), 500, 'UNKNOWN')
    for (const reference of ['1.0.0', chart.digest]) {
      const answer = await server.get(`/v2/team/app/manifests/${reference}`, { method: 'DELETE' })
      await expectRefusal(answer, 500, 'UNKNOWN')
    }
    expect((await server.get(`/v2/team/app/blobs/${chart.layerDigest}`)).status).toBe(200)
    await waitFor('the damage in /readyz', async () =>
      (await server.readyz()).refresh.problems.find(({ repository }) => repository === 'team/app'),
    )
    // What can still be read stays in the index.
    for (const each of [chart, other]) await waitForPackage(server, each)
    await expectChart(server, other)
    await expectChart(server, await pushChartTo(server, 'team/other', '2.0.0'))
    expect(complaintsOf(server).join('\n')).toMatch(/index\.json (?:is not the index of an OCI|cannot be read)/)
    expect(server.log()).not.toContain('hunter2')

    await rm(index, { recursive: true })
    await writeFile(index, text)
    await expectChart(server, chart)
    await expectChart(server, await pushChartTo(server, 'team/app', '3.0.0'))
    await readLayouts(dir.path)
  })

  test('whose index.json another tool writes in place is read when it is whole', async () => {
    await using dir = await openTempDir()
    await using server = await openRegistryServer(dir.path)
    await pushChartTo(server, 'team/app')
    const index = join(dir.path, 'team/app/index.json')
    const text = await readFile(index, 'utf8')
    const statuses = new Set<number>()
    const read = async () => statuses.add((await server.get('/v2/team/app/tags/list')).status)
    let isWritten = false
    const write = async () => {
      for (let time = 0; time < 300; time++) {
        // Without a turn of the event loop in between, so that no other test holds up the second half.
        const file = openSync(index, 'w')
        for (const letter of text) writeSync(file, letter)
        closeSync(file)
        await read()
      }
      isWritten = true
    }
    const readOn = async () => {
      while (!isWritten) await read()
    }
    await Promise.all([write(), ...Array.from({ length: 8 }, readOn)])
    expect([...statuses]).toEqual([200])
  })

  const isBound = process.getuid?.() === 0 && which('setpriv') === undefined
  const unprivileged = isBound ? 'skipped: setpriv is not installed — ' : ''
  const testUnprivileged = test.skipIf(unprivileged !== '')

  testUnprivileged(`${unprivileged}that cannot be written is served, and the others take pushes`, async () => {
    await using dir = await openTempDir()
    await using server = await openUnprivileged(dir.path)
    const [chart, other] = [await pushChartTo(server, 'team/app'), await pushChartTo(server, 'team/other')]
    const locked = [join(dir.path, 'root/team/app/blobs/sha256'), join(dir.path, 'root/team/app')]
    for (const each of locked) await chmod(each, 0o555)
    for (const [what, send] of writes.filter(([what]) => what !== 'a mount')) {
      const answer = await send(server, chart)
      expect(answer.status, what).toBe(500)
      await expectRefusal(answer, 500, 'DENIED')
    }
    for (const each of [chart, other]) await expectChart(server, each)
    await expectChart(server, await pushChartTo(server, 'team/other', '2.0.0'))
    for (const complaint of complaintsOf(server)) expect(complaint).toMatch(/^warn: request failed: .*EACCES/)
    for (const each of locked) await chmod(each, 0o755)
    await expectChart(server, await pushChartTo(server, 'team/app', '2.0.0'))
    expect(await readdir(join(dir.path, 'root/.uploads'))).toEqual([])
  })

  testUnprivileged(`${unprivileged}that cannot be read says so, and is there again once it can be`, async () => {
    await using dir = await openTempDir()
    await using server = await openUnprivileged(dir.path)
    const [chart, other] = [await pushChartTo(server, 'app'), await pushChartTo(server, 'other')]
    const locked = join(dir.path, 'root/app')
    for (const each of [chart, other]) await waitForEntry(server, each)
    expect(await repositoriesOf(server)).toEqual(['app', 'other'])
    await chmod(locked, 0o000)
    for (const path of ['tags/list', 'manifests/1.0.0', `blobs/${chart.layerDigest}`]) {
      await expectRefusal(await server.get(`/v2/app/${path}`), 500, 'UNKNOWN')
    }
    expect((await server.get(`/v2/app/blobs/${chart.layerDigest}`, { method: 'HEAD' })).status).toBe(500)
    await expectRefusal(await pushBlob(server, 'app', new Uint8Array(10)), 500, 'DENIED')
    await expectChart(server, other)
    await waitFor('the damage in /readyz', async () =>
      (await server.readyz()).refresh.problems.find(({ repository }) => repository === 'app'),
    )
    for (const each of [chart, other]) await waitForEntry(server, each)
    await chmod(locked, 0o755)
    await expectChart(server, chart)
    expect(await repositoriesOf(server)).toEqual(['app', 'other'])
  })

  testUnprivileged(`${unprivileged}with files that cannot be read says so, however large they are`, async () => {
    await using dir = await openTempDir()
    await using server = await openUnprivileged(dir.path)
    for (const size of [1000, 2_000_000, 20_000_000]) {
      const bytes = new Uint8Array(size).fill(7)
      const digest = digestOf(bytes)
      await pushBlob(server, 'app', bytes)
      await chmod(join(dir.path, 'root/app/blobs', digest.replace(':', '/')), 0o000)
      await expectRefusal(await server.get(`/v2/app/blobs/${digest}`), 500, 'UNKNOWN')
    }
    for (const complaint of complaintsOf(server)) expect(complaint).toMatch(/^warn: request failed: .*EACCES/)
  })

  testUnprivileged(`${unprivileged}that cannot be read at the start is there once it can be`, async () => {
    await using dir = await openTempDir()
    const locked = join(dir.path, 'root/app')
    {
      await using server = await openUnprivileged(dir.path)
      for (const name of ['app', 'other']) await pushChartTo(server, name)
    }
    await chmod(locked, 0o000)
    await using server = await openUnprivileged(dir.path)
    expect(await repositoriesOf(server)).toEqual(['other'])
    await chmod(locked, 0o755)
    expect(await repositoriesOf(server)).toEqual(['app', 'other'])
  })
})

/** The catalog. */
async function repositoriesOf(server: Server): Promise<readonly string[]> {
  const { repositories } = (await (await server.get('/v2/_catalog')).json()) as { repositories: string[] }
  return repositories
}

/** The product without the right of root to read and write what is not allowed; its root is `<dir>/root`. */
function openUnprivileged(dir: string): Promise<Server> {
  const rights = '-dac_override,-dac_read_search'
  const dropped = ['setpriv', `--bounding-set=${rights}`, `--inh-caps=${rights}`, '--']
  const args = ['--refresh-interval=100ms']
  return openRegistryServer(join(dir, 'root'), { args, launcher: process.getuid?.() === 0 ? dropped : [] })
}
