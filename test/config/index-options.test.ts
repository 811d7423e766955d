/** The options of the index: what they mean alone, and which do not go together. */
import { describe, expect, test } from 'bun:test'
import { PASSWORD } from '../stand/secrets.ts'
import { configurationOf, faultsOf } from './surroundings.ts'

const repo = '--storage-registry-repo=127.0.0.1:5000/team'
const elsewhere = '--chart-url=https://charts.example'

describe('addresses of packages', () => {
  test.each([
    [[], { prefix: '' }],
    [['--index-urls=proxy'], { prefix: '' }],
    [[elsewhere], { prefix: 'https://charts.example/' }],
    [['--chart-url=https://charts.example/a//'], { prefix: 'https://charts.example/a/' }],
    [['--index-urls=proxy', elsewhere], { prefix: 'https://charts.example/' }],
    [['--chart-url='], { prefix: '' }],
    // The path is part of every repository's name already.
    [['--index-urls=oci'], { registryHost: '127.0.0.1:5000' }],
    [['--index-urls=OCI', '--chart-url='], { registryHost: '127.0.0.1:5000' }],
  ] as const)('with %j are %j', (args, chartUrls) => {
    expect(configurationOf([repo, ...args]).index.chartUrls).toEqual(chartUrls)
  })

  test('are one or the other, wherever each was said', () => {
    const wanted = 'wanted one of them'
    expect(faultsOf([repo, '--index-urls=oci', elsewhere])).toEqual([
      `--chart-url: given together with --index-urls, ${wanted}`,
    ])
    const given = { environment: { CHART_URL: 'https://a.example' }, files: { c: 'index-urls: oci\n' } }
    expect(faultsOf([repo, '--config=c'], given)).toEqual([`CHART_URL: given together with index-urls in c, ${wanted}`])
    // What the command line says counts, and goes together.
    expect(configurationOf([repo, '--config=c', '--index-urls=proxy'], given).index.chartUrls).toEqual({
      prefix: 'https://a.example/',
    })
  })

  test('that may hold a password are refused without repeating them', () => {
    for (const address of [`https://reader:${PASSWORD}@charts.example`, `https://charts.example/?token=${PASSWORD}`]) {
      const faults = faultsOf([repo, `--chart-url=${address}`])
      expect(faults).toHaveLength(1)
      expect(faults[0]).toMatch(/^--chart-url: given .*, wanted an address such as https:/)
      expect(faults[0]).not.toContain(PASSWORD)
    }
  })
})

test.each([
  [[], 'auto', 0, false],
  [['--index-format=YAML', '--index-versions=2', '--serve-partial'], 'yaml', 2, true],
  [['--index-format', 'json', '--index-versions', '0', '--serve-partial=false'], 'json', 0, false],
  [['--index-format=', '--index-versions=', '--serve-partial='], 'auto', 0, false],
] as const)('%j is read', (args, format, versionsEach, servesPartial) => {
  expect(configurationOf([repo, ...args]).index).toMatchObject({ format, versionsEach, servesPartial })
})

test('numbers and switches of a YAML file are what they look like', () => {
  const files = { c: 'index-versions: 5\nserve-partial: true\nindex-format: json\n' }
  expect(configurationOf([repo, '--config=c'], { files }).index).toMatchObject({
    format: 'json',
    versionsEach: 5,
    servesPartial: true,
  })
})

test.each([
  ['--index-format=xml', '--index-format: given "xml", wanted auto, yaml or json'],
  ['--index-urls=direct', '--index-urls: given "direct", wanted proxy or oci'],
  ['--index-versions=-1', '--index-versions: given "-1", wanted a whole number from 0 on'],
  ['--index-versions=all', '--index-versions: given "all", wanted a whole number from 0 on'],
  ['--serve-partial=maybe', '--serve-partial: given "maybe", wanted true or false'],
  [
    '--chart-url=charts.example',
    '--chart-url: given "charts.example", wanted an address such as https://charts.example.com, without user, query and fragment',
  ],
])('%s is refused', (arg, fault) => {
  expect(faultsOf([repo, arg])).toEqual([fault])
})
