/** Names and addresses of packages, and the list item of one version. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { chartFileName, chartUrl, renderEntry, renderUrls } from '../../src/helm/index-entry.ts'
import { awkwardText } from './awkward-text.ts'
import { readYaml, toPairs } from './yaml-reader.ts'

describe('chartUrl', () => {
  test('is relative, and keeps the real + of a version', () => {
    expect(chartUrl('demo', '1.2.3+build.5')).toBe('charts/demo-1.2.3+build.5.tgz')
    expect(chartUrl('a b', '1.0.0')).toBe('charts/a%20b-1.0.0.tgz')
    expect(chartUrl('50%?#', '1.0.0')).toBe('charts/50%25%3F%23-1.0.0.tgz')
  })

  test('leads to the file under any repository address, whatever the name', () => {
    fc.assert(
      fc.property(awkwardText(), (text) => {
        const name = text.toWellFormed().replaceAll('/', '')
        const url = new URL(chartUrl(name, '1.0.0+b'), 'http://host/team/')
        expect(decodeURIComponent(url.pathname)).toBe(`/team/charts/${chartFileName(name, '1.0.0+b')}`)
        expect(url.search + url.hash).toBe('')
      }),
    )
  })
})

describe('renderEntry', () => {
  const plain = { name: 'demo', version: '1.2.3', created: undefined, digest: undefined }

  test('is a list item that the urls close', () => {
    expect(renderEntry(plain) + renderUrls('charts/demo-1.2.3.tgz')).toBe(
      '    - name: demo\n      version: "1.2.3"\n      urls:\n        - charts/demo-1.2.3.tgz\n',
    )
  })

  test('has created and digest last, both quoted', () => {
    const entry = renderEntry({ ...plain, created: '2026-03-01T12:00:00Z', digest: 'a'.repeat(64) })
    expect(entry).toEndWith(`      created: "2026-03-01T12:00:00Z"\n      digest: "${'a'.repeat(64)}"\n`)
  })

  test('does not change when it is rendered again', () => {
    const annotations = Object.fromEntries([
      ['__proto__', 'x'],
      ['1', 'one'],
      ['a', ''],
    ])
    const entry = renderEntry({ ...plain, annotations })
    expect(renderEntry({ ...plain, annotations })).toBe(entry)
    expect(readYaml(entry, '1.1')).toEqual(toPairs([{ name: 'demo', version: '1.2.3', annotations }]))
  })
})
