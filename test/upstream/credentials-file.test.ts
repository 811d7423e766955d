/** The credentials file on disk: read again when it changes, and what was good stays in force when it breaks. */
import { describe, expect, test } from 'bun:test'
import { mkdir, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { limits } from '../../src/limits.ts'
import { openCredentialsFile } from '../../src/upstream/credentials-file.ts'
import { PASSWORD, USER } from '../stand/secrets.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { captureLog } from '../telemetry/captured-log.ts'

const content = (username: string) => JSON.stringify({ auths: { 'r.example': { username, password: PASSWORD } } })

async function openStage() {
  const dir = await openTempDir()
  const path = join(dir.path, 'config.json')
  const log = captureLog()
  return {
    dir,
    path,
    log,
    open: (required = true) => openCredentialsFile({ path, required, log, lookEveryMs: 0 }),
    [Symbol.asyncDispose]: dir[Symbol.asyncDispose],
  }
}

function userOf(source: ReturnType<typeof openCredentialsFile>): string | undefined {
  const credential = source.find('r.example', 'a')
  return credential?.kind === 'basic' ? credential.username : undefined
}

describe('openCredentialsFile', () => {
  test('reads the file, and keeps its revision while nothing changes', async () => {
    await using stage = await openStage()
    await writeFile(stage.path, content(USER))
    const source = stage.open()
    const { revision } = source
    expect([userOf(source), userOf(source), source.revision]).toEqual([USER, USER, revision])
    expect(stage.log.lines).toEqual([])
  })

  test('reads it again when it changes, with a new revision', async () => {
    await using stage = await openStage()
    await writeFile(stage.path, content('first'))
    const source = stage.open()
    const { revision } = source
    await writeFile(stage.path, content('second'))
    expect(userOf(source)).toBe('second')
    expect(source.revision).toBeGreaterThan(revision)
    expect(stage.log.messages()).toEqual(['credentials file read again'])
  })

  test('sees a change of the same length at the same time stamp', async () => {
    await using stage = await openStage()
    const stamp = new Date(1_700_000_000_000)
    await writeFile(stage.path, content('a'))
    await utimes(stage.path, stamp, stamp)
    const source = stage.open()
    await writeFile(`${stage.path}.new`, content('b'))
    await utimes(`${stage.path}.new`, stamp, stamp)
    await rename(`${stage.path}.new`, stage.path)
    expect(userOf(source)).toBe('b')
  })

  test('follows the link that Kubernetes switches', async () => {
    await using stage = await openStage()
    for (const user of ['first', 'second']) {
      await mkdir(join(stage.dir.path, user))
      await writeFile(join(stage.dir.path, user, 'config.json'), content(user))
    }
    const data = join(stage.dir.path, '..data')
    await symlink('first', data)
    await symlink('..data/config.json', stage.path)
    const source = stage.open()
    expect(userOf(source)).toBe('first')
    await symlink('second', `${data}_tmp`)
    await rename(`${data}_tmp`, data)
    expect(userOf(source)).toBe('second')
  })

  test('keeps what it had while the file is broken or gone, says so once, and takes the next good one', async () => {
    await using stage = await openStage()
    await writeFile(stage.path, content('first'))
    const source = stage.open()
    const { revision } = source
    await writeFile(stage.path, `{"auths":{"r.example":{"auth":"${PASSWORD}"`)
    expect([userOf(source), userOf(source), source.revision]).toEqual(['first', 'first', revision])
    expect(stage.log.messages('error')).toHaveLength(1)
    await rm(stage.path)
    expect([userOf(source), userOf(source), source.revision]).toEqual(['first', 'first', revision])
    expect(stage.log.messages('error')).toHaveLength(2)
    await writeFile(stage.path, content('second'))
    expect(userOf(source)).toBe('second')
    expect(stage.log.text()).not.toContain(PASSWORD)
  })

  test('of an optional file that is absent has no credentials, until there is one', async () => {
    await using stage = await openStage()
    const source = stage.open(false)
    expect(userOf(source)).toBeUndefined()
    await writeFile(stage.path, content('late'))
    expect(userOf(source)).toBe('late')
    expect(stage.log.messages('error')).toEqual([])
  })

  test.each(['"credsStore":"desktop"', '"credHelpers":{"r.example":"ecr-login"}'])(
    'warns once that helpers are not asked, where the file has %s, and takes what it has itself',
    async (helpers) => {
      await using stage = await openStage()
      await writeFile(stage.path, content(USER).replace('{', `{${helpers},`))
      const source = stage.open()
      expect([userOf(source), userOf(source)]).toEqual([USER, USER])
      expect(stage.log.messages()).toEqual(['credential helpers are not asked; only what "auths" has itself is used'])
    },
  )

  test('says why a file cannot be used at the start', async () => {
    await using stage = await openStage()
    const fault = (text: string) =>
      expect.objectContaining({
        code: 'CONFIG_INVALID',
        message: `Cannot use the credentials file ${stage.path}: ${text}`,
      })
    expect(() => stage.open()).toThrow(fault('it does not exist'))
    await writeFile(stage.path, '{')
    expect(() => stage.open()).toThrow(fault('it is no JSON'))
    expect(() => stage.open(false)).toThrow(fault('it is no JSON'))
    await writeFile(stage.path, ' '.repeat(limits.maxCredentialsBytes + 1))
    expect(() => stage.open()).toThrow(fault(`it is larger than ${limits.maxCredentialsBytes} bytes`))
    await rm(stage.path)
    await mkdir(stage.path)
    expect(() => stage.open()).toThrow(fault('it is not a regular file'))
  })
})
