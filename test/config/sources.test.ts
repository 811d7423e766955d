/** The command line as Go's flag package took it of the predecessor, and as everybody else writes it. */
import { describe, expect, test } from 'bun:test'
import { readCommandLine } from '../../src/config/sources.ts'
import { configurationOf, faultsOf, registryOf } from './surroundings.ts'

const repo = '--storage-registry-repo=r.example'

/** The texts that were read, without where they stood. */
function textsOf(...args: readonly string[]): Record<string, string> {
  const { texts, faults } = readCommandLine(args)
  expect(faults).toEqual([])
  return Object.fromEntries([...texts].map(([name, { text }]) => [name, text]))
}

describe('readCommandLine', () => {
  test.each([[['--port=0']], [['--port', '0']], [['-port=0']], [['-port', '0']]])('reads %j alike', (args) => {
    expect(textsOf(...args)).toEqual({ port: '0' })
    expect(configurationOf([repo, ...args]).listen.port).toBe(0)
  })

  test.each(['-dir', '--dir', '-', '-port', '-storage-registry-insecure', '-1', '--'])(
    'takes %j for the value of the flag before it, as it is',
    (value) => {
      expect(textsOf(`--cache-dir=${value}`, '--port', '1')).toEqual({ 'cache-dir': value, port: '1' })
      expect(textsOf('--cache-dir', value, '--port', '1')).toEqual({ 'cache-dir': value, port: '1' })
      expect(textsOf('-cache-dir', value, '-port', '1')).toEqual({ 'cache-dir': value, port: '1' })
    },
  )

  test('keeps what stands behind an equals sign, other equals signs and dashes among it', () => {
    expect(textsOf('-cache-dir=-a=b --c', '--storage-registry-config==')).toEqual({
      'cache-dir': '-a=b --c',
      'storage-registry-config': '=',
    })
  })

  test.each([
    [['--storage-registry-insecure'], true],
    [['--storage-registry-insecure', 'true'], true],
    [['--storage-registry-insecure', 'false'], false],
    [['--storage-registry-insecure', 'FALSE'], false],
    [['--storage-registry-insecure=false'], false],
    [['-storage-registry-insecure', 'false'], false],
    [['-storage-registry-insecure=true'], true],
    [['-storage-registry-insecure'], true],
    [['--storage-registry-insecure', '--port', '1'], true],
    [['--storage-registry-insecure', '-port', '1'], true],
  ] as const)('reads the switch %j', (args, insecure) => {
    expect(registryOf([repo, ...args]).insecure).toBe(insecure)
    expect(registryOf([...args, repo]).insecure).toBe(insecure)
  })

  test('joins a switch with nothing else that follows it', () => {
    expect(faultsOf([repo, '--storage-registry-insecure', 'yes'])).toEqual([
      '"yes": given beside the options, wanted nothing but options',
    ])
    expect(textsOf('--cache-dir', 'true', '--storage-registry-config', 'false')).toEqual({
      'cache-dir': 'true',
      'storage-registry-config': 'false',
    })
  })

  test('knows flags of one letter by one dash alone', () => {
    expect(readCommandLine(['-h']).help).toBe(true)
    expect(readCommandLine(['-help']).help).toBe(true)
    expect(readCommandLine(['-version']).version).toBe(true)
    expect(faultsOf([repo, '-p'])).toEqual(['-p: unknown option; --help lists them'])
  })
})

describe('an empty --config', () => {
  test.each([[['--config=']], [['--config', '']], [['-config=']]])('(%j) names no file', (args) => {
    expect(configurationOf([repo, ...args]).listen.port).toBe(8080)
  })

  test('leaves the word to the environment', () => {
    const given = { environment: { CONFIG: 'c' }, files: { c: 'port: 7\n' } }
    expect(configurationOf([repo, '--config='], given).listen.port).toBe(7)
    expect(configurationOf([repo], { environment: { CONFIG: '' } }).listen.port).toBe(8080)
  })
})

describe('oci:// before the registry', () => {
  test.each([
    [[], undefined],
    [['--storage-registry-scheme=HTTP'], 'http'],
    [['--storage-registry-scheme=https'], 'https'],
  ] as const)('says nothing of the scheme: with %j it is %p', (args, scheme) => {
    const registry = registryOf(['--storage-registry-repo=oci://r.example:5000/team', ...args])
    expect(registry).toMatchObject({ host: 'r.example:5000', pathPrefix: 'team', scheme })
  })
})
