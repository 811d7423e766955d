/** The line `make test` closes with: counted from what the runner said, and never kinder than it. */
import { describe, expect, test } from 'bun:test'
import { parseSummary, skippedNames } from '../../.ci/test-run.ts'

describe('parseSummary', () => {
  test('counts tests to do as skipped', () => {
    const output =
      '(pass) a\n\n 3 pass\n 1 skip\n 2 todo\n 0 fail\n 9 expect() calls\nRan 6 tests across 2 files. [12.00ms]\n'
    expect(parseSummary(output)).toEqual({ passed: 3, failed: 0, skipped: 3 })
  })

  test('counts a file that could not be loaded as failed', () => {
    const output = 'error: Cannot find module\n\n 3 pass\n 2 fail\n 1 error\nRan 5 tests across 2 files. [12.00ms]\n'
    expect(parseSummary(output)).toEqual({ passed: 3, failed: 2, skipped: 0 })
    expect(parseSummary('\n\n 3 pass\n 0 fail\n 1 error\nRan 3 tests across 2 files. [1ms]\n')?.failed).toBe(1)
  })

  test('believes the last summary only, without its colours', () => {
    const printed = '\n\n 99 pass\n 0 fail\nRan 99 tests across 1 file. [1ms]\n'
    const own = '\n\n \u001b[32m1 pass\u001b[0m\n \u001b[31m2 fail\u001b[0m\nRan 3 tests across 1 file. [1ms]\n'
    expect(parseSummary(printed + own)).toEqual({ passed: 1, failed: 2, skipped: 0 })
  })

  test('is undefined when a test ended the run', () => {
    expect(parseSummary('bun test v1\n\nx.test.ts:\n')).toBeUndefined()
  })
})

test('skippedNames reads the names of the JUnit report', () => {
  const xml = [
    '<testcase name="runs" classname="" time="0.1" file="test/a.test.ts" line="2" assertions="1" />',
    '<testcase name="skipped: gpg is not installed — says &quot;a &lt; b&quot;" file="test/a.test.ts" line="3">',
    '  <skipped />',
    '</testcase>',
  ].join('\n')
  expect(skippedNames(xml)).toEqual(['test/a.test.ts: skipped: gpg is not installed — says "a < b"'])
})
