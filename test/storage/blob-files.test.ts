/** Blobs as files: what is found at a start, and what is cleared away. */
import { describe, expect, test } from 'bun:test'
import { mkdir, readdir, symlink, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { limits } from '../../src/limits.ts'
import { type Digest, digestHex } from '../../src/oci/digest.ts'
import { BlobFiles } from '../../src/storage/blob-files.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { makeBlob, streamOf } from './blob-content.ts'

const NOW = Date.UTC(2026, 2, 1, 12)

async function openStage() {
  const temp = await openTempDir()
  const dir = join(temp.path, 'blobs')
  const files = new BlobFiles(dir)
  return {
    files,
    dir,
    add: async (content: string, algorithm?: 'sha256' | 'sha512') => {
      const blob = makeBlob(content, algorithm)
      await files.write(blob, streamOf(blob.bytes))
      return blob
    },
    /** Puts a file beside where a blob belongs. */
    put: async (digest: Digest, name: string, ageMs: number) => {
      const path = join(dirname(files.path(digest)), name)
      await mkdir(dirname(path), { recursive: true })
      await writeFile(path, 'x')
      await utimes(path, (NOW - ageMs) / 1000, (NOW - ageMs) / 1000)
      return path
    },
    [Symbol.asyncDispose]: temp[Symbol.asyncDispose],
  }
}

describe('BlobFiles.scan', () => {
  test('finds nothing where there is no directory yet', async () => {
    await using stage = await openStage()
    expect(await stage.files.scan()).toEqual([])
    await stage.files.sweep(NOW)
  })

  test('finds every blob with its size, the least recently used first', async () => {
    await using stage = await openStage()
    const [a, b, c] = [await stage.add('a'), await stage.add('bb', 'sha512'), await stage.add('ccc')]
    for (const [at, { digest }] of [c, a, b].entries()) await stage.files.touch(digest, NOW + at * 1000)
    expect(await stage.files.scan()).toEqual(
      [c, a, b].map(({ digest, size }, at) => ({ digest, size, usedAt: NOW + at * 1000 })),
    )
  })

  test('passes over links that lead nowhere, directories, unfinished files and names that are no digest', async () => {
    await using stage = await openStage()
    const blob = await stage.add('blob')
    const link = stage.files.path(makeBlob('link').digest)
    await mkdir(dirname(link), { recursive: true })
    await symlink('nowhere', link)
    await mkdir(stage.files.path(makeBlob('directory').digest), { recursive: true })
    await stage.put(blob.digest, `.${digestHex(blob.digest)}.1.part`, 0)
    await stage.put(blob.digest, 'README', 0)
    await writeFile(join(stage.dir, 'sha256', 'notes'), 'x')
    expect((await stage.files.scan()).map(({ digest }) => digest)).toEqual([blob.digest])
    expect(await stage.files.state(makeBlob('link').digest)).toBeUndefined()
  })
})

describe('BlobFiles.sweep', () => {
  test('removes unfinished files over their age, and nothing else', async () => {
    await using stage = await openStage()
    const blob = await stage.add('blob')
    await stage.files.touch(blob.digest, NOW - 10 * limits.stalePartFileMs)
    const hex = digestHex(blob.digest)
    await stage.put(blob.digest, `.${hex}.old.part`, limits.stalePartFileMs + 1000)
    await stage.put(blob.digest, `.${hex}.new.part`, limits.stalePartFileMs - 1000)
    await stage.put(blob.digest, 'README', 10 * limits.stalePartFileMs)
    const link = join(dirname(stage.files.path(blob.digest)), `.${hex}.link.part`)
    await symlink('nowhere', link)
    await stage.files.sweep(NOW)
    const names = await readdir(dirname(stage.files.path(blob.digest)))
    expect(names.sort()).toEqual([`.${hex}.link.part`, `.${hex}.new.part`, 'README', hex].sort())
  })
})
