/** Starts of the executable that must fail, and what they have to say. */

import { expect } from 'bun:test'
import { type Finished, openChild } from '../stand/child.ts'
import { buildExecutable } from '../stand/executable.ts'
import { findSecrets } from '../stand/secrets.ts'
import { openTempDir } from '../stand/temp-dir.ts'

/** What every start needs, so that the option at hand is the only fault. */
export const good = ['--storage-registry-repo=127.0.0.1:9', '--port=0', '--listen-host=127.0.0.1']

/** A bad start ends in well under a second; one that did not end by then is serving. */
const START_MS = 10_000

/** Runs the executable in an empty directory. One that starts to serve instead of failing is stopped: exit code 0. */
export async function run(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Finished> {
  await using dir = await openTempDir()
  const options = { cwd: dir.path, env: { HOME: dir.path, ...env } }
  await using child = openChild([await buildExecutable(), ...args], options)
  const late = setTimeout(() => child.kill('SIGTERM'), START_MS)
  const code = await child.exited
  clearTimeout(late)
  return { code, stdout: child.stdout(), stderr: child.stderr() }
}

/** Exit 2 and, on stderr alone, one line for each of `faults`, which it matches. */
export function expectFaults(finished: Finished, faults: readonly RegExp[]): void {
  const { code, stdout, stderr } = finished
  expect(findSecrets(stdout + stderr)).toEqual([])
  expect([code, stdout], stderr).toEqual([2, ''])
  const lines = stderr.trimEnd().split('\n')
  expect(lines.length, stderr).toBe(faults.length)
  for (const line of lines) {
    expect(line).toStartWith('oci-chartrepo: ')
    expect(line).not.toMatch(/^\s+at |\bat .*:\d+:\d+|\.ts\b|\$bunfs|\[object|undefined|NaN/)
    expect(line.length).toBeLessThan(400)
  }
  for (const fault of faults) expect(stderr).toMatch(fault)
}
