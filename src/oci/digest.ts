/**
 * Content digests (OCI image spec 1.1, descriptor.md): `algorithm:hex`. Only the two registered algorithms are known;
 * a parsed Digest is safe to build a file path from.
 */

import { ChartRepoError } from '../errors.ts'

declare const digestBrand: unique symbol
/** A digest that was parsed: `sha256:` and 64, or `sha512:` and 128, lower-case hex digits. */
export type Digest = string & { readonly [digestBrand]: true }

export type DigestAlgorithm = 'sha256' | 'sha512'

const PATTERN = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/

export function isDigest(text: string): text is Digest {
  return PATTERN.test(text)
}

export function digestAlgorithm(digest: Digest): DigestAlgorithm {
  return digest.startsWith('sha256:') ? 'sha256' : 'sha512'
}

/** The hex digits behind the colon. */
export function digestHex(digest: Digest): string {
  return digest.slice(7)
}

export function digestBytes(bytes: Uint8Array, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return `${algorithm}:${Bun.CryptoHasher.hash(algorithm, bytes, 'hex')}` as Digest
}

/** @throws DIGEST_MISMATCH when the bytes are not what `digest` names. */
export function verifyDigest(bytes: Uint8Array, digest: Digest, what: string): void {
  const actual = digestBytes(bytes, digestAlgorithm(digest))
  if (actual === digest) return
  throw new ChartRepoError('DIGEST_MISMATCH', `Cannot use ${what}: its bytes are ${actual}, ${digest} was promised`)
}
