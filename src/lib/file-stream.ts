/**
 * A large file as a body. The runtime sends a file by sendfile(2), which goes on for as long as the client keeps up: for
 * the tenths of a second that a gigabyte takes on one host nobody else is answered. Here it is read in pieces, by the
 * runtime's threads, a little ahead of the client.
 */

import { type FileHandle, open } from 'node:fs/promises'
import { limits } from '../limits.ts'

export interface FilePart {
  readonly path: string
  /** First byte. */
  readonly start: number
  /** One behind the last byte. */
  readonly end: number
}

/**
 * The bytes of a part of a file, which is open from here on: removing it does not break them off. The stream fails when
 * the file ends before the part does. The memory of a piece is used again: it holds until the next but one is asked for.
 * @param now milliseconds, for the client's speed
 * @throws the system's error
 */
export async function openFileStream(part: FilePart, now = () => performance.now()): Promise<ReadableStream> {
  const pieces = new FilePieces(await open(part.path, 'r'), part, now)
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const piece = await pieces.next()
        if (piece === undefined) controller.close()
        else controller.enqueue(piece)
      },
      cancel: () => pieces.close(),
    },
    // Nothing is kept between the pieces that are being read and the client.
    { highWaterMark: 0 },
  )
}

class FilePieces {
  readonly #file: FileHandle
  readonly #end: number
  readonly #now: () => number
  /** Where the first byte is that nobody has asked for. */
  #position: number
  readonly #ahead: Promise<Uint8Array>[] = []
  /** One for each piece ahead, one that is on its way to the client: fresh memory costs more than reading into it. */
  readonly #buffers: Uint8Array[] = []
  #pieceBytes: number = limits.minSentPieceBytes
  #closed: Promise<void> | undefined
  #handedOutAt = Number.NEGATIVE_INFINITY

  constructor(file: FileHandle, { start, end }: FilePart, now: () => number) {
    this.#file = file
    this.#position = start
    this.#end = end
    this.#now = now
  }

  /** Undefined, and the file is closed, behind the last one. */
  async next(): Promise<Uint8Array | undefined> {
    this.#adapt()
    while (this.#ahead.length < limits.sentPiecesAhead && this.#position < this.#end) this.#readAhead()
    try {
      const piece = await this.#ahead[0]
      void this.#ahead.shift()
      if (piece === undefined) await this.close()
      this.#handedOutAt = this.#now()
      return piece
    } catch (error) {
      await this.close()
      throw error
    }
  }

  /** Not under a read that is still going on: its descriptor may be another file's by then. */
  async close(): Promise<void> {
    this.#position = this.#end
    this.#closed ??= Promise.allSettled(this.#ahead).then(() => this.#file.close())
    await this.#closed
  }

  /** Memory goes to clients that are quick, of which there are only as many as the network carries. */
  #adapt(): void {
    const isPrompt = this.#now() - this.#handedOutAt <= limits.promptReaderMs
    this.#pieceBytes = isPrompt ? Math.min(this.#pieceBytes * 2, limits.maxSentPieceBytes) : limits.minSentPieceBytes
  }

  #readAhead(): void {
    const length = Math.min(this.#pieceBytes, this.#end - this.#position)
    const piece = readPiece(this.#file, this.#position, this.#nextBuffer().subarray(0, length))
    // Whoever takes it hears of it; it may be that nobody does.
    piece.catch(() => undefined)
    this.#ahead.push(piece)
    this.#position += length
  }

  /** The one that was used the longest time ago, or a new one in its place where the size is another. */
  #nextBuffer(): Uint8Array {
    const oldest = this.#buffers.length > limits.sentPiecesAhead ? this.#buffers.shift() : undefined
    const buffer = oldest?.byteLength === this.#pieceBytes ? oldest : new Uint8Array(this.#pieceBytes)
    this.#buffers.push(buffer)
    return buffer
  }
}

/** Fills `piece`. */
async function readPiece(file: FileHandle, position: number, piece: Uint8Array): Promise<Uint8Array> {
  const length = piece.byteLength
  for (let filled = 0; filled < length; ) {
    const { bytesRead } = await file.read(piece, filled, length - filled, position + filled)
    if (bytesRead === 0) throw new Error(`The file ends at byte ${position + filled}, wanted ${position + length}`)
    filled += bytesRead
  }
  return piece
}
