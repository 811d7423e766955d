/** Registries with accounts and with token servers, and the credentials for them. */
import { describe, expect, test } from 'bun:test'
import { stat, writeFile } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'
import { chartArtifact, pushArtifact } from '../stand/charts.ts'
import { basicCredential, type Credential, mountCredentials, writeCredentials } from '../stand/credentials-file.ts'
import type { Registry } from '../stand/registry.ts'
import {
  DENIED,
  expectRefused,
  expectServes,
  needing,
  nextCrawl,
  openFor,
  openStage,
  repoFlag,
} from '../stand/registry-stage.ts'
import {
  encodeBasic,
  findSecrets,
  IDENTITY_TOKEN,
  OTHER_PASSWORD,
  OTHER_USER,
  PASSWORD,
  USER,
  WRONG_PASSWORD,
} from '../stand/secrets.ts'
import { openServer, type Server } from '../stand/server.ts'
import { openTempDir, type TempDir } from '../stand/temp-dir.ts'
import { waitFor } from '../stand/wait-for.ts'

/** Where credentials are looked for when no file is named. */
const DEFAULT_FILE = '/etc/secret/dockerconfigjson'

describe('a registry with accounts (htpasswd)', () => {
  const needed = ['docker-registry', 'htpasswd']
  const stage = openStage(needed, { auth: 'htpasswd' })

  const accepted: readonly (readonly [string, (host: string) => readonly [string, Credential], string])[] = [
    ['auth', (host) => [host, basicCredential(USER, PASSWORD)], ''],
    ['username and password', (host) => [host, { username: USER, password: PASSWORD }], ''],
    ['a colon in the password', (host) => [host, basicCredential(OTHER_USER, OTHER_PASSWORD)], ''],
    ['a scheme and /v2/ in the key', (host) => [`https://${host}/v2/`, basicCredential(USER, PASSWORD)], ''],
    ['a path in the key', (host) => [`${host}/team`, basicCredential(USER, PASSWORD)], '/team'],
    [
      'a glob in the host of the key',
      (host) => [`*.0.0.${host.slice('127.0.0.'.length)}`, basicCredential(USER, PASSWORD)],
      '',
    ],
  ]
  for (const [what, credentialFor, path] of accepted) {
    needing(needed, `a credentials file with ${what} opens it`, async () => {
      const file = await writeCredentials(stage.temp.path, ...credentialFor(stage.registry.host))
      await using server = await openFor(
        stage.registry,
        repoFlag(stage.registry, path),
        `--storage-registry-config=${file}`,
      )
      await expectServes(server)
      expect(server.stdout()).toContain(what.includes('colon') ? `(as ${OTHER_USER})` : `(as ${USER})`)
    })
  }

  needing(needed, 'a wrong password is said to be refused, and nowhere what it was', async () => {
    const wrong = basicCredential(USER, WRONG_PASSWORD)
    const file = await writeCredentials(stage.temp.path, stage.registry.host, wrong)
    await using server = await openFor(stage.registry, `--storage-registry-config=${file}`)
    await expectRefused(server, DENIED)
    expect(findSecrets(await (await server.get('/index.yaml')).text())).toEqual([])
  })

  needing(needed, 'a credential for another host, port or path is not used', async () => {
    const { registry, temp } = stage
    for (const key of ['example.com', '127.0.0.1', '*.0.1', `${registry.host}/other`]) {
      const file = await writeCredentials(temp.path, key, basicCredential(USER, PASSWORD))
      await using server = await openFor(registry, repoFlag(registry, '/team'), `--storage-registry-config=${file}`)
      await expectRefused(server, DENIED)
      expect(server.stdout()).toContain('(anonymous)')
    }
  })

  needing(needed, 'without a credentials file it is anonymous and says that it was refused', async () => {
    if (await isFile(DEFAULT_FILE)) throw new Error(`This machine has ${DEFAULT_FILE}: the test cannot do without it`)
    await using server = await openFor(stage.registry)
    expect(server.stdout()).toContain('(anonymous)')
    await expectRefused(server, DENIED)
  })

  needing(needed, 'a rotated Secret is read again', async () => {
    const { host } = stage.registry
    await using temp = await openTempDir()
    const mounted = await mountCredentials(temp.path, host, basicCredential(USER, WRONG_PASSWORD))
    await using server = await openFor(stage.registry, `--storage-registry-config=${mounted.path}`)
    await expectRefused(server, DENIED)
    await mounted.rotate(host, basicCredential(OTHER_USER, OTHER_PASSWORD))
    await expectServes(server)
    await mounted.rotate(host, basicCredential(OTHER_USER, WRONG_PASSWORD))
    await waitFor('the refusal', async () => {
      await server.get('/index.yaml')
      return !(await server.readyz()).refresh.ok
    })
    expect((await server.get('/index.yaml')).status, 'the last good snapshot stays').toBe(200)
    await mounted.rotate(host, basicCredential(USER, PASSWORD))
    await waitFor('the registry to be open again', async () => (await server.readyz()).refresh.ok)
  })

  needing(
    needed,
    'a credentials file that breaks while it runs is said so, and the last good credential stays',
    async () => {
      const { registry, temp } = stage
      const file = await writeCredentials(temp.path, registry.host, basicCredential(USER, PASSWORD))
      await using server = await openFor(registry, `--storage-registry-config=${file}`)
      await expectServes(server)
      await writeFile(file, `{"auths": ${PASSWORD}`)
      await waitFor('a warning about the file', async () => {
        await server.get('/index.yaml')
        const warnings = server.logLines().filter(({ level }) => level === 'warn' || level === 'error')
        return warnings.some((line) => /credentials file|credentials\.json/i.test(JSON.stringify(line)))
      })
      const { digest } = await pushArtifact(
        registry,
        'late/later',
        '1.0.0',
        await chartArtifact({ name: 'later', version: '1.0.0' }),
      )
      await waitFor('a chart pushed later', async () =>
        (await (await server.get('/index.yaml')).text()).includes('later'),
      )
      const deleted = await registry.fetch(`/v2/late/later/manifests/${digest}`, { method: 'DELETE' })
      expect(deleted.status).toBe(202)
    },
  )
})

describe('a registry with a token server', () => {
  const needed = ['docker-registry', 'openssl']
  const closed = openStage(needed, { auth: 'token' })
  const open = openStage(needed, { auth: 'token', anonymous: true })
  const secure = openStage(needed, { auth: 'token', tls: true })
  const grantsSince = (registry: Registry, start: number): string[] => {
    return (registry.tokens?.calls ?? []).slice(start).map(({ grant }) => grant)
  }
  const openWith = async (
    registry: Registry,
    temp: TempDir,
    credential: Credential,
    ...args: string[]
  ): Promise<Server> => {
    const file = await writeCredentials(temp.path, registry.host, credential)
    return openFor(registry, `--storage-registry-config=${file}`, ...args)
  }

  needing(needed, 'that refuses anonymous users is said to refuse', async () => {
    await using server = await openFor(closed.registry)
    await expectRefused(server, DENIED)
  })

  needing(needed, 'that lets anonymous users read is served without credentials', async () => {
    const before = open.registry.tokens?.calls.length ?? 0
    await using server = await openFor(open.registry)
    await expectServes(server)
    expect(new Set(grantsSince(open.registry, before))).toEqual(new Set(['anonymous']))
  })

  needing(needed, 'takes a user and a password, once per scope while the token lives', async () => {
    const { registry, temp } = closed
    const before = registry.tokens?.calls.length ?? 0
    await using server = await openWith(registry, temp, basicCredential(USER, PASSWORD))
    await expectServes(server)
    await nextCrawl(registry)
    const asked = (registry.tokens?.calls ?? []).slice(before)
    expect(asked.every(({ grant }) => grant === 'basic' || grant === 'password')).toBe(true)
    expect(asked.map(({ scopes }) => scopes.join(' ')).toSorted()).toEqual([
      'registry:catalog:*',
      'repository:team/demo:pull',
    ])
  })

  needing(needed, 'takes an identity token', async () => {
    const { registry, temp } = closed
    const before = registry.tokens?.calls.length ?? 0
    await using server = await openWith(registry, temp, {
      auth: encodeBasic('<token>', ''),
      identitytoken: IDENTITY_TOKEN,
    })
    await expectServes(server)
    expect(new Set(grantsSince(registry, before))).toEqual(new Set(['refresh_token']))
  })

  needing(needed, 'is not asked when the credential is a registry token', async () => {
    const { registry, temp } = closed
    const registrytoken = registry.tokens?.issue(['registry:catalog:*', 'repository:team/demo:pull']) ?? ''
    const before = registry.tokens?.calls.length ?? 0
    await using server = await openWith(registry, temp, { registrytoken })
    await expectServes(server)
    expect(grantsSince(registry, before)).toEqual([])
  })

  needing(needed, 'refuses a wrong password, and the log has no trace of it', async () => {
    const { registry, temp } = closed
    await using server = await openWith(registry, temp, basicCredential(USER, WRONG_PASSWORD))
    await expectRefused(server, DENIED)
  })

  needing(needed, 'behind a private certificate authority is trusted by the same file', async () => {
    const { registry, temp } = secure
    const ca = `--storage-registry-ca-file=${registry.caFile}`
    await using server = await openWith(registry, temp, basicCredential(USER, PASSWORD), ca)
    await expectServes(server)
  })
})

describe('a scheme that was only guessed', () => {
  const address = Object.values(networkInterfaces())
    .flat()
    .find((each) => each?.family === 'IPv4' && !each.internal)?.address

  for (const [scheme, isSent] of [
    ['', false],
    ['HTTP', true],
  ] as const) {
    const name = isSent ? 'plain HTTP that was asked for gets them' : 'plain HTTP to another host gets no credentials'
    test.skipIf(address === undefined)(address === undefined ? `skipped: no network — ${name}` : name, async () => {
      await using temp = await openTempDir()
      const seen: (string | null)[] = []
      const plain = Bun.serve({
        hostname: address ?? '',
        port: 0,
        fetch(request) {
          seen.push(request.headers.get('authorization'))
          return new Response('', { status: 401, headers: { 'www-authenticate': 'Basic realm="test"' } })
        },
      })
      try {
        const host = `${address}:${plain.port}`
        const file = await writeCredentials(temp.path, host, basicCredential(USER, PASSWORD))
        const target = [`--storage-registry-repo=${host}`, `--storage-registry-config=${file}`]
        await using server = await openServer({
          args: ['--storage=registry', ...target, ...(isSent ? [`--storage-registry-scheme=${scheme}`] : [])],
        })
        await waitFor('a failed refresh', async () => (await server.readyz()).refresh.error)
        const sent = seen.some((authorization) => authorization === `Basic ${encodeBasic(USER, PASSWORD)}`)
        expect({ asked: seen.length > 0, sent }).toEqual({ asked: true, sent: isSent })
        if (!isSent) expect(server.log()).toContain('--storage-registry-scheme')
      } finally {
        await plain.stop(true)
      }
    })
  }
})

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile()
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw cause
  }
}
