/** What is said of an index that is published: once, and again only after it had ceased to hold. */
import { describe, expect, test } from 'bun:test'
import { limits } from '../../src/limits.ts'
import { PublishedWarnings } from '../../src/repository/published-warnings.ts'
import type { Collision } from '../../src/repository/snapshot.ts'
import { captureLog } from '../telemetry/captured-log.ts'

function openWarnings() {
  const log = captureLog()
  const warnings = new PublishedWarnings(log)
  let said = 0
  return {
    log,
    /** What is said of an index with these collisions, of this size. */
    report: (collisions: readonly Collision[], plainBytes = 1) => {
      warnings.report({ collisions }, { plainBytes })
      const lines = log.lines.slice(said)
      said = log.lines.length
      return lines.map(({ level, fields }) => {
        expect(level).toBe('warn')
        return fields
      })
    },
  }
}

const collision = (repository: string, hiddenRepository: string, version: string): Collision => ({
  file: `demo-${version}.tgz`,
  repository,
  hiddenRepository,
})

describe('files that two repositories have', () => {
  test('are one line for each pair of repositories, with an example and how many others', () => {
    const { report, log } = openWarnings()
    const versions = Array.from({ length: 1000 }, (_, i) => `1.0.${i}`)
    const all = versions.flatMap((version) => [collision('a', 'b', version), collision('a', 'c', version)])
    expect(report([...all, collision('b', 'c', '2.0.0')])).toEqual([
      { served: 'a', hidden: 'b', file: 'demo-1.0.0.tgz', others: 999 },
      { served: 'a', hidden: 'c', file: 'demo-1.0.0.tgz', others: 999 },
      { served: 'b', hidden: 'c', file: 'demo-2.0.0.tgz', others: 0 },
    ])
    expect(new Set(log.messages())).toEqual(
      new Set(['two repositories have charts with the same file names; the first in lexical order is served']),
    )
  })

  test('are said once of a pair, whichever files they are, until there are none', () => {
    const { report } = openWarnings()
    expect(report([collision('a', 'b', '1.0.0')])).toHaveLength(1)
    expect(report([collision('a', 'b', '1.0.0')])).toEqual([])
    expect(report([collision('a', 'b', '2.0.0'), collision('a', 'b', '3.0.0')])).toEqual([])
    expect(report([collision('b', 'a', '2.0.0')])).toHaveLength(1)
    expect(report([])).toEqual([])
    expect(report([collision('a', 'b', '1.0.0')])).toHaveLength(1)
  })
})

describe('the size of an index', () => {
  const [rancher, flux] = limits.consumerBounds
  const ofRancher = (bytes: number) => ({ bytes, consumer: 'Rancher', takes: 5 * 1024 * 1024 })
  const ofFlux = (bytes: number) => ({ bytes, consumer: 'Flux', takes: 50 * 1024 * 1024 })

  test('is said for each consumer that does not take it', () => {
    const { report, log } = openWarnings()
    expect(report([], rancher.bytes)).toEqual([])
    expect(report([], rancher.bytes + 1)).toEqual([ofRancher(rancher.bytes + 1)])
    expect(report([], flux.bytes + 1)).toEqual([ofFlux(flux.bytes + 1)])
    expect(log.messages()[0]).toBe('index is larger than some consumers take; --index-versions makes it smaller')
    expect(openWarnings().report([], flux.bytes * 2)).toEqual([ofRancher(flux.bytes * 2), ofFlux(flux.bytes * 2)])
  })

  test('is said once, until it was taken again', () => {
    const { report } = openWarnings()
    for (const more of [1, 2, 3]) expect(report([], rancher.bytes + more)).toHaveLength(more === 1 ? 1 : 0)
    expect(report([], rancher.bytes)).toEqual([])
    expect(report([], rancher.bytes + 1)).toHaveLength(1)
  })
})
