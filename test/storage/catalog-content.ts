/** What tests put into a catalog, and a place for its file. */
import { Database } from 'bun:sqlite'
import { spyOn } from 'bun:test'
import { join } from 'node:path'
import type { ChartRecord, ManifestRecord } from '../../src/helm/chart-record.ts'
import type { IndexEntry } from '../../src/helm/index-entry.ts'
import { limits } from '../../src/limits.ts'
import { type Digest, digestBytes } from '../../src/oci/digest.ts'
import { CatalogFile, type SavedListing } from '../../src/storage/catalog-file.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { captureLog } from '../telemetry/captured-log.ts'

export const NOTHING_STORED = { listedAt: undefined, repositories: new Map(), records: new Map() }

export const REBUILT = 'catalog file is damaged or not of this version; it is set aside and rebuilt'
export const IN_MEMORY = 'catalog file cannot be used; the catalog is kept in memory'
export const READ_ONLY = 'catalog file cannot be used; the catalog is read, and what is new kept in memory'
export const NOT_READ = 'catalog file cannot be read; what it had is fetched again'
export const NOT_WRITTEN = 'catalog file cannot be written; a restart begins further back'
export const WRITTEN_AGAIN = 'catalog file can be written again'

export const digest = (text: string): Digest => digestBytes(Buffer.from(text))
export const skipped = (reason: string): ManifestRecord => ({ kind: 'skipped', reason })

/** The chart whose manifest is called `digest(name)`, unless it is said to be another one's. */
export function chart(name: string, { manifest = digest(name) }: { readonly manifest?: Digest } = {}): ChartRecord {
  const layer = { digest: digest(`package of ${name}`), size: name.length }
  return {
    kind: 'chart',
    name,
    version: '1.0.0',
    created: '2026-03-01T12:00:00Z',
    chart: layer,
    provenance: undefined,
    manifest,
  }
}

export const entry = (name: string): IndexEntry => ({ yaml: `- name: ${name}\n`, json: `{"name":"${name}"` })

export type Tags = Readonly<Record<string, Digest | null | undefined>>

/** Differences between two listings, by repository and tag; undefined for what is gone. */
export function changes(repositories: Readonly<Record<string, Tags>>): SavedListing['changes'] {
  return new Map(Object.entries(repositories).map(([name, tags]) => [name, new Map(Object.entries(tags))]))
}

export function first(listedAt: number, repositories: Readonly<Record<string, Tags>> = {}): SavedListing {
  return { listedAt, changes: changes(repositories), isFirst: true }
}

export function later(listedAt: number, repositories: Readonly<Record<string, Tags>> = {}): SavedListing {
  return { listedAt, changes: changes(repositories), isFirst: false }
}

/** From here on time flies: after each row that is written others have their turn. */
export function stopAfterEachRow(): Disposable {
  let now = 0
  const watch = spyOn(performance, 'now').mockImplementation(() => {
    now += limits.maxSliceMs
    return now
  })
  return { [Symbol.dispose]: () => watch.mockRestore() }
}

/** Changes a catalog behind the back of the program. */
export function alter(path: string, sql: string): void {
  using db = new Database(path, { readwrite: true })
  db.run('PRAGMA busy_timeout = 2000')
  db.run(sql)
}

export async function openCatalogStage() {
  const temp = await openTempDir()
  const path = join(temp.path, 'cache', 'catalog.sqlite')
  const log = captureLog()
  const open = () => CatalogFile.open(path, log)
  return {
    dir: temp.path,
    path,
    log,
    open,
    /** What the next start finds. */
    reopen: () => {
      const { catalog, stored } = open()
      catalog.close()
      return stored
    },
    [Symbol.asyncDispose]: temp[Symbol.asyncDispose],
  }
}

/** A catalog with one chart, one record that is none and one listing. */
export async function openFilledStage() {
  const stage = await openCatalogStage()
  const { catalog } = stage.open()
  catalog.saveRecord(digest('demo'), chart('demo'), entry('demo'))
  catalog.saveRecord(digest('image'), skipped('it is an image'))
  await catalog.saveListing(first(1_700_000_000_000, { 'team/demo': { '1.0.0': digest('demo'), 'x.sig': null } }))
  catalog.close()
  return stage
}
