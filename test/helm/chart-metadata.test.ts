/** What of a config blob is used: known fields of the right type, and the names of all that is left out. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { cleanMetadata, isChartName } from '../../src/helm/chart-metadata.ts'
import { limits } from '../../src/limits.ts'
import { awkwardJson, awkwardMap, awkwardText } from './awkward-text.ts'

const least = { name: 'demo', version: '1.2.3' }

/** The metadata and what was dropped; @throws with the reason when it is no chart's. */
function clean(config: unknown) {
  const cleaned = cleanMetadata(config)
  if ('fault' in cleaned) throw new Error(cleaned.fault)
  return { metadata: cleaned.metadata as Record<string, unknown>, dropped: [...cleaned.dropped].sort() }
}

function nested(depth: number): unknown {
  let value: unknown = 'x'
  for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { a: value }
  return value
}

const everything = {
  name: 'demo',
  home: 'https://example.com',
  sources: ['https://example.com/src'],
  version: '1.2.3',
  description: 'A chart.',
  keywords: ['a', 'b'],
  maintainers: [{ name: 'A', email: 'a@example.com', url: 'https://example.com/a' }],
  icon: 'https://example.com/icon.png',
  apiVersion: 'v2',
  condition: 'a.enabled',
  tags: 'x,y',
  appVersion: '1.0',
  deprecated: true,
  annotations: { category: 'Database' },
  kubeVersion: '>=1.25.0-0',
  dependencies: [
    {
      name: 'sub',
      version: '^1.0.0',
      repository: 'https://example.com',
      condition: 'sub.enabled',
      tags: ['t'],
      enabled: true,
      'import-values': ['data', { child: 'a.b', parent: 'c' }],
      alias: 'other',
    },
  ],
  type: 'application',
}

describe('cleanMetadata', () => {
  test('keeps every field that Helm knows, in the order in which Helm writes them', () => {
    const shuffled = Object.fromEntries(Object.entries(everything).reverse())
    const { metadata, dropped } = clean(shuffled)
    expect(metadata).toEqual(everything)
    expect(Object.keys(metadata)).toEqual(Object.keys(everything))
    expect(dropped).toEqual([])
  })

  test('drops unknown fields and names them', () => {
    const { metadata, dropped } = clean({
      ...least,
      engine: 'gotpl',
      Name: 'x',
      maintainers: [{ name: 'A', phone: '1' }],
      dependencies: [{ name: 'sub', stage: 'x' }],
    })
    expect(metadata).toEqual({ ...least, maintainers: [{ name: 'A' }], dependencies: [{ name: 'sub' }] })
    expect(dropped).toEqual(['/Name', '/dependencies/0/stage', '/engine', '/maintainers/0/phone'])
  })

  test.each([
    ['home', 1],
    ['sources', 'x'],
    ['sources', { 0: 'x' }],
    ['description', ['x']],
    ['keywords', 'a,b'],
    ['maintainers', { name: 'A' }],
    ['icon', false],
    ['apiVersion', 2],
    ['condition', {}],
    ['tags', ['x']],
    ['appVersion', 1.2],
    ['deprecated', 'true'],
    ['annotations', ['x']],
    ['annotations', 'x'],
    ['kubeVersion', 1.25],
    ['dependencies', 'x'],
    ['type', 'app'],
    ['type', 1],
  ])('drops %s when it is %j', (field, value) => {
    expect(clean({ ...least, [field]: value })).toEqual({ metadata: least, dropped: [`/${field}`] })
  })

  test('drops single wrong items and keeps the others', () => {
    const { metadata, dropped } = clean({
      ...least,
      sources: ['a', 1, ['b'], 'c'],
      annotations: { a: 'x', b: 1, c: null, d: ['x'] },
      maintainers: ['A', { name: 1, email: 'b' }, { name: 'C' }],
      dependencies: [{ name: 'sub', tags: 'x', enabled: 1, 'import-values': 'x' }, 7],
    })
    expect(metadata).toEqual({
      ...least,
      sources: ['a', 'c'],
      annotations: { a: 'x' },
      maintainers: [{ email: 'b' }, { name: 'C' }],
      dependencies: [{ name: 'sub' }],
    })
    expect(dropped).toEqual([
      ...['/annotations/b', '/annotations/c', '/annotations/d'],
      ...['/dependencies/0/enabled', '/dependencies/0/import-values', '/dependencies/0/tags', '/dependencies/1'],
      ...['/maintainers/0', '/maintainers/1/name', '/sources/1', '/sources/2'],
    ])
  })

  test('leaves empty strings, lists, maps and null out without naming them, as Helm does', () => {
    const empty = {
      home: '',
      sources: [],
      keywords: ['', null],
      maintainers: [{}],
      annotations: {},
      icon: null,
      type: '',
    }
    expect(clean({ ...least, ...empty })).toEqual({ metadata: least, dropped: [] })
  })

  test('takes __proto__, constructor and the like for unknown fields, and for keys like any other in annotations', () => {
    const config = JSON.parse(
      `{"name":"demo","version":"1.2.3","__proto__":{"home":"x"},"constructor":"y","toString":1,
        "annotations":{"__proto__":"p","constructor":"c"},
        "dependencies":[{"name":"sub","__proto__":{"alias":"z"},"import-values":[{"__proto__":{"child":"a"}}]}]}`,
    )
    const { metadata, dropped } = clean(config)
    expect(dropped).toEqual(['/__proto__', '/constructor', '/dependencies/0/__proto__', '/toString'])
    expect(Object.keys(metadata)).toEqual(['name', 'version', 'annotations', 'dependencies'])
    expect(JSON.stringify(metadata)).toBe(
      '{"name":"demo","version":"1.2.3","annotations":{"__proto__":"p","constructor":"c"},' +
        '"dependencies":[{"name":"sub","import-values":[{"__proto__":{"child":"a"}}]}]}',
    )
    expect(Object.hasOwn(Object.prototype, 'child')).toBe(false)
  })

  test('keeps free values up to the limit of their depth, and drops deeper ones', () => {
    const values = [nested(limits.maxMetadataDepth), 'a', nested(limits.maxMetadataDepth + 1), nested(5000)]
    const { metadata, dropped } = clean({ ...least, dependencies: [{ name: 'sub', 'import-values': values }] })
    expect(metadata['dependencies']).toEqual([{ name: 'sub', 'import-values': values.slice(0, 2) }])
    expect(dropped).toEqual(['/dependencies/0/import-values/2', '/dependencies/0/import-values/3'])
  })

  test('drops annotations with keys that are too long for a reader, and names them', () => {
    const longest = 'k'.repeat(limits.maxKeyBytes)
    const annotations = { a: 'x', [longest]: 'y', [`${longest}k`]: 'z', ['\u2028'.repeat(200)]: 'z', b: 'x' }
    const { metadata, dropped } = clean({ ...least, annotations })
    expect(metadata['annotations']).toEqual({ a: 'x', [longest]: 'y', b: 'x' })
    expect(dropped).toEqual([`/annotations/${longest}k`, `/annotations/${'\u2028'.repeat(200)}`])
  })

  test('leaves annotations out altogether when no key is left', () => {
    const { metadata, dropped } = clean({ ...least, annotations: { ['k'.repeat(901)]: 'x' } })
    expect(metadata).toEqual(least)
    expect(dropped).toEqual([`/annotations/${'k'.repeat(901)}`])
  })

  test('drops a free value with a key that is too long anywhere in it, and keeps the others', () => {
    const long = { ['k'.repeat(limits.maxKeyBytes + 1)]: 1 }
    const values = [long, { a: 'x' }, [{ a: [long] }], { ['k'.repeat(limits.maxKeyBytes)]: 1 }, { a: { b: long } }]
    const { metadata, dropped } = clean({ ...least, dependencies: [{ name: 'sub', 'import-values': values }] })
    expect(metadata['dependencies']).toEqual([{ name: 'sub', 'import-values': [values[1], values[3]] }])
    expect(dropped).toEqual([0, 2, 4].map((i) => `/dependencies/0/import-values/${i}`))
  })

  test('keeps each annotation or names it', () => {
    fc.assert(
      fc.property(awkwardMap(awkwardText(), { key: awkwardText() }), (annotations) => {
        const { metadata, dropped } = clean({ ...least, annotations })
        const kept = new Set(Object.keys(metadata['annotations'] ?? {}))
        const keys = Object.keys(annotations)
        const lost = keys.filter((key) => !kept.has(key.toWellFormed()))
        expect(lost.map((key) => `/annotations/${key}`)).toEqual([...dropped])
        for (const key of lost) expect(Buffer.byteLength(JSON.stringify(key.toWellFormed()))).toBeGreaterThan(600)
      }),
      { numRuns: 300 },
    )
  })

  test('takes a free value that is as wide as a config can be', () => {
    const wide = Array.from({ length: limits.maxConfigBytes / 2 }, () => 0)
    const { dropped } = clean({ ...least, dependencies: [{ name: 'sub', 'import-values': [wide] }] })
    expect(dropped).toEqual([])
  })

  test.each([
    [null, 'no JSON object'],
    [[], 'no JSON object'],
    ['demo', 'no JSON object'],
    [{}, 'no usable chart name'],
    [{ version: '1.0.0' }, 'no usable chart name'],
    [{ name: '', version: '1.0.0' }, 'no usable chart name'],
    [{ name: 7, version: '1.0.0' }, 'no usable chart name'],
    [{ name: '../x', version: '1.0.0' }, 'no usable chart name'],
    [{ name: 'a' }, 'no SemVer version'],
    [{ name: 'a', version: 1.2 }, 'no SemVer version'],
    [{ name: 'a', version: 'latest' }, 'no SemVer version'],
    [{ name: 'a', version: '' }, 'no SemVer version'],
  ])('says why %j is no chart', (config, fault) => {
    expect(cleanMetadata(config)).toEqual({ fault: expect.stringContaining(fault) })
  })

  test('never throws, and cleans the same again without dropping anything', () => {
    const known = fc.constantFrom(...Object.keys(everything))
    const fields = fc.array(fc.tuple(fc.oneof(known, awkwardText()), awkwardJson({ key: awkwardText() })))
    fc.assert(
      fc.property(fields, (all) => {
        const config = Object.fromEntries([...all, ...Object.entries(least)])
        const { metadata } = clean(config)
        expect(clean(metadata)).toEqual({ metadata, dropped: [] })
      }),
      { numRuns: 300 },
    )
  })
})

describe('isChartName', () => {
  test.each([
    'a',
    'nginx',
    'a b',
    'é',
    '日本',
    '-',
    '...',
    'a..b',
    '.a',
    '__proto__',
    'yes',
    '1.0',
    "it's",
    'x'.repeat(255),
  ])('takes %j', (name) => {
    expect(isChartName(name)).toBe(true)
  })

  test.each([
    '',
    '.',
    '..',
    'a/b',
    '/',
    'a\\b',
    'a\nb',
    '\t',
    'a\u0000',
    '\u007f',
    '\ud800',
    'x'.repeat(256),
    'é'.repeat(128),
  ])('refuses %j', (name) => {
    expect(isChartName(name)).toBe(false)
  })
})
