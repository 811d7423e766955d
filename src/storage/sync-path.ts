import { open } from 'node:fs/promises'

/** Makes a file durable, or what was renamed into a directory: a rename is only once its directory is. */
export async function syncPath(path: string): Promise<void> {
  const file = await open(path, 'r')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}
