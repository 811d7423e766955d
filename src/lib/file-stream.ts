/**
 * A large file as a body. The runtime sends a file by sendfile(2), which goes on for as long as the client keeps up: for
 * the tenths of a second that a gigabyte takes on one host nobody else is answered. Here it is read in pieces, by the
 * runtime's threads, a little ahead of the client.
 */

import { type FileHandle, open } from 'node:fs/promises'
import { limits } from '../limits.ts'
import { readFully } from './read-fully.ts'

export interface FilePart {
  readonly path: string
  /** First byte. */
  readonly start: number
  /** One behind the last byte. */
  readonly end: number
}

/**
 * The bytes of a part of a file. It is open from the first piece on: removing it does not break them off. The memory of a
 * piece is used again: it holds until the next is asked for.
 * @param now milliseconds, for the client's speed
 * @throws the system's error; an Error when the file ends before the part does
 */
export async function* readFileAhead(part: FilePart, now = () => performance.now()): AsyncGenerator<Uint8Array> {
  const ahead: Promise<Uint8Array>[] = []
  const buffers = new PieceBuffers()
  const file = await open(part.path, 'r')
  try {
    let handedOutAt = Number.NEGATIVE_INFINITY
    for (let position = part.start; position < part.end || ahead.length > 0; ) {
      buffers.adapt(now() - handedOutAt)
      while (ahead.length < limits.sentPiecesAhead && position < part.end) {
        const buffer = buffers.next(part.end - position)
        const piece = readPiece(buffer, file, position)
        // Whoever takes it hears of it; it may be that nobody does.
        piece.catch(() => undefined)
        ahead.push(piece)
        position += buffer.byteLength
      }
      const piece = await ahead[0]
      void ahead.shift()
      handedOutAt = now()
      if (piece !== undefined) yield piece
    }
  } finally {
    // Not under a read that goes on: its descriptor may be another file's by then.
    await Promise.allSettled(ahead)
    buffers.release()
    await file.close()
  }
}

/**
 * What is sent as it comes, with nothing kept on the way. It is begun at once: what fails then can still be answered
 * otherwise.
 * @throws what the first piece fails with
 */
export async function openStream(pieces: AsyncGenerator<Uint8Array>): Promise<ReadableStream<Uint8Array>> {
  let begun: IteratorResult<Uint8Array> | undefined = await pieces.next()
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        const next = begun ?? (await pieces.next())
        begun = undefined
        if (next.done === true) controller.close()
        else controller.enqueue(next.value)
      },
      cancel: async () => void (await pieces.return(undefined)),
    },
    { highWaterMark: 0 },
  )
}

/** One for each piece that is read: fresh memory costs more than reading into it. */
class PieceBuffers {
  /** What those of all clients come to, beyond the smallest pieces. */
  static #largeBytes = 0
  readonly #used: Uint8Array<ArrayBuffer>[] = []
  #bytes: number = limits.minSentPieceBytes

  /** Memory goes to clients that are quick, of which there are only as many as the network carries. */
  adapt(waitedMs: number): void {
    const isQuick = waitedMs <= limits.promptReaderMs
    const wanted = isQuick ? Math.min(this.#bytes * 2, limits.maxSentPieceBytes) : limits.minSentPieceBytes
    const more = (wanted - this.#bytes) * (limits.sentPiecesAhead + 1)
    if (PieceBuffers.#largeBytes + more > limits.maxLargePieceBytes) return
    PieceBuffers.#largeBytes += more
    this.#bytes = wanted
  }

  /** Leaves the memory to others. */
  release(): void {
    this.adapt(Number.POSITIVE_INFINITY)
  }

  /** The one that was used the longest time ago, or a new one in its place where the size is another. */
  next(atMost: number): Uint8Array<ArrayBuffer> {
    const oldest = this.#used.length === limits.sentPiecesAhead ? this.#used.shift() : undefined
    const buffer = oldest?.byteLength === this.#bytes ? oldest : new Uint8Array(this.#bytes)
    this.#used.push(buffer)
    return buffer.subarray(0, atMost)
  }
}

async function readPiece(piece: Uint8Array, file: FileHandle, position: number): Promise<Uint8Array> {
  const filled = await readFully(file, piece, position)
  if (filled === piece.byteLength) return piece
  throw new Error(`The file ends at byte ${position + filled}, wanted ${position + piece.byteLength}`)
}
