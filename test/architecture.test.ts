/** The rules of the tree: which layer may import which, what modules may not do, and how files are called. */
import { describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'

const ROOT = join(import.meta.dir, '..')

/** Top to bottom; a module imports from its own row or a lower one. */
const LAYERS = [
  ['main.ts'],
  ['compose.ts'],
  ['config'],
  ['http'],
  ['ui'],
  ['repository'],
  ['upstream', 'storage'],
  ['helm'],
  ['oci'],
  ['telemetry'],
  ['lib'],
  ['errors.ts', 'limits.ts', 'production.ts'],
] as const
/** Only compose.ts and main.ts know which backend stands behind a port. */
const BACKENDS = ['upstream', 'storage']
/** Options are made of names and texts; what they configure is none of their business. */
const CONFIG_IMPORTS = ['config', 'oci', 'telemetry', 'lib', 'errors.ts', 'limits.ts']
/** Test folders that mirror no layer. */
const TEST_KINDS = ['charts', 'conformance', 'fakes', 'faults', 'packaging', 'stand', 'system']
const EMPTY_NAMES = ['common', 'helpers', 'index', 'misc', 'types', 'utils']

type Sources = Readonly<Record<string, string>>
const IMPORT =
  /^(?:import|export)\s+(?:type\s+)?(?:[\w$]+\s*,?\s*)?(?:\{[^}]*\}|\*(?:\s+as\s+[\w$]+)?)?\s*(?:from\s+)?'([^']+)'|\bimport\(\s*'([^']+)'/gm

function filesUnder(folder: string): string[] {
  return [...new Bun.Glob('**/*').scanSync({ cwd: join(ROOT, folder) })].map((file) => posix.join(folder, file)).sort()
}

function readSources(): Sources {
  const files = filesUnder('src').filter((file) => file.endsWith('.ts'))
  return Object.fromEntries(files.map((file) => [file, readFileSync(join(ROOT, file), 'utf8')]))
}

/** The modules of src that `file` imports, type-only imports among them. */
function importsOf(file: string, code: string): string[] {
  const names = [...code.matchAll(IMPORT)].map(([, fixed, dynamic]) => fixed ?? dynamic ?? '')
  return names.filter((name) => name.startsWith('.')).map((name) => posix.join(dirname(file), name))
}

const partOf = (file: string): string => file.split('/')[1] ?? ''
const rowOf = (file: string): number => LAYERS.findIndex((row) => row.some((part) => part === partOf(file)))

function directionFaults(sources: Sources): string[] {
  return Object.entries(sources).flatMap(([file, code]) => {
    if (rowOf(file) === -1) return [`${file} belongs to no layer of the design`]
    return importsOf(file, code).flatMap((target) => {
      const said = `${file} imports ${target}`
      if (!target.startsWith('src/'))
        return target === 'package.json' ? [] : [`${said}: src imports nothing outside src`]
      if (rowOf(target) < rowOf(file)) return [`${said}: ${partOf(file)} is below ${partOf(target)}`]
      if (partOf(file) === 'config' && !CONFIG_IMPORTS.includes(partOf(target))) return [`${said}: config may not`]
      const crosses = BACKENDS.includes(partOf(target)) && partOf(target) !== partOf(file)
      if (crosses && rowOf(file) > 1) return [`${said}: only compose.ts and main.ts know a backend`]
      return []
    })
  })
}

function cycles(sources: Sources): string[] {
  const done = new Set<string>()
  const found: string[] = []
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) found.push([...path.slice(path.indexOf(file)), file].join(' imports '))
    if (path.includes(file) || done.has(file)) return
    for (const target of importsOf(file, sources[file] ?? '')) visit(target, [...path, file])
    done.add(file)
  }
  for (const file of Object.keys(sources)) visit(file, [])
  return found
}

function moduleFaults(sources: Sources): string[] {
  return Object.entries(sources).flatMap(([file, code]) => {
    const faults: string[] = []
    const isCode = (line: string): boolean => !/^\s*(?:\/?\*|\/\/)/.test(line)
    const lines = code.split('\n').filter(isCode)
    const touchesProcess = lines.some((line) => /(?<![\w.'])process[.[?]|from '(?:node:)?process'/.test(line))
    if (touchesProcess && file !== 'src/main.ts') faults.push(`${file} touches \`process\`: only src/main.ts does`)
    if (/^export default\b|^export \{[^}]*\bas default\b/m.test(code)) faults.push(`${file} has a default export`)
    return faults
  })
}

describe('architecture', () => {
  const sources = readSources()

  test('a module imports from its own layer or a lower one, and only compose knows the backends', () => {
    expect(directionFaults(sources)).toEqual([])
  })

  test('no module imports itself by way of others', () => {
    expect(cycles(sources)).toEqual([])
  })

  test('only main.ts touches the process, and nothing is exported as default', () => {
    expect(moduleFaults(sources)).toEqual([])
  })

  test('files are named by what they own, and tests mirror the layers under test/', () => {
    const files = [...filesUnder('src'), ...filesUnder('test')]
    expect(files.filter((file) => EMPTY_NAMES.includes(posix.basename(file).split('.')[0] ?? ''))).toEqual([])
    expect(filesUnder('src').filter((file) => /\.test\.ts$/.test(file))).toEqual([])
    const folders = filesUnder('test').flatMap((file) => (file.split('/').length > 2 ? [partOf(file)] : []))
    const known: readonly string[] = [...TEST_KINDS, ...LAYERS.flat()]
    expect([...new Set(folders)].filter((folder) => !known.includes(folder))).toEqual([])
  })

  test('every module can be imported on its own, and is seen by the coverage report', async () => {
    // Importing main.ts would start the server.
    for (const file of Object.keys(sources)) if (file !== 'src/main.ts') await import(join(ROOT, file))
  })

  test('the rules see what they forbid', () => {
    const bad: Sources = {
      'src/oci/digest.ts': "import type { Entry } from '../helm/entry.ts'\nexport default process.env\n",
      'src/helm/entry.ts': "import {\n  parse,\n} from '../oci/digest.ts'\nexport * from '../../test/x.ts'\n",
      'src/repository/refresh.ts': "// process.env is not ours\nconst store = await import('../storage/blobs.ts')\n",
      'src/storage/blobs.ts': "import '../upstream/client.ts'\nimport { parse } from '../oci/digest.ts'\n",
      'src/extra/thing.ts': '',
    }
    expect(directionFaults(bad)).toEqual([
      'src/oci/digest.ts imports src/helm/entry.ts: oci is below helm',
      'src/helm/entry.ts imports test/x.ts: src imports nothing outside src',
      'src/repository/refresh.ts imports src/storage/blobs.ts: only compose.ts and main.ts know a backend',
      'src/storage/blobs.ts imports src/upstream/client.ts: only compose.ts and main.ts know a backend',
      'src/extra/thing.ts belongs to no layer of the design',
    ])
    expect(cycles(bad)).toEqual(['src/oci/digest.ts imports src/helm/entry.ts imports src/oci/digest.ts'])
    expect(moduleFaults(bad)).toEqual([
      'src/oci/digest.ts touches `process`: only src/main.ts does',
      'src/oci/digest.ts has a default export',
    ])
  })
})
