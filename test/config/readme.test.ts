/** The table of options in README.md is the one of src/config/options.ts, so that neither drifts. */
import { expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type OptionSpec, optionNames, options } from '../../src/config/options.ts'

const README = readFileSync(join(import.meta.dir, '..', '..', 'README.md'), 'utf8')

interface Row {
  /** The texts between backticks in the first column. */
  readonly flags: readonly string[]
  readonly defaultCell: string
  readonly meaning: string
}

function readTable(): readonly Row[] {
  const [, table = ''] = /^\| option \| default \|.*\n\|[-| ]+\|\n((?:\|.*\n)+)/m.exec(README) ?? []
  return table
    .trimEnd()
    .split('\n')
    .map((line) => {
      const [, option = '', defaultCell = '', meaning = ''] = line.split(/(?<!\\)\|/).map((cell) => cell.trim())
      return { flags: [...option.matchAll(/`([^`]+)`/g)].map(([, flag = '']) => flag), defaultCell, meaning }
    })
}

test('README.md names exactly the options there are, in their order', () => {
  const flags = readTable().flatMap((row) => row.flags)
  expect(flags).toEqual([...optionNames.map((name) => `--${name}`), '--help', '--version'])
})

test.each([...optionNames])('README.md says what --%s is without being given', (name) => {
  const spec: OptionSpec = options[name]
  const row = readTable().find(({ flags }) => flags.includes(`--${name}`))
  const given = row?.defaultCell.replaceAll('`', '') ?? ''
  expect(row?.meaning).not.toBe('')
  // Where the default is no fixed text, README.md may say it at more length than --help.
  if (spec.default !== undefined) expect(given).toBe(spec.default)
  else if (spec.defaultHelp !== undefined) expect(given).not.toBe('')
})

test('README.md uses no flag that is no option', () => {
  const ours = /(?:oci-chartrepo|oci-chart-registry|ARGS=|`)[^\n`]*/g
  const used = [...README.matchAll(ours)].flatMap(([text]) => [
    ...text.matchAll(/--(storage|cache|refresh|revalidate|log|listen|index|chart|serve)[a-z-]*/g),
  ])
  const known = new Set(optionNames.map((name) => `--${name}`))
  expect(used.length).toBeGreaterThan(0)
  expect(used.map(([flag]) => flag).filter((flag) => !known.has(flag))).toEqual([])
})
