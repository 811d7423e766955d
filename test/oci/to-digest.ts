/** A digest that a test has made itself. */
import { type Digest, isDigest } from '../../src/oci/digest.ts'

export function toDigest(text: string): Digest {
  if (isDigest(text)) return text
  throw new Error(`${text} is no digest`)
}
