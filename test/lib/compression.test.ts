/** Compressed content: the same bytes back, the same compressed bytes every time, and no error of the source lost. */
import { describe, expect, test } from 'bun:test'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { type Coding, compress, type Pages } from '../../src/lib/compression.ts'
import { limits } from '../../src/limits.ts'

const MiB = 1024 * 1024

const expand: Readonly<Record<Coding, (bytes: Uint8Array) => Uint8Array>> = {
  gzip: (bytes) => gunzipSync(bytes),
  zstd: (bytes) => zstdDecompressSync(bytes),
}

async function compressAll(pages: Pages, coding: Coding): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(compress(pages, coding)))
}

/** Bytes that hardly repeat (a linear congruential generator's upper half), the same ones each time. */
function noise(size: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size)
  let state = 1
  for (let i = 0; i < size; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    bytes[i] = state >>> 24
  }
  return bytes
}

/** `bytes` in pages of the given sizes, again and again, all in the same memory. */
async function* cut(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  const memory = Buffer.alloc(Math.max(...sizes))
  for (let start = 0, i = 0; start < bytes.byteLength; i++) {
    const size = Math.min(sizes[i % sizes.length] ?? 1, bytes.byteLength - start)
    memory.set(bytes.subarray(start, start + size))
    yield memory.subarray(0, size)
    // Whoever still needs the page now has not kept to the bargain.
    memory.fill(0xaa)
    start += size
  }
}

/** More than a page of what cannot be shortened, and of what an index is like. */
const contents = [
  noise(MiB + 5),
  Buffer.from(Array.from(noise(60_000), (byte, i) => `- name: chart-${byte}\n  version: 1.${i}.0\n`).join('')),
]

describe.each(['gzip', 'zstd'] as const)('compress with %s', (coding) => {
  test.each([1, 1000, MiB - 1, MiB, 3 * MiB + 17])('gives %i bytes back', async (size) => {
    const words = Buffer.alloc(size, 'all the same words again, ')
    for (const bytes of [noise(size), words]) {
      const back = expand[coding](await compressAll([bytes], coding))
      expect(Buffer.compare(back, bytes)).toBe(0)
    }
    if (size > 1) expect((await compressAll([words], coding)).byteLength).toBeLessThan(size / 10)
  })

  test.each([
    ['no pages', []],
    ['a page of nothing', [new Uint8Array()]],
  ])('makes of %s a whole document of nothing', async (_what, pages) => {
    const bytes = await compressAll(pages, coding)
    expect(bytes.byteLength).toBeGreaterThan(0)
    expect(expand[coding](bytes).byteLength).toBe(0)
  })

  test('gives the same bytes each time, from memory at once and in the pages of a file', async () => {
    for (const bytes of contents) {
      const whole = await compressAll([bytes], coding)
      const pages = await compressAll(cut(bytes, [limits.documentPageBytes]), coding)
      expect(Buffer.compare(pages, whole)).toBe(0)
      expect(Buffer.compare(await compressAll([bytes], coding), whole)).toBe(0)
      // RFC 1952, 2.3: the time of modification, which would differ from one second to the next.
      if (coding === 'gzip') expect([...whole.subarray(4, 8)]).toEqual([0, 0, 0, 0])
    }
  })

  test('gives pages of any size back, whose memory is used again for the next', async () => {
    for (const bytes of contents) {
      for (const sizes of [[1, 1000, 70_000], [64 * 1024 - 1], [MiB]]) {
        const back = expand[coding](await compressAll(cut(bytes, sizes), coding))
        expect([sizes, Buffer.compare(back, bytes)]).toEqual([sizes, 0])
      }
    }
  })

  test.each([0, 1, 3])('hands on the error of the source after %i pages', async (good) => {
    const error = new Error('the disk is gone')
    async function* pages() {
      for (let page = 0; page < good; page++) yield noise(MiB)
      throw error
    }
    expect(await compressAll(pages(), coding).catch((fault: unknown) => fault)).toBe(error)
  })

  test.each([
    ['that hardly shrink', noise(MiB)],
    ['that shrink well', Buffer.alloc(MiB)],
  ])('lets go of a source of pages %s when nobody reads on', async (_what, page) => {
    let pages = 0
    let isClosed = false
    async function* source() {
      try {
        for (; pages < 50; pages++) yield page
      } finally {
        isClosed = true
      }
    }
    for await (const chunk of compress(source(), coding)) {
      expect(chunk.byteLength).toBeGreaterThan(0)
      break
    }
    expect({ isClosed, pages }).toEqual({ isClosed: true, pages: expect.any(Number) })
    expect(pages).toBeLessThan(50)
  })

  test('lets go of the source when whoever reads fails', async () => {
    let isClosed = false
    async function* source() {
      try {
        for (let page = 0; page < 50; page++) yield noise(MiB)
      } finally {
        isClosed = true
      }
    }
    const full = new Error('no space left')
    const write = async () => {
      let chunks = 0
      for await (const chunk of compress(source(), coding)) {
        chunks += chunk.byteLength > 0 ? 1 : 0
        if (chunks === 5) throw full
      }
    }
    expect(await write().catch((fault: unknown) => fault)).toBe(full)
    expect(isClosed).toBe(true)
  })
})
