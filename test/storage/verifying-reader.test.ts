/** Bytes are handed out as they come, and the end comes only when they were the right ones. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { ChartRepoError } from '../../src/errors.ts'
import { digestOf, VerifyingReader } from '../../src/storage/verifying-reader.ts'
import { rejection } from '../upstream/fake-send.ts'
import { brokenStream, makeBlob, streamOf } from './blob-content.ts'

async function read(reader: VerifyingReader): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  for await (const chunk of reader) chunks.push(chunk)
  return Buffer.concat(chunks)
}

describe('VerifyingReader', () => {
  test('hands out the bytes of any stream that has the promised ones', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array()), fc.constantFrom('sha256', 'sha512'), async (chunks, algorithm) => {
        const blob = makeBlob(Buffer.concat(chunks), algorithm)
        expect(Buffer.compare(await read(new VerifyingReader(blob, streamOf(...chunks))), blob.bytes)).toBe(0)
      }),
    )
  })

  test('fails when one byte is another, at its end', async () => {
    const blob = makeBlob('hello')
    const reader = new VerifyingReader(blob, streamOf(Buffer.from('hellO')))
    expect(await rejection(read(reader))).toMatchObject({ code: 'DIGEST_MISMATCH', retryable: false })
  })

  test('fails as soon as more comes than was promised, and hands nothing of it out', async () => {
    const blob = makeBlob('hello')
    const seen: number[] = []
    const reading = async () => {
      const endless = new ReadableStream<Uint8Array>({ pull: (controller) => controller.enqueue(Buffer.from('hel')) })
      for await (const chunk of new VerifyingReader(blob, endless)) seen.push(chunk.length)
    }
    expect(await rejection(reading())).toMatchObject({
      code: 'DIGEST_MISMATCH',
      message: expect.stringContaining('longer than the 5 bytes'),
    })
    expect(seen).toEqual([3])
  })

  test('takes an early end for a connection that broke off', async () => {
    const reader = new VerifyingReader(makeBlob('hello'), streamOf(Buffer.from('he')))
    expect(await rejection(read(reader))).toMatchObject({
      code: 'UPSTREAM_UNAVAILABLE',
      retryable: true,
      message: expect.stringContaining('after 2 of 5 bytes'),
    })
  })

  test('takes a stream that fails for the same, and keeps the cause', async () => {
    const error = await rejection(read(new VerifyingReader(makeBlob('hello'), brokenStream(Buffer.from('he')))))
    expect(error).toMatchObject({ code: 'UPSTREAM_UNAVAILABLE', retryable: true, cause: { code: 'ECONNRESET' } })
  })

  test('passes on what the stream itself has a name for', async () => {
    const failure = new ChartRepoError('UPSTREAM_TIMEOUT', 'silent', { retryable: true })
    const stream = new ReadableStream<Uint8Array>({ pull: (controller) => controller.error(failure) })
    expect(await rejection(read(new VerifyingReader(makeBlob('hello'), stream)))).toBe(failure)
  })

  test('can be given up at any time, ended or not', async () => {
    for (const stream of [streamOf(Buffer.from('hello')), brokenStream()]) {
      const reader = new VerifyingReader(makeBlob('hello'), stream)
      await reader.cancel()
      await reader.cancel()
    }
  })
})

test('digestOf is the digest of a whole stream', async () => {
  const blob = makeBlob('hello', 'sha512')
  expect(await digestOf(streamOf(Buffer.from('he'), Buffer.from('llo')), 'sha512')).toBe(blob.digest)
})
