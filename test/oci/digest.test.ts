/** Digests: only what can be computed and be a file name. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { digestAlgorithm, digestBytes, digestHex, isDigest, verifyDigest } from '../../src/oci/digest.ts'
import { toDigest } from './to-digest.ts'

const bytes = Buffer.from('hello')
const sha256 = 'sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824'

describe('isDigest', () => {
  test('takes sha256 and sha512 in lower case', () => {
    expect(isDigest(sha256)).toBe(true)
    expect(isDigest(`sha512:${'0f'.repeat(64)}`)).toBe(true)
  })

  test.each([
    ...[
      '',
      'sha256',
      'sha256:',
      sha256.toUpperCase(),
      sha256.replace('2c', '2C'),
      sha256.slice(0, -1),
      `${sha256}0`,
      ` ${sha256}`,
    ],
    ...[
      `${sha256}\n`,
      `md5:${'0'.repeat(32)}`,
      `sha384:${'0'.repeat(96)}`,
      `sha512:${'0'.repeat(64)}`,
      `sha256:${'0'.repeat(128)}`,
    ],
    ...[
      `sha256:../${'0'.repeat(61)}`,
      `sha256:${'g'.repeat(64)}`,
      `sha256+b64:${'0'.repeat(64)}`,
      sha256.replace(':', '/'),
    ],
  ])('refuses %j', (text) => {
    expect(isDigest(text)).toBe(false)
    expect(isDigest(text)).toBe(false)
  })
})

describe('digestBytes', () => {
  test('splits into algorithm and hex again', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.constantFrom('sha256', 'sha512'), (content, algorithm) => {
        const digest = digestBytes(content, algorithm)
        expect(digestAlgorithm(digest)).toBe(algorithm)
        expect(`${algorithm}:${digestHex(digest)}`).toBe(digest)
      }),
    )
  })
})

describe('verifyDigest', () => {
  test('takes the bytes that a digest names, of either algorithm', () => {
    expect(digestBytes(bytes)).toBe(toDigest(sha256))
    verifyDigest(bytes, digestBytes(bytes), 'it')
    verifyDigest(bytes, digestBytes(bytes, 'sha512'), 'it')
  })

  test('refuses all others, and says which they are', () => {
    const other = digestBytes(Buffer.from('other'))
    expect(() => verifyDigest(bytes, other, 'the config')).toThrow(
      `Cannot use the config: its bytes are ${sha256}, ${other} was promised`,
    )
  })
})
