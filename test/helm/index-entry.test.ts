/** Names and addresses of packages, and the list item of one version. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { chartFileName, chartUrl, renderEntry, renderUrls } from '../../src/helm/index-entry.ts'
import { awkwardText } from './awkward-text.ts'
import { readYaml, toPairs, YAML_VERSIONS } from './yaml-reader.ts'

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
  const close = (entry: ReturnType<typeof renderEntry>, url: string) => ({
    yaml: entry.yaml + renderUrls.yaml(url),
    json: entry.json + renderUrls.json(url),
  })

  test('is an item of a list that the urls close, in both forms', () => {
    expect(close(renderEntry(plain), 'charts/demo-1.2.3.tgz')).toEqual({
      yaml: '    - name: demo\n      version: "1.2.3"\n      urls:\n        - charts/demo-1.2.3.tgz\n',
      json: '{"name":"demo","version":"1.2.3","urls":["charts/demo-1.2.3.tgz"]}',
    })
  })

  test('has created and digest last, both quoted', () => {
    const entry = renderEntry({ ...plain, created: '2026-03-01T12:00:00Z', digest: 'a'.repeat(64) })
    expect(entry.yaml).toEndWith(`      created: "2026-03-01T12:00:00Z"\n      digest: "${'a'.repeat(64)}"\n`)
    expect(entry.json).toEndWith(`,"created":"2026-03-01T12:00:00Z","digest":"${'a'.repeat(64)}"`)
  })

  test('does not change when it is rendered again', () => {
    const annotations = Object.fromEntries([
      ['__proto__', 'x'],
      ['1', 'one'],
      ['a', ''],
    ])
    const entry = renderEntry({ ...plain, annotations })
    expect(renderEntry({ ...plain, annotations })).toEqual(entry)
    const wanted = toPairs({ name: 'demo', version: '1.2.3', annotations })
    expect(readYaml(entry.yaml, '1.1')).toEqual([wanted])
    expect(toPairs(JSON.parse(`${entry.json}}`))).toEqual(wanted)
  })

  test.each([...YAML_VERSIONS])(
    'says the same in both forms to a reader of YAML %s, whatever the address',
    (version) => {
      fc.assert(
        fc.property(awkwardText(), awkwardText(), (description, text) => {
          const url = text.toWellFormed()
          const { yaml, json } = close(renderEntry({ ...plain, description: description.toWellFormed() }), url)
          const wanted = toPairs({ name: 'demo', version: '1.2.3', description, urls: [url] })
          expect(toPairs(JSON.parse(json))).toEqual(wanted)
          expect(readYaml(json, version)).toEqual(wanted)
          expect(readYaml(yaml, version)).toEqual([wanted])
        }),
        { numRuns: 200 },
      )
    },
  )
})
