/** Hands out the bytes of a stream and fails at its end unless they are the promised ones: size, then digest. */

import { ChartRepoError, describeError } from '../errors.ts'
import { type Digest, type DigestAlgorithm, digestAlgorithm } from '../oci/digest.ts'

export class VerifyingReader implements AsyncIterable<Uint8Array> {
  readonly #blob: { readonly digest: Digest; readonly size: number }
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>

  constructor(blob: { readonly digest: Digest; readonly size: number }, body: ReadableStream<Uint8Array>) {
    this.#blob = blob
    this.#reader = body.getReader()
  }

  /**
   * @throws DIGEST_MISMATCH for other or more bytes than promised; UPSTREAM_UNAVAILABLE, retryable, when the stream
   * breaks off or ends early.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      const { digest, size } = this.#blob
      const hasher = new Bun.CryptoHasher(digestAlgorithm(digest))
      let length = 0
      for (let next = await this.#read(); !next.done; next = await this.#read()) {
        length += next.value.byteLength
        if (length > size) throw mismatch(digest, `it is longer than the ${size} bytes that were promised`)
        hasher.update(next.value)
        yield next.value
      }
      if (length < size) throw brokenOff(digest, `it ended after ${length} of ${size} bytes`)
      const actual = `${digestAlgorithm(digest)}:${hasher.digest('hex')}`
      if (actual !== digest) throw mismatch(digest, `its bytes are ${actual}`)
    } finally {
      // A reader that stops early must not leave the stream, and what feeds it, hanging.
      await this.cancel()
    }
  }

  /** Gives the stream up; it may already have ended or failed, which is all the same then. */
  async cancel(): Promise<void> {
    await this.#reader.cancel().then(undefined, () => undefined)
  }

  async #read(): Promise<{ done: false; value: Uint8Array } | { done: true }> {
    try {
      const { done, value } = await this.#reader.read()
      return done ? { done } : { done, value }
    } catch (error) {
      if (error instanceof ChartRepoError) throw error
      throw brokenOff(this.#blob.digest, describeError(error), error)
    }
  }
}

/** The digest of all of `stream`. */
export async function digestOf(stream: ReadableStream<Uint8Array>, algorithm: DigestAlgorithm): Promise<Digest> {
  const hasher = new Bun.CryptoHasher(algorithm)
  for await (const chunk of stream) hasher.update(chunk)
  return `${algorithm}:${hasher.digest('hex')}` as Digest
}

function mismatch(digest: Digest, fault: string): ChartRepoError {
  return new ChartRepoError('DIGEST_MISMATCH', `Cannot use blob ${digest}: ${fault}`)
}

function brokenOff(digest: Digest, fault: string, cause?: unknown): ChartRepoError {
  return new ChartRepoError('UPSTREAM_UNAVAILABLE', `Cannot read blob ${digest}: ${fault}`, { cause, retryable: true })
}
