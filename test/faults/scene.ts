/**
 * The product over a fake registry, and what a reader sees of it.
 *
 * Every file name here is one version of a chart: `app-1.0.0.tgz`.
 */

import { expect } from 'bun:test'
import { parse } from 'yaml'
import { digestOf } from '../fakes/fake-chart.ts'
import type { FakeRegistry } from '../fakes/fake-registry.ts'
import type { AddedChart } from '../fakes/fake-store.ts'
import { openServer, type Problem, type Server } from '../stand/server.ts'
import { waitFor } from '../stand/wait-for.ts'

interface IndexEntry {
  readonly name: string
  readonly version: string
  readonly urls: readonly string[]
  readonly digest: string
}

/** The refresh interval of these tests: short, because every one of them waits for a few rounds. */
export const INTERVAL_MS = 500

export interface SceneOptions {
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Nothing is said of the registry or the interval but what is in `args` and `env`. */
  readonly bare?: boolean
}

/**
 * Opens the executable in front of `registry`. It refreshes often unless `args` say otherwise. At disposal its log must
 * have no error: whatever a registry does is a warning at most, an error is a fault of the program.
 */
export async function openServerOver(registry: FakeRegistry, options: SceneOptions = {}): Promise<Server> {
  const { args: given = [], env = {}, bare = false } = options
  const defaults = {
    '--storage-registry-repo': registry.host,
    '--storage-registry-scheme': 'HTTP',
    '--refresh-interval': `${INTERVAL_MS}ms`,
  }
  const absent = Object.entries(bare ? {} : defaults).filter(
    ([flag]) => !given.some((arg) => arg === flag || arg.startsWith(`${flag}=`)),
  )
  const server = await openServer({ args: [...absent.map(([flag, value]) => `${flag}=${value}`), ...given], env })
  return {
    ...server,
    [Symbol.asyncDispose]: async () => {
      await server[Symbol.asyncDispose]()
      expect(server.logLines().filter(({ level }) => level === 'error')).toEqual([])
    },
  }
}

/** The file names of /index.yaml in its order; fails unless the document is a whole one. */
export async function readIndex(server: Server): Promise<string[]> {
  const answer = await server.get('/index.yaml')
  const text = await answer.text()
  expect(answer.status, text).toBe(200)
  return parseIndex(text)
}

function parseIndex(text: string): string[] {
  const document = parse(text, { version: '1.1' }) as { apiVersion: string; entries: Record<string, IndexEntry[]> }
  expect(document.apiVersion).toBe('v1')
  return Object.entries(document.entries).flatMap(([name, versions]) =>
    versions.map((entry) => {
      const fileName = `${entry.name}-${entry.version}.tgz`
      expect(entry.name).toBe(name)
      expect(entry.urls.map((url) => decodeURIComponent(url))).toEqual([`charts/${fileName}`])
      return fileName
    }),
  )
}

/** Waits until the index has exactly these files, in any order. */
export async function waitForIndex(server: Server, files: readonly string[]): Promise<void> {
  const wanted = [...files].sort().join(' ')
  let seen = 'nothing'
  try {
    await waitFor(`the index of ${wanted}`, async () => {
      const answer = await server.get('/index.yaml')
      const text = await answer.text()
      seen = answer.status === 200 ? parseIndex(text).sort().join(' ') : `${answer.status} ${text}`
      return seen === wanted
    })
  } catch (cause) {
    const log = server.logLines().filter(({ msg }) => msg !== 'request')
    const lines = log.map((line) => JSON.stringify(line)).join('\n')
    throw new Error(`The index has ${seen}, wanted ${wanted}; log:\n${lines}`, { cause })
  }
}

/** Waits until a refresh reported a problem of this repository. */
export function waitForProblem(server: Server, repository: string): Promise<Problem> {
  return waitFor(`a problem of ${repository} in /readyz`, async () =>
    (await server.readyz()).refresh.problems.find((problem) => problem.repository === repository),
  )
}

/** Waits until a refresh ended without any problem. */
export async function waitForHealth(server: Server): Promise<void> {
  await waitFor('a refresh without problems', async () => {
    const { refresh } = await server.readyz()
    return refresh.ok && refresh.problems.length === 0
  })
}

/** Waits until a refresh failed as a whole, and returns why. */
export function waitForRefreshError(server: Server): Promise<string> {
  return waitFor('a failed refresh in /readyz', async () => (await server.readyz()).refresh.error)
}

/** Waits for `rounds` more listings of the catalog: whatever a fault does to a refresh has been done by then. */
export async function waitForRounds(registry: FakeRegistry, rounds = 2): Promise<void> {
  const listings = () => registry.count('GET', /^\/v2\/_catalog/)
  const wanted = listings() + rounds
  await waitFor(`${rounds} more listings of the catalog`, () => listings() >= wanted)
}

/** Gets the package and fails unless these are its very bytes. */
export async function expectServed(server: Server, chart: AddedChart): Promise<void> {
  const answer = await server.get(`/charts/${chart.fileName}`)
  const bytes = await answer.bytes()
  expect(answer.status, `${chart.fileName}: ${Buffer.from(bytes).toString('utf8', 0, 200)}`).toBe(200)
  expect(digestOf(bytes)).toBe(chart.chartDigest)
}

/** Gets the package and fails unless the answer is one sentence that says to come again. */
export async function expectUnavailable(server: Server, chart: AddedChart): Promise<void> {
  const answer = await server.get(`/charts/${chart.fileName}`)
  const text = await answer.text()
  expect([502, 504], text).toContain(answer.status)
  expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
  expectSentence(text)
}

/** One plain sentence for a person: no stack, no markup, no path of the server. */
export function expectSentence(text: string): void {
  expect(text.trim()).toMatch(/^[^\n<>{}]{10,300}$/)
  expect(text).not.toMatch(/\bat \S+:\d+|node_modules|\.ts\b|\/tmp\//)
}
