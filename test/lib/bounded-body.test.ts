/** Bodies up to their bound, and not a chunk more. */
import { describe, expect, test } from 'bun:test'
import { readBoundedBody } from '../../src/lib/bounded-body.ts'

/** A body of chunks that notes how many were taken and whether it was given up. */
function chunks(...sizes: readonly number[]) {
  const seen = { taken: 0, cancelled: false }
  const stream = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        const size = sizes[seen.taken]
        if (size === undefined) controller.close()
        else controller.enqueue(new Uint8Array(size).fill(120))
        seen.taken += 1
      },
      cancel() {
        seen.cancelled = true
      },
    },
    { highWaterMark: 0 },
  )
  return { seen, stream }
}

describe('readBoundedBody', () => {
  test('reads a body of exactly the bound, declared or not', async () => {
    expect(await readBoundedBody(new Response('x'.repeat(10)), 10, () => 'it')).toHaveLength(10)
    expect(await readBoundedBody(new Response(chunks(4, 6).stream), 10, () => 'it')).toHaveLength(10)
    const declared = new Response(chunks(10).stream, { headers: { 'content-length': '10' } })
    expect(await readBoundedBody(declared, 10, () => 'it')).toHaveLength(10)
  })

  test('reads an empty body, and none', async () => {
    expect(await readBoundedBody(new Response(''), 10, () => 'it')).toHaveLength(0)
    expect(await readBoundedBody(new Response(null), 10, () => 'it')).toHaveLength(0)
    expect(await readBoundedBody(new Response(chunks().stream), 0, () => 'it')).toHaveLength(0)
  })

  test('gives up at the first byte too many, and reads no further', async () => {
    const { seen, stream } = chunks(6, 6, 6, 6)
    const reading = readBoundedBody(new Response(stream), 10, () => 'the page')
    expect(await reading.catch((error: unknown) => error)).toMatchObject({
      code: 'BODY_TOO_LARGE',
      message: 'Cannot read the page: it is larger than 10 bytes',
    })
    expect(seen).toEqual({ taken: 2, cancelled: true })
  })

  test('does not begin to read what is declared to be too large', async () => {
    const { seen, stream } = chunks(6, 6)
    const response = new Response(stream, { headers: { 'content-length': '12' } })
    expect(await readBoundedBody(response, 10, () => 'it').catch((error: unknown) => error)).toMatchObject({
      code: 'BODY_TOO_LARGE',
    })
    expect(seen).toEqual({ taken: 0, cancelled: true })
  })

  test('keeps the bound where less is declared than comes: a chunked body may say any length', async () => {
    for (const length of ['5', '0', '10', '', '-1', 'x', '5, 5']) {
      const response = new Response(chunks(6, 6, 6).stream, { headers: { 'content-length': length } })
      const end = await readBoundedBody(response, 10, () => 'it').catch((error: unknown) => error)
      expect({ length, end }).toMatchObject({ length, end: { code: 'BODY_TOO_LARGE' } })
    }
  })
})
