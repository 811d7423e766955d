import { open } from 'node:fs/promises'

/** Makes what was renamed into a directory durable: a rename is only once its directory is. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
