/** Registries whose certificate a private authority signed. */
import { describe, expect, test } from 'bun:test'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { basicCredential, writeCredentials } from '../stand/credentials-file.ts'
import {
  expectOneLine,
  expectRefused,
  expectServes,
  needing,
  openFor,
  openStage,
  startInVain,
} from '../stand/registry-stage.ts'
import { PASSWORD, USER } from '../stand/secrets.ts'
import { openTempDir } from '../stand/temp-dir.ts'

describe('a registry with a private certificate authority', () => {
  const needed = ['docker-registry', 'openssl', 'htpasswd']
  const stage = openStage(needed, { auth: 'htpasswd', tls: true })
  const credentials = async (): Promise<string> => {
    const { host } = stage.registry
    return `--storage-registry-config=${await writeCredentials(stage.temp.path, host, basicCredential(USER, PASSWORD))}`
  }

  for (const scheme of ['', 'HTTPS', 'https']) {
    needing(needed, `is served with --storage-registry-ca-file and the scheme "${scheme}"`, async () => {
      const ca = `--storage-registry-ca-file=${stage.registry.caFile}`
      const schemeFlag = scheme === '' ? [] : [`--storage-registry-scheme=${scheme}`]
      await using server = await openFor(stage.registry, await credentials(), ca, ...schemeFlag)
      await expectServes(server)
      expect(server.stdout()).toContain(`${scheme === '' ? '' : 'https://'}${stage.registry.host} (as ${USER})`)
    })
  }

  needing(needed, 'is refused with a clear error when the authority is not known', async () => {
    await using server = await openFor(stage.registry, await credentials())
    await expectRefused(server, /certificate/i)
    expect(server.log()).toContain('--storage-registry-ca-file')
  })

  needing(needed, 'is served with --storage-registry-insecure, and a warning says what that means', async () => {
    await using server = await openFor(stage.registry, await credentials(), '--storage-registry-insecure')
    await expectServes(server)
    const warnings = server.logLines().filter(({ level }) => level === 'warn')
    expect(warnings.filter(({ msg }) => /insecure|not verified|verif/i.test(msg))).toHaveLength(1)
  })

  needing(needed, 'is not reached over plain HTTP, and says so', async () => {
    await using server = await openFor(stage.registry, await credentials(), '--storage-registry-scheme=HTTP')
    await expectRefused(server, /http:\/\/.*400/)
  })

  const broken = '-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n'
  for (const [what, content] of [
    ['absent', undefined],
    ['no certificate', 'not a certificate\n'],
    ['a broken certificate', broken],
  ] as const) {
    test(`a CA file that is ${what} ends the start with exit 2`, async () => {
      await using temp = await openTempDir()
      const file = join(temp.path, 'ca.pem')
      if (content !== undefined) await writeFile(file, content)
      const { code, stderr } = await startInVain(`--storage-registry-ca-file=${file}`)
      expect(code).toBe(2)
      expectOneLine(stderr, '--storage-registry-ca-file')
      expect(stderr).toContain(file)
    })
  }
})
