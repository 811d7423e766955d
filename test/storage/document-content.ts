/** Documents of tests: where they come from, and a place for their files. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { limits } from '../../src/limits.ts'
import { DocumentFiles, type DocumentSet, type DocumentSource } from '../../src/storage/document-files.ts'
import { FakeClock } from '../lib/fake-clock.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { captureLog } from '../telemetry/captured-log.ts'

export const NOT_WRITTEN = 'index files cannot be used; the index is kept in memory'
export const WRITTEN_AGAIN = 'index files can be used again'

/** Too large for memory alone. */
export const LARGE = limits.maxSmallDocumentBytes + 1

/** A key: 64 hex digits, other ones for each `seed`. */
export const keyOf = (seed: string): string => Bun.CryptoHasher.hash('sha256', seed, 'hex')

export const sha256 = (bytes: string | Uint8Array): string => Bun.CryptoHasher.hash('sha256', bytes, 'hex')

/** Text of `size` bytes, other one for each `seed`. */
export const fill = (size: number, seed: string): Buffer => Buffer.alloc(size, `${seed} `)

/** `content` in pages as an index is made in. */
export async function* inPages(content: Uint8Array | string, pageBytes = 300_000): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(content)
  for (let at = 0; at < bytes.length; at += pageBytes) {
    yield bytes.subarray(at, at + pageBytes)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

export function sources(
  contents: Readonly<Record<string, Uint8Array | string>>,
): Map<string, DocumentSource> & { readonly calls: number } {
  let calls = 0
  const made = new Map<string, DocumentSource>()
  for (const [name, content] of Object.entries(contents)) {
    made.set(name, () => {
      calls += 1
      return inPages(content)
    })
  }
  return Object.defineProperty(made as typeof made & { readonly calls: number }, 'calls', { get: () => calls })
}

/** The large set of most tests. */
export const largeSet = (seed = 'x') => ({ 'index.yaml': fill(LARGE, seed), 'index.yaml.gz': 'small' })

/** What a set has to be like, in few words. */
export function describeContents(
  contents: Readonly<Record<string, Uint8Array | string>>,
): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(contents).map(([name, content]) => [name, sha256(content)]))
}

/** The digests of what a set has, by name; undefined for what is gone. */
export async function readSet(set: DocumentSet | undefined): Promise<Record<string, string | undefined> | undefined> {
  if (set === undefined) return undefined
  const contents: Record<string, string | undefined> = {}
  for (const [name, document] of set) contents[name] = await hashOf(await document.open())
  return contents
}

async function hashOf(content: Blob | undefined): Promise<string | undefined> {
  return content && sha256(await content.bytes())
}

export async function openDocumentStage() {
  const temp = await openTempDir()
  const parent = join(temp.path, 'cache')
  const dir = join(parent, 'index')
  // Files get the time stamps of the machine, so the clock of the test begins there.
  const clock = new FakeClock({ now: Date.now() })
  const log = captureLog()
  return {
    temp: temp.path,
    parent,
    dir,
    clock,
    log,
    open: () => new DocumentFiles({ dir, clock, log }),
    /** What is in the directory. */
    names: async () => (await readdir(dir).catch(() => [])).sort(),
    [Symbol.asyncDispose]: temp[Symbol.asyncDispose],
  }
}
