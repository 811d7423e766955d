/** What can be told of a host by its name alone. */
import { describe, expect, test } from 'bun:test'
import { isLinkLocalHost, isLoopbackHost, isPrivateHost } from '../../src/upstream/network-address.ts'

/** As a URL spells it. */
const hostname = (host: string) => new URL(`http://${host}/`).hostname

describe('isLoopbackHost', () => {
  test.each([
    'localhost',
    'LOCALHOST',
    'a.localhost',
    '127.0.0.1',
    '127.255.255.254',
    '127.1',
    '0x7f000001',
    '[::1]',
    '[0:0:0:0:0:0:0:1]',
  ])('knows %s', (host) => {
    expect(isLoopbackHost(hostname(host))).toBe(true)
  })

  test.each(['localhost.example', 'notlocalhost', '127.0.0.1.example', '128.0.0.1', '10.0.0.1', '[::2]', 'r.example'])(
    'leaves %s',
    (host) => {
      expect(isLoopbackHost(hostname(host))).toBe(false)
    },
  )
})

describe('isPrivateHost', () => {
  test.each([
    ...[
      '127.0.0.1',
      'localhost',
      '0.0.0.0',
      '10.0.0.1',
      '10.255.255.255',
      '172.16.0.1',
      '172.31.255.255',
      '192.168.0.1',
      '169.254.169.254',
    ],
    ...[
      '100.64.0.1',
      '100.127.255.255',
      '[::]',
      '[::1]',
      '[::ffff:192.0.2.1]',
      '[fc00::1]',
      '[fdff::1]',
      '[fe80::1]',
      '[febf::1]',
      '0xa.1',
    ],
  ])('knows %s', (host) => {
    expect(isPrivateHost(hostname(host))).toBe(true)
  })

  test.each([
    ...[
      'r.example',
      '8.8.8.8',
      '11.0.0.1',
      '172.15.0.1',
      '172.32.0.1',
      '192.167.0.1',
      '192.169.0.1',
      '169.253.0.1',
      '100.63.0.1',
      '100.128.0.1',
    ],
    ...['[2001:db8::1]', '[fec0::1]', '110.0.0.1', 'x10.0.0.1.example'],
  ])('leaves %s', (host) => {
    expect(isPrivateHost(hostname(host))).toBe(false)
  })

  test('does not take a name that begins like a private address for one', () => {
    const names = [
      '10.registry.example',
      '0.pool.example',
      '192.168.registry.example',
      '172.16.example',
      '169.254.example',
    ]
    expect(names.filter((name) => isPrivateHost(hostname(name)))).toEqual([])
  })

  test('knows a name with its last dot for the same name', () => {
    expect(['localhost.', 'a.localhost.', '127.0.0.1.'].filter((name) => !isPrivateHost(hostname(name)))).toEqual([])
  })
})

test('isLinkLocalHost knows the addresses of one link, where clouds keep credentials', () => {
  const hosts = ['169.254.169.254', '[fe80::1]', '[FEBF::1]', '169.254.example', '10.0.0.1', '[fec0::1]']
  expect(hosts.map(isLinkLocalHost)).toEqual([true, true, true, false, false, false])
})
