/** Distribution spec 1.1, "Pulling blobs": the Range header (RFC 9110, section 14). */
import { beforeAll, describe, expect, test } from 'bun:test'
import { limits } from '../../src/limits.ts'
import { digestOf, someBytes } from './manifest-content.ts'
import { openRegistryClient } from './registry-client.ts'

const registry = openRegistryClient()

// What is small is answered from memory, what is large from its file, and what is very large piece by piece.
describe.each([
  ['of 2,048 bytes', someBytes(2048)],
  ['of 2 MiB', someBytes(2 * 1024 * 1024)],
  ['of 20 MiB', someBytes(20 * 1024 * 1024)],
])('spec "Pulling blobs": a blob %s', (_, bytes) => {
  const repository = registry.freshName()
  const size = bytes.length
  let path: string

  beforeAll(async () => {
    path = await registry.pushBlob(repository, bytes)
  })

  test('says that ranges are welcome', async () => {
    for (const answer of [await registry.get(path), await registry.head(path)]) {
      await answer.bytes()
      expect(answer.headers.get('accept-ranges')).toBe('bytes')
    }
  })

  test.each([
    ['500-1499', 500, 1500],
    ['0-0', 0, 1],
    ['500-', 500, size],
    ['-500', size - 500, size],
    ['0-', 0, size],
    [`${size - 1}-`, size - 1, size],
    [`${size - 48}-${size + 2952}`, size - 48, size],
    [`-${size + 1}`, 0, size],
  ])('bytes=%s is 206 with those bytes', async (range, start, end) => {
    const answer = await registry.get(path, { range: `bytes=${range}` })
    const got = await answer.bytes()
    expect(answer.status).toBe(206)
    expect(answer.headers.get('content-range')).toBe(`bytes ${start}-${end - 1}/${size}`)
    // The runtime gives no stream a length.
    const length = end - start < limits.minPiecedFileBytes ? String(end - start) : null
    expect(answer.headers.get('content-length')).toBe(length)
    expect(answer.headers.get('docker-content-digest')).toBe(digestOf(bytes))
    expect(Buffer.from(got).equals(bytes.subarray(start, end))).toBe(true)
  })

  test.each(['500-0', `${size}-`, `${size + 2952}-${size + 7952}`, '-0'])(
    'bytes=%s is 416 with the size',
    async (range) => {
      const answer = await registry.get(path, { range: `bytes=${range}` })
      expect(answer.status).toBe(416)
      expect(answer.headers.get('content-range')).toBe(`bytes */${size}`)
      await answer.bytes()
    },
  )

  test.each(['bytes=0-1,4-5', 'lines=0-1', 'bytes=a-b', 'bytes'])('%s is answered with all of it', async (range) => {
    const answer = await registry.get(path, { range })
    expect(answer.status).toBe(200)
    expect(Buffer.from(await answer.bytes()).equals(bytes)).toBe(true)
  })

  test('a pull that broke off goes on from where it was, as long as it is the same blob', async () => {
    const whole = await registry.get(path)
    const etag = whole.headers.get('etag') ?? ''
    const first = (await whole.bytes()).subarray(0, 1000)
    const rest = await registry.get(path, { range: 'bytes=1000-', 'if-range': etag })
    expect(rest.status).toBe(206)
    expect(digestOf(Buffer.concat([first, await rest.bytes()]))).toBe(digestOf(bytes))
    const other = await registry.get(path, { range: 'bytes=1000-', 'if-range': '"another"' })
    await other.bytes()
    expect(other.status).toBe(200)
  })

  test('HEAD has no use for a range', async () => {
    const answer = await registry.send('HEAD', path, { headers: { range: 'bytes=0-9' } })
    expect([answer.status, answer.headers.get('content-length')]).toEqual([200, String(size)])
  })
})
