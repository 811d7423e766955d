/** Reads one file out of a ZIP archive: a clean machine has no unzip program. */
import { open } from 'node:fs/promises'
import { inflateRawSync } from 'node:zlib'

const END_OF_DIRECTORY = 0x06054b50
const END_OF_DIRECTORY_BYTES = 22
const DIRECTORY_ENTRY = 0x02014b50
const DIRECTORY_ENTRY_BYTES = 46
const LOCAL_HEADER_BYTES = 30
const STORED = 0
const DEFLATED = 8

/** The bytes of `name` in the archive; @throws when it is not there. No ZIP64, no encryption: the sizes are below 4 GiB. */
export async function readZipEntry(path: string, name: string): Promise<Uint8Array> {
  await using file = await open(path)
  const read = async (position: number, length: number): Promise<Buffer> => {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position)
    if (bytesRead !== length) throw new Error(`${path} ends within a record`)
    return buffer
  }
  const { size } = await file.stat()
  // The archive's comment may follow the record: 64 KiB at most, and none in the archives read here.
  const end = await read(size - END_OF_DIRECTORY_BYTES, END_OF_DIRECTORY_BYTES)
  if (end.readUInt32LE(0) !== END_OF_DIRECTORY) throw new Error(`${path} is not a ZIP archive without a comment`)
  const directory = await read(end.readUInt32LE(16), end.readUInt32LE(12))
  for (let at = 0; at < directory.length; ) {
    if (directory.readUInt32LE(at) !== DIRECTORY_ENTRY) throw new Error(`${path} has a broken directory`)
    const nameBytes = directory.readUInt16LE(at + 28)
    const entryName = directory.toString('utf8', at + DIRECTORY_ENTRY_BYTES, at + DIRECTORY_ENTRY_BYTES + nameBytes)
    if (entryName === name) {
      const header = await read(directory.readUInt32LE(at + 42), LOCAL_HEADER_BYTES)
      const start = directory.readUInt32LE(at + 42) + LOCAL_HEADER_BYTES
      const bytes = await read(
        start + header.readUInt16LE(26) + header.readUInt16LE(28),
        directory.readUInt32LE(at + 20),
      )
      return unpack(bytes, directory.readUInt16LE(at + 10))
    }
    at += DIRECTORY_ENTRY_BYTES + nameBytes + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32)
  }
  throw new Error(`${path} holds no ${name}`)
}

function unpack(bytes: Uint8Array, method: number): Uint8Array {
  if (method === STORED) return bytes
  if (method === DEFLATED) return inflateRawSync(bytes)
  throw new Error(`compression method ${method} is neither stored nor deflated`)
}
