/** Uploads under way: what one has is what was written and hashed, and none leaves a file behind. */
import { describe, expect, test } from 'bun:test'
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { limits } from '../../src/limits.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { UploadFiles } from '../../src/storage/upload-files.ts'
import { FakeClock } from '../lib/fake-clock.ts'
import { runCommand } from '../stand/child.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { waitFor } from '../stand/wait-for.ts'
import { rejection } from '../upstream/fake-send.ts'
import { brokenStream, fillBlob, makeBlob, streamOf } from './blob-content.ts'
import { namesIn } from './layout-content.ts'

const REPOSITORY = 'team/demo'
const hello = makeBlob('hello world')

async function openStage() {
  const temp = await openTempDir()
  const dir = join(temp.path, '.uploads')
  const clock = new FakeClock()
  const uploads = new UploadFiles(dir, clock)
  await uploads.clear()
  const target = join(temp.path, 'adopted')
  return {
    dir,
    clock,
    uploads,
    target,
    begin: async (algorithm: 'sha256' | 'sha512' = 'sha256') => (await uploads.begin(REPOSITORY, algorithm)).id,
    append: (id: string, body: ReadableStream<Uint8Array> | null, start?: number, length?: number) =>
      uploads.append(REPOSITORY, id, { body, start, length }),
    finish: (id: string, digest: Digest, body: ReadableStream<Uint8Array> | null = null, start?: number) =>
      uploads.finish(REPOSITORY, id, { body, start, length: undefined, digest }, (path) => rename(path, target)),
    [Symbol.asyncDispose]: temp[Symbol.asyncDispose],
  }
}

function text(...pieces: readonly string[]): ReadableStream<Uint8Array> {
  return streamOf(...pieces.map((piece) => new TextEncoder().encode(piece)))
}

/** A body that a test feeds by hand. */
function openBody() {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
  const writer = writable.getWriter()
  return {
    body: readable,
    send: (piece: string) => writer.write(new TextEncoder().encode(piece)),
    end: () => writer.close(),
  }
}

describe('an upload', () => {
  test.each(['sha256', 'sha512'] as const)('in chunks of many pieces is whole: %s', async (algorithm) => {
    await using stage = await openStage()
    const id = await stage.begin(algorithm)
    expect(await stage.append(id, text('he', 'l', 'lo'))).toEqual({ id, size: 5 })
    expect(await stage.append(id, text(' wor'), 5, 4)).toEqual({ id, size: 9 })
    await stage.finish(id, makeBlob('hello world', algorithm).digest, text('ld'), 9)
    expect(await readFile(stage.target, 'utf8')).toBe('hello world')
    expect(await namesIn(stage.dir)).toEqual([])
    expect(await rejection(stage.append(id, text('x')))).toMatchObject({ code: 'UPLOAD_UNKNOWN' })
  })

  test.each([0, 5])(
    'begun for another algorithm is hashed by that of its digest, with %p bytes sent before',
    async (sent) => {
      await using stage = await openStage()
      const id = await stage.begin('sha256')
      if (sent > 0) await stage.append(id, text('hello'))
      await stage.finish(id, makeBlob('hello world', 'sha512').digest, text('hello world'.slice(sent)))
      expect(await readFile(stage.target, 'utf8')).toBe('hello world')
    },
  )

  test('of nothing is an empty blob', async () => {
    await using stage = await openStage()
    await stage.finish(await stage.begin(), makeBlob('').digest)
    expect(await readFile(stage.target, 'utf8')).toBe('')
  })

  test('belongs to its repository', async () => {
    await using stage = await openStage()
    const id = await stage.begin()
    expect(() => stage.uploads.progress('team/other', id)).toThrow(expect.objectContaining({ code: 'UPLOAD_UNKNOWN' }))
    const chunk = { body: text('x'), start: undefined, length: undefined }
    expect(await rejection(stage.uploads.append('team/other', id, chunk))).toMatchObject({ code: 'UPLOAD_UNKNOWN' })
    expect(await rejection(stage.uploads.cancel('team/other', id))).toMatchObject({ code: 'UPLOAD_UNKNOWN' })
    expect(stage.uploads.progress(REPOSITORY, id)).toEqual({ id, size: 0 })
  })

  test('whose bytes are others than promised is gone', async () => {
    await using stage = await openStage()
    const id = await stage.begin()
    expect(await rejection(stage.finish(id, hello.digest, text('hello')))).toMatchObject({ code: 'DIGEST_INVALID' })
    expect(await rejection(stage.finish(id, hello.digest))).toMatchObject({ code: 'UPLOAD_UNKNOWN' })
    expect(await namesIn(stage.dir)).toEqual([])
  })

  test('whose adoption fails is gone, and its file too', async () => {
    await using stage = await openStage()
    const id = await stage.begin()
    const chunk = { body: text('hello world'), start: undefined, length: undefined }
    const failing = stage.uploads.finish(REPOSITORY, id, { ...chunk, digest: hello.digest }, () =>
      Promise.reject(new Error('no place')),
    )
    expect(await rejection(failing)).toMatchObject({ message: 'no place' })
    expect(() => stage.uploads.progress(REPOSITORY, id)).toThrow()
    expect(await namesIn(stage.dir)).toEqual([])
  })

  test('is as old as its end when it is handed over, however long it took', async () => {
    await using stage = await openStage()
    const id = await stage.begin()
    await stage.append(id, text('hello world'))
    await stage.clock.advance(3_000_000)
    await stage.finish(id, hello.digest)
    expect((await stat(stage.target)).mtimeMs).toBe(stage.clock.now())
  })
})

describe('a chunk', () => {
  test.each([0, 4, 6])('that begins at %p of 5 is out of order, and changes nothing', async (start) => {
    await using stage = await openStage()
    const id = await stage.begin()
    await stage.append(id, text('hello'))
    expect(await rejection(stage.append(id, text('x'), start))).toMatchObject({ code: 'UPLOAD_OUT_OF_ORDER' })
    expect(await rejection(stage.finish(id, hello.digest, text('x'), start))).toMatchObject({
      code: 'UPLOAD_OUT_OF_ORDER',
    })
    await stage.finish(id, hello.digest, text(' world'), 5)
  })

  test.each([0, 5])(
    'that breaks off leaves what had arrived, and the client goes on from there, with %p bytes before',
    async (sent) => {
      await using stage = await openStage()
      const id = await stage.begin()
      if (sent > 0) await stage.append(id, text('hello'))
      const bytes = new TextEncoder().encode('hello world'.slice(sent, 8))
      const broken = brokenStream(bytes.subarray(0, 1), bytes.subarray(1))
      expect(await rejection(stage.append(id, broken))).toMatchObject({ code: 'UPLOAD_INVALID' })
      expect(stage.uploads.progress(REPOSITORY, id)).toEqual({ id, size: 8 })
      await stage.finish(id, hello.digest, text('rld'), 8)
      expect(await readFile(stage.target, 'utf8')).toBe('hello world')
    },
  )

  test('that breaks off before its first byte leaves an upload that can still begin', async () => {
    await using stage = await openStage()
    const id = await stage.begin()
    expect(await rejection(stage.append(id, brokenStream()))).toMatchObject({ code: 'UPLOAD_INVALID' })
    await stage.finish(id, hello.digest, text('hello world'), 0)
  })

  test('of another length than it says is refused, and what came of it counts', async () => {
    await using stage = await openStage()
    const id = await stage.begin()
    expect(await rejection(stage.append(id, text('hello'), 0, 6))).toMatchObject({ code: 'UPLOAD_INVALID' })
    expect(stage.uploads.progress(REPOSITORY, id).size).toBe(5)
    await stage.finish(id, hello.digest, text(' world'), 5)
  })

  test('while another one is written is refused, and the other is not disturbed', async () => {
    await using stage = await openStage()
    const id = await stage.begin()
    const { body, send, end } = openBody()
    const first = stage.append(id, body)
    await send('hello')
    expect(await rejection(stage.append(id, text('x')))).toMatchObject({ code: 'UPLOAD_INVALID' })
    expect(await rejection(stage.finish(id, hello.digest))).toMatchObject({ code: 'UPLOAD_INVALID' })
    await end()
    expect(await first).toEqual({ id, size: 5 })
    await stage.finish(id, hello.digest, text(' world'))
  })
})

describe('cancel', () => {
  test('takes the upload and its file away', async () => {
    await using stage = await openStage()
    const [id, empty] = [await stage.begin(), await stage.begin()]
    await stage.append(id, text('hello'))
    for (const each of [id, empty]) await stage.uploads.cancel(REPOSITORY, each)
    expect(await namesIn(stage.dir)).toEqual([])
    expect(await rejection(stage.uploads.cancel(REPOSITORY, id))).toMatchObject({ code: 'UPLOAD_UNKNOWN' })
  })

  test('while a chunk is written ends that too, and no file is left', async () => {
    await using stage = await openStage()
    const id = await stage.begin()
    const { body, send, end } = openBody()
    const appending = rejection(stage.append(id, body))
    // Whether the file is made before or after is up to the system.
    await stage.uploads.cancel(REPOSITORY, id)
    await send('hello')
    await end()
    expect(await appending).toMatchObject({ code: 'UPLOAD_UNKNOWN' })
    expect(await namesIn(stage.dir)).toEqual([])
  })

  test('while the end is written keeps the blob from being made', async () => {
    await using stage = await openStage()
    const id = await stage.begin()
    const { body, send, end } = openBody()
    const finishing = rejection(stage.finish(id, hello.digest, body))
    await send('hello world')
    await waitFor('the file', async () => (await namesIn(stage.dir)).length > 0)
    await stage.uploads.cancel(REPOSITORY, id)
    await end()
    expect(await finishing).toMatchObject({ code: 'UPLOAD_UNKNOWN' })
    expect(await namesIn(stage.dir)).toEqual([])
    expect(await Bun.file(stage.target).exists()).toBe(false)
  })
})

describe('expire', () => {
  test('removes what nobody has touched for long, and its file', async () => {
    await using stage = await openStage()
    const [old, used] = [await stage.begin(), await stage.begin()]
    for (const id of [old, used]) await stage.append(id, text('hello'))
    await stage.clock.advance(limits.uploadIdleMs)
    await stage.append(used, text(' '))
    await stage.uploads.expire()
    expect(await namesIn(stage.dir)).toHaveLength(2)
    await stage.clock.advance(1)
    await stage.uploads.expire()
    expect(await namesIn(stage.dir)).toEqual([used])
    expect(() => stage.uploads.progress(REPOSITORY, old)).toThrow()
  })

  test('leaves alone what is being written, however long that takes', async () => {
    await using stage = await openStage()
    const id = await stage.begin()
    const { body, send, end } = openBody()
    const appending = stage.append(id, body)
    await send('hello')
    await stage.clock.advance(limits.uploadIdleMs * 2)
    await stage.uploads.expire()
    await end()
    expect(await appending).toEqual({ id, size: 5 })
    await stage.uploads.expire()
    await stage.finish(id, hello.digest, text(' world'))
  })

  test('leaves alone what somebody comes back to while others are removed', async () => {
    await using stage = await openStage()
    const [first, second] = [await stage.begin(), await stage.begin()]
    for (const id of [first, second]) await stage.append(id, text('hello'))
    await stage.clock.advance(limits.uploadIdleMs + 1)
    const expiring = stage.uploads.expire()
    const finishing = stage.finish(second, hello.digest, text(' world'))
    await expiring
    await finishing
    expect(await readFile(stage.target, 'utf8')).toBe('hello world')
    expect(await namesIn(stage.dir)).toEqual([])
  })
})

describe('begin', () => {
  test('has a bound, and room again when uploads are given up or finished', async () => {
    await using stage = await openStage()
    const ids = await Promise.all(Array.from({ length: limits.maxUploads }, () => stage.begin()))
    expect(await rejection(stage.begin())).toMatchObject({ code: 'TOO_MANY_UPLOADS', retryable: true })
    await stage.finish(ids[0] ?? '', hello.digest, text('hello world'))
    const last = await stage.begin()
    const refused = await Promise.all([rejection(stage.begin()), rejection(stage.begin())])
    for (const each of refused) expect(each).toMatchObject({ code: 'TOO_MANY_UPLOADS' })
    await stage.clock.advance(limits.uploadIdleMs)
    await stage.append(last, text('hello'))
    await stage.clock.advance(1)
    await stage.begin()
    expect(stage.uploads.progress(REPOSITORY, last).size).toBe(5)
  })

  test('makes no file', async () => {
    await using stage = await openStage()
    await stage.begin()
    expect(await namesIn(stage.dir)).toEqual([])
  })
})

test('clear removes what an earlier run has left, whatever it is', async () => {
  await using stage = await openStage()
  await writeFile(join(stage.dir, 'left'), 'x')
  await mkdir(join(stage.dir, 'dir', 'below'), { recursive: true })
  await stage.uploads.clear()
  expect(await namesIn(stage.dir)).toEqual([])
})

test('a disk that is full in the middle of a chunk: the upload is gone with its file, and smaller ones go on', async () => {
  await using temp = await openTempDir()
  const script = join(import.meta.dir, 'limited-uploads.ts')
  // 1 MiB at most, and the signal that comes with going over it ignored, so that the write itself fails.
  const command = `trap '' XFSZ; ulimit -f 1024; exec "$0" "$1" "$2"`
  const { code, stdout, stderr } = await runCommand(['bash', '-c', command, process.execPath, script, temp.path])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(JSON.parse(stdout)).toEqual({
    large: ['EFBIG', 'EFBIG'],
    afterwards: ['UPLOAD_UNKNOWN', 'UPLOAD_UNKNOWN'],
    names: ['small'],
  })
  expect(await readFile(join(temp.path, 'small'), 'utf8')).toBe(Buffer.from(fillBlob(1000, 's').bytes).toString())
})

test('refuses at once what the disk has no room for, reads nothing of it, and takes what there is room for', async () => {
  await using stage = await openStage()
  const id = await stage.begin()
  let pulled = 0
  const body = new ReadableStream<Uint8Array>({ pull: () => void pulled++ }, { highWaterMark: 0 })
  expect(await rejection(stage.append(id, body, undefined, 2 ** 50))).toMatchObject({ code: 'STORAGE_FULL' })
  expect(pulled).toBe(0)
  expect(await stage.append(id, text('hello'))).toEqual({ id, size: 5 })
})
