/** The product as the registry itself, what clients push to it, and what it answers when something is wrong. */
import { expect } from 'bun:test'
import { chartArtifact, digestOf, type PushTarget, pushArtifact } from '../stand/charts.ts'
import { openServer, type Server, type ServerOptions } from '../stand/server.ts'
import { SPEC_CODES } from '../stand/spec-codes.ts'
import { waitFor } from '../stand/wait-for.ts'

/** And CNCF distribution's word for what the spec has none for. */
const OCI_CODES = [...SPEC_CODES, 'UNKNOWN'] as const
export type OciCode = (typeof OCI_CODES)[number]

export const localArgs = (root: string) => ['--storage=local', `--storage-local-rootdir=${root}`]

/** At disposal its log must have no error: whatever clients and disks do is a warning at most. */
export async function openRegistryServer(
  root: string,
  { args = [], launcher = [] }: Pick<ServerOptions, 'args' | 'launcher'> = {},
): Promise<Server> {
  const server = await openServer({ args: [...localArgs(root), ...args], launcher })
  return {
    ...server,
    [Symbol.asyncDispose]: async () => {
      await server[Symbol.asyncDispose]()
      expect(server.logLines().filter(({ level }) => level === 'error')).toEqual([])
    },
  }
}

export const targetOf = (server: Server): PushTarget => ({ origin: server.url, fetch: server.get })

/** A chart of one version in a repository of its name, and what became of it. */
export interface PushedChart {
  readonly repository: string
  readonly tag: string
  readonly digest: string
  readonly layerDigest: string
}

export async function pushChartTo(server: Server, repository: string, version = '1.0.0'): Promise<PushedChart> {
  const name = repository.split('/').at(-1) ?? ''
  const artifact = await chartArtifact({ name, version, description: `of ${repository}` })
  const { digest } = await pushArtifact(targetOf(server), repository, version, artifact)
  return { repository, tag: version, digest, layerDigest: digestOf(artifact.layers[0]?.bytes ?? '') }
}

/** Fails unless all of it is handed out. */
export async function expectChart(
  server: Server,
  { repository, tag, digest, layerDigest }: PushedChart,
): Promise<void> {
  for (const path of [`manifests/${tag}`, `manifests/${digest}`, `blobs/${layerDigest}`]) {
    const answer = await server.get(`/v2/${repository}/${path}`)
    const bytes = await answer.bytes()
    expect(answer.status, `${repository}/${path}: ${Buffer.from(bytes).toString('utf8', 0, 200)}`).toBe(200)
    expect(digestOf(bytes)).toBe(path.startsWith('blobs/') ? layerDigest : digest)
  }
  const tags = await server.get(`/v2/${repository}/tags/list`)
  expect((await tags.json()) as unknown).toMatchObject({ tags: expect.arrayContaining([tag]) })
}

/** Waits until the chart is in the index and its package is handed out. */
export async function waitForPackage(server: Server, chart: PushedChart): Promise<void> {
  const name = chart.repository.split('/').at(-1)
  await waitFor(`the package of ${name}`, async () => {
    const answer = await server.get(`/charts/${name}-${chart.tag}.tgz`)
    return answer.status === 200 && digestOf(await answer.bytes()) === chart.layerDigest
  })
}

/** Waits until the chart is in the index. */
export async function waitForEntry(server: Server, { layerDigest }: PushedChart): Promise<void> {
  await waitFor(`${layerDigest} in the index`, async () =>
    (await (await server.get('/index.yaml')).text()).includes(layerDigest.slice('sha256:'.length)),
  )
}

export async function expectRefusal(
  answer: Pick<Response, 'status' | 'headers' | 'text'>,
  status: number,
  code: OciCode,
): Promise<void> {
  const text = await answer.text()
  expect({ status: answer.status, type: answer.headers.get('content-type'), text }).toMatchObject({
    status,
    type: expect.stringContaining('application/json'),
  })
  expectErrorDocument(text, code)
}

/** Fails unless this is an error document of this code, with a sentence for a person in it and nothing of the server. */
export function expectErrorDocument(text: string, code: OciCode): void {
  const { errors } = JSON.parse(text) as { errors: { code: string; message: string }[] }
  expect(errors.map((error) => error.code)).toEqual([code])
  for (const { message } of errors) {
    expect(message).toMatch(/^[^\n<>{}]{10,300}$/)
    expect(message).not.toMatch(/\bat \S+:\d+|node_modules|\.ts\b|\/tmp\/|\.uploads|E[A-Z]{4,}/)
  }
}

/** The warnings there were, with their reasons. */
export function complaintsOf(server: Server): string[] {
  return server
    .logLines()
    .filter(({ level }) => level !== 'info')
    .map(({ level, msg, error }) => `${level}: ${msg}: ${String(error)}`)
}
