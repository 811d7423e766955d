/** Large files as bodies, against the bytes that were written. */
import { afterAll, describe, expect, test } from 'bun:test'
import { readdirSync, readlinkSync } from 'node:fs'
import { truncate, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { type FilePart, openStream, readFileAhead } from '../../src/lib/file-stream.ts'
import { limits } from '../../src/limits.ts'
import { openTempDir } from '../stand/temp-dir.ts'

const temp = await openTempDir()
afterAll(() => temp[Symbol.asyncDispose]())
const path = join(temp.path, 'large')
const bytes = new Uint8Array(6 * limits.maxSentPieceBytes + 12_345)
for (let at = 0; at < bytes.length; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536))
await Bun.write(path, bytes)

/** Copies every piece when it comes, as a socket does. */
async function read(stream: ReadableStream<Uint8Array>, visit?: () => void) {
  const pieces: Uint8Array[] = []
  for await (const piece of stream) {
    pieces.push(piece.slice())
    visit?.()
  }
  return { bytes: Buffer.concat(pieces), sizes: pieces.map((piece) => piece.byteLength) }
}

const openFile = (part: FilePart, now?: () => number) => openStream(readFileAhead(part, now))

function isOpen(file: string): boolean {
  const links = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`)
    } catch {
      // The directory's own descriptor.
      return ''
    }
  })
  return links.includes(file)
}

describe('a file as a stream', () => {
  test('gives any part of a file', async () => {
    const edge = fc.nat({ max: bytes.length })
    await fc.assert(
      fc.asyncProperty(edge, edge, async (one, other) => {
        const [start, end] = [Math.min(one, other), Math.max(one, other)]
        const part = await read(await openFile({ path, start, end }))
        expect(part.bytes.equals(bytes.subarray(start, end))).toBe(true)
      }),
      { numRuns: 30 },
    )
    expect(isOpen(path)).toBe(false)
  })

  test('gives quick clients large pieces and slow ones small pieces', async () => {
    let now = 0
    const quick = await read(await openFile({ path, start: 0, end: bytes.length }, () => now))
    expect(Math.max(...quick.sizes)).toBe(limits.maxSentPieceBytes)
    const slow = await read(await openFile({ path, start: 0, end: bytes.length }, () => now), () => {
      now += limits.promptReaderMs + 1
    })
    expect(Math.max(...slow.sizes)).toBe(limits.minSentPieceBytes)
    for (const { bytes: got } of [quick, slow]) expect(got.equals(bytes)).toBe(true)
  })

  test('gives large pieces to no more clients than there is memory for', async () => {
    const readers = await Promise.all(
      Array.from({ length: 100 }, async () =>
        (await openFile({ path, start: 0, end: bytes.length }, () => 0)).getReader(),
      ),
    )
    const sizes = readers.map(() => 0)
    // As many as it takes to come from the smallest to the largest.
    for (let size = limits.minSentPieceBytes; size <= limits.maxSentPieceBytes * 2; size *= 2) {
      for (const [place, reader] of readers.entries()) sizes[place] = (await reader.read()).value?.byteLength ?? 0
    }
    const beyond = sizes.reduce(
      (sum, size) => sum + (size - limits.minSentPieceBytes) * (limits.sentPiecesAhead + 1),
      0,
    )
    expect(beyond).toBeGreaterThan(limits.maxLargePieceBytes / 2)
    expect(beyond).toBeLessThanOrEqual(limits.maxLargePieceBytes)
    await Promise.all(readers.map((reader) => reader.cancel()))
    const next = await read(await openFile({ path, start: 0, end: bytes.length }, () => 0))
    expect(Math.max(...next.sizes)).toBe(limits.maxSentPieceBytes)
  })

  test('leaves a piece as it is until the next is asked for', async () => {
    const stream = await openFile({ path, start: 0, end: bytes.length }, () => 0)
    let position = 0
    let intact = 0
    for await (const piece of stream) {
      // By then what is ahead has been read.
      const wanted = await Bun.file(path)
        .slice(position, position + piece.byteLength)
        .bytes()
      position += piece.byteLength
      if (Buffer.compare(piece, wanted) === 0) intact += piece.byteLength
    }
    expect([position, intact]).toEqual([bytes.length, bytes.length])
  })

  test('goes on with a file that was removed', async () => {
    const removed = join(temp.path, 'removed')
    await Bun.write(removed, bytes)
    const stream = await openFile({ path: removed, start: 0, end: bytes.length })
    await unlink(removed)
    expect((await read(stream)).bytes.equals(bytes)).toBe(true)
  })

  test('fails when the file has become shorter, and closes it', async () => {
    const short = join(temp.path, 'short')
    await Bun.write(short, bytes)
    const stream = await openFile({ path: short, start: 0, end: bytes.length })
    await truncate(short, 3_000_000)
    await expect(read(stream)).rejects.toThrow(/^The file ends at byte 3000000, wanted \d+$/)
    expect(isOpen(short)).toBe(false)
  })

  test('closes the file when nobody wants the rest', async () => {
    const stream = await openFile({ path, start: 0, end: bytes.length })
    const reader = stream.getReader()
    await reader.read()
    // One under way.
    const pending = reader.read()
    await reader.cancel()
    await pending
    expect(isOpen(path)).toBe(false)
  })

  test('says that there is no such file before anything is sent', async () => {
    const missing = openFile({ path: join(temp.path, 'missing'), start: 0, end: 1 })
    await expect(missing).rejects.toMatchObject({ code: 'ENOENT' })
  })
})
