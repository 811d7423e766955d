/**
 * One version in index.yaml (Helm 4.2 `pkg/repo/v1`, ChartVersion): rendered once per record in each form, placed when
 * indexes are made.
 */

import type { ChartMetadata } from './chart-metadata.ts'
import { renderJson, renderMapping, renderScalar } from './yaml-writer.ts'

export type IndexFormat = 'yaml' | 'json'

/** Goes up when the same metadata makes other bytes than before, or more of it is taken: entries are kept. */
export const ENTRY_VERSION = 1

/**
 * A version without its `urls`, ready to be placed:
 *
 *         - name: demo                        {"name":"demo","version":"1.2.3"
 *           version: "1.2.3"
 */
export type IndexEntry = Readonly<Record<IndexFormat, string>>

/** Of an item of `entries.<name>`. */
const INDENT = '      '

export function renderEntry(
  entry: ChartMetadata & { readonly created: string | undefined; readonly digest: string | undefined },
): IndexEntry {
  const { created, digest, ...metadata } = entry
  const yaml = `    - ${renderMapping({ ...metadata, created, digest: undefined }, INDENT).slice(INDENT.length)}${
    // Quoted even where it looks like a word: a digest of digits alone is a number to every reader.
    digest === undefined ? '' : `${INDENT}digest: "${digest}"\n`
  }`
  // Helm before 3.13 reads this as YAML too.
  const json = renderJson({ ...metadata, created, digest }).slice(0, -1)
  return { yaml, json }
}

/** What closes an entry: its `urls`, with the one address of the package. */
export const renderUrls = {
  yaml: (url: string) => `${INDENT}urls:\n${INDENT}  - ${renderScalar(url)}\n`,
  json: (url: string) => `,"urls":[${renderJson(url)}]}`,
} as const satisfies Record<IndexFormat, (url: string) => string>

/**
 * `name-version.tgz`, the last segment of a package's address. Clients save the package under it and provenance files
 * repeat it, so it has the version's real `+`.
 */
export function chartFileName(name: string, version: string): string {
  return `${name}-${version}.tgz`
}

/** The address of a package relative to the repository, as Helm resolves it: `charts/demo-1.2.3+build.tgz`. */
export function chartUrl(name: string, version: string): string {
  return `charts/${encodeURIComponent(chartFileName(name, version)).replaceAll('%2B', '+')}`
}
