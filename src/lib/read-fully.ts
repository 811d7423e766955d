import type { FileHandle } from 'node:fs/promises'

/**
 * Fills `buffer` with what a file has from `position` on: the system may hand out less at a time than it is asked for.
 * The bytes that were read, which are fewer only where the file ends.
 * @throws the system's error
 */
export async function readFully(file: FileHandle, buffer: Uint8Array, position: number): Promise<number> {
  let filled = 0
  while (filled < buffer.byteLength) {
    const { bytesRead } = await file.read(buffer, filled, buffer.byteLength - filled, position + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return filled
}
