/**
 * The document /index.yaml is (Helm 4.2 `pkg/repo/v1`, IndexFile).
 *
 * Invariant: the bytes are a function of the records alone. No clock, no map order, no host name goes in: consumers
 * take the hash of the bytes as the repository's revision, and replicas must agree on it.
 */

import type { ChartRecord } from './chart-record.ts'
import { chartUrl, renderUrls } from './index-entry.ts'
import { type ChartVersion, compareText, compareVersions, tryParseVersion } from './version.ts'
import { renderScalar } from './yaml-writer.ts'

export interface IndexDocument {
  /** As a Blob, which a server sends without copying. */
  readonly body: Blob
  /** Strong, in quotes: the SHA-256 of the body. */
  readonly etag: string
  readonly charts: number
  readonly versions: number
}

/** Renders the index of `records`, in which each name and version occurs once. */
export function renderIndex(records: Iterable<ChartRecord>): IndexDocument {
  const byName = Map.groupBy(records, (record) => record.name)
  const parts: string[] = ['apiVersion: v1\n', byName.size === 0 ? 'entries: {}\n' : 'entries:\n']
  let newest: string | undefined
  let versions = 0
  for (const name of [...byName.keys()].sort(compareText)) {
    parts.push(`  ${renderScalar(name)}:\n`)
    for (const record of sortVersions(byName.get(name) ?? [])) {
      parts.push(record.entry, renderUrls(chartUrl(record.name, record.version)))
      if (record.created !== undefined && isNewer(record.created, newest)) newest = record.created
      versions += 1
    }
  }
  if (newest !== undefined) parts.push(`generated: "${newest}"\n`)
  // helm cm-push reads the prefix of the upload route from here.
  parts.push('serverInfo:\n  contextPath: ""\n')
  const bytes = Buffer.from(parts.join(''))
  const etag = `"${Bun.CryptoHasher.hash('sha256', bytes, 'hex')}"`
  return { body: new Blob([bytes]), etag, charts: byName.size, versions }
}

function isNewer(created: string, than: string | undefined): boolean {
  return than === undefined || Date.parse(created) > Date.parse(than)
}

/** Newest first; equal versions (they differ in build metadata alone) by creation, then by their text. */
export function sortVersions(records: readonly ChartRecord[]): ChartRecord[] {
  const keyed = records.map((record) => ({
    record,
    version: parse(record),
    created: Date.parse(record.created ?? '') || 0,
  }))
  keyed.sort(
    (a, b) =>
      compareVersions(b.version, a.version) || b.created - a.created || compareText(b.record.version, a.record.version),
  )
  return keyed.map(({ record }) => record)
}

function parse(record: ChartRecord): ChartVersion {
  const version = tryParseVersion(record.version)
  if (version === undefined)
    throw new TypeError(`A record of ${record.name} has the version ${record.version}, which is no SemVer`)
  return version
}
