/** One version in index.yaml (Helm 4.2 `pkg/repo/v1`, ChartVersion): rendered once per record, placed when indexes are made. */

import type { ChartMetadata } from './chart-metadata.ts'
import { renderMapping, renderScalar } from './yaml-writer.ts'

/** Of an item of `entries.<name>`. */
const INDENT = '      '

/**
 * The list item of one version without its `urls`:
 *
 *         - name: demo
 *           version: "1.2.3"
 *           …
 */
export function renderEntry(
  entry: ChartMetadata & { readonly created: string | undefined; readonly digest: string | undefined },
): string {
  const { created, digest, ...metadata } = entry
  return `    - ${renderMapping({ ...metadata, created, digest: undefined }, INDENT).slice(INDENT.length)}${
    // Quoted even where it looks like a word: a digest of digits alone is a number to every reader.
    digest === undefined ? '' : `${INDENT}digest: "${digest}"\n`
  }`
}

/** The `urls` that close an entry, with the one address of the package. */
export function renderUrls(url: string): string {
  return `${INDENT}urls:\n${INDENT}  - ${renderScalar(url)}\n`
}

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
