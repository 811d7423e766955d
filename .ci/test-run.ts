/**
 * `make test`: runs `bun test`, passes its output on as it comes and closes with `N passed, N failed, N skipped`.
 * The counts are the runner's own summary; its JUnit report only names what was skipped, because it leaves out files
 * that could not be loaded. A run without a summary (a test that ended the process) is a failure whatever its exit code.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'

const REPORT = 'dist/test-report.xml'
const COUNTS = 'dist/test-counts.txt'
/** The summary is some ten lines; a failing test may print megabytes before it. */
const TAIL_CHARS = 16_384
/** Time for the last output to arrive after the runner has ended. */
const DRAIN_MS = 2_000

interface Counts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

/** The last summary in `output`, or undefined when the runner did not get as far as one. */
export function parseSummary(output: string): Counts | undefined {
  const plain = Bun.stripANSI(output)
  const end = plain.lastIndexOf('\nRan ')
  if (end === -1) return undefined
  const block = plain.slice(plain.lastIndexOf('\n\n', end) + 1, end)
  const count = (label: string): number => Number(new RegExp(`^ *(\\d+) ${label}`, 'm').exec(block)?.[1] ?? 0)
  return {
    passed: count('pass'),
    failed: Math.max(count('fail'), count('error')),
    skipped: count('skip') + count('todo'),
  }
}

/** The names in the JUnit report that were skipped, as `file: name`. */
export function skippedNames(xml: string): readonly string[] {
  const skipped = /<testcase name="([^"]*)"[^>]* file="([^"]*)"[^>]*>\s*<skipped/g
  return [...xml.matchAll(skipped)].map(([, name, file]) => `${file}: ${unescapeXml(name ?? '')}`)
}

function unescapeXml(text: string): string {
  const named: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }
  return text.replace(/&(?:#(\d+)|(\w+));/g, (whole, code, name) =>
    code === undefined ? (named[name] ?? whole) : String.fromCodePoint(Number(code)),
  )
}

async function runTests(patterns: readonly string[]): Promise<number> {
  mkdirSync('dist', { recursive: true })
  for (const file of [REPORT, COUNTS]) rmSync(file, { force: true })
  const options = ['--timeout', '120000', '--reporter=junit', `--reporter-outfile=${REPORT}`]
  const runner = Bun.spawn([process.execPath, 'test', ...options, ...patterns], {
    stdin: 'ignore',
    stdout: 'inherit',
    stderr: 'pipe',
  })
  process.on('SIGTERM', () => runner.kill('SIGTERM'))

  let tail = ''
  const passOn = async (): Promise<void> => {
    const decoder = new TextDecoder()
    for await (const chunk of runner.stderr) {
      process.stderr.write(chunk)
      tail = (tail + decoder.decode(chunk, { stream: true })).slice(-TAIL_CHARS)
    }
  }
  const passedOn = passOn()
  let exitCode = await runner.exited
  // A process that a test left behind keeps the pipe open; it shall not hold up the report.
  await Promise.race([passedOn, Bun.sleep(DRAIN_MS)])

  const summary = parseSummary(tail)
  if (summary === undefined) console.log(`The test runner stopped before its summary (exit code ${exitCode}).`)
  const counts = summary ?? { passed: 0, failed: 1, skipped: 0 }
  if (counts.failed > 0 && exitCode === 0) exitCode = 1

  if (counts.skipped > 0) {
    const report = existsSync(REPORT) ? readFileSync(REPORT, 'utf8') : ''
    for (const name of skippedNames(report)) console.log(`skipped  ${name}`)
    if (['true', '1'].includes(Bun.env['CI'] ?? '')) {
      console.log('A skipped test is a failure here, because CI is set: install what it needs, or run it elsewhere.')
      if (exitCode === 0) exitCode = 1
    }
  }

  const line = `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`
  writeFileSync(COUNTS, `${line}\n`)
  console.log(line)
  return exitCode
}

if (import.meta.main) process.exit(await runTests(process.argv.slice(2)))
