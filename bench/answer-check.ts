/** No figure is printed for a wrong answer. */
import { parse } from 'yaml'

/** @throws when the index lacks versions or has others. Counts lines where reading 20 MB of YAML would take a minute. */
export function checkIndex(text: string, versions: number): void {
  const count = text.startsWith('{') ? countJson(text) : text.length < 4_000_000 ? countYaml(text) : countLines(text)
  if (count !== versions) throw new Error(`The index has ${count} versions, the registry ${versions}`)
}

function countJson(text: string): number {
  return countEntries(JSON.parse(text))
}

function countYaml(text: string): number {
  return countEntries(parse(text))
}

function countEntries(index: unknown): number {
  return Object.values((index as { entries: Record<string, unknown[]> }).entries).flat().length
}

/** Each version has one file. */
function countLines(text: string): number {
  return text.match(/^ *- "?[^\n]*\.tgz"?$/gm)?.length ?? 0
}
