/** Blobs of tests: their bytes, what they are called, and where they can be fetched. */
import { type Digest, digestBytes } from '../../src/oci/digest.ts'
import type { FetchBlob } from '../../src/storage/blob-cache.ts'

export interface TestBlob {
  readonly digest: Digest
  readonly size: number
  readonly bytes: Uint8Array<ArrayBuffer>
}

export function makeBlob(content: string | Uint8Array, algorithm: 'sha256' | 'sha512' = 'sha256'): TestBlob {
  const bytes = new Uint8Array(Buffer.from(content))
  return { digest: digestBytes(bytes, algorithm), size: bytes.byteLength, bytes }
}

/** A blob of `size` bytes, another one for each `seed`. */
export function fillBlob(size: number, seed: string): TestBlob {
  return makeBlob(Buffer.alloc(size, `${seed} `))
}

export type Delivery = Uint8Array | ReadableStream<Uint8Array> | Error | undefined

export interface Source {
  readonly fetch: FetchBlob
  /** How often it was asked. */
  readonly calls: number
}

/** Delivers in turn what it is given, the last one again and again. */
export function openSource(...deliveries: readonly Delivery[]): Source {
  const source = {
    calls: 0,
    fetch: async () => {
      const delivery = deliveries[Math.min(source.calls, deliveries.length - 1)]
      source.calls += 1
      if (delivery instanceof Error) throw delivery
      return delivery instanceof Uint8Array ? streamOf(delivery) : delivery
    },
  }
  return source
}

/** For a blob that must not be asked for. */
export const noSource: FetchBlob = () => Promise.reject(new Error('This blob was not to be fetched'))

export function streamOf(...chunks: readonly Uint8Array[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk)
      controller.close()
    },
  })
}

/** A stream that breaks off behind `chunks`. */
export function brokenStream(...chunks: readonly Uint8Array[]): ReadableStream<Uint8Array> {
  const rest = [...chunks]
  return new ReadableStream({
    pull(controller) {
      const next = rest.shift()
      if (next === undefined)
        controller.error(Object.assign(new Error('The socket was closed'), { code: 'ECONNRESET' }))
      else controller.enqueue(next)
    },
  })
}
