/** Credentials files that cannot be used: the fault is named, the content is not. */
import { describe, expect, test } from 'bun:test'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expectOneLine, startInVain } from '../stand/registry-stage.ts'
import { encodeBasic, findSecrets, PASSWORD } from '../stand/secrets.ts'
import { openTempDir } from '../stand/temp-dir.ts'

describe('a credentials file that cannot be used', () => {
  const broken: readonly (readonly [string, string, RegExp])[] = [
    ['no JSON', `{"auths": {"example.com": {"password": "${PASSWORD}"`, /JSON/i],
    ['nothing', '', /empty|JSON/i],
    ['a list', `["${PASSWORD}"]`, /auths|object/i],
    ['a list as auths', `{"auths": ["${PASSWORD}"]}`, /auths/],
    ['text as a credential', `{"auths": {"example.com": "${PASSWORD}"}}`, /example\.com/],
    ['a number as a password', `{"auths": {"example.com": {"username": "a", "password": 5}}}`, /example\.com/],
    ['an auth that is no base64', `{"auths": {"example.com": {"auth": "%${PASSWORD}%"}}}`, /auth/],
    ['an auth without a colon', `{"auths": {"example.com": {"auth": "${btoa(PASSWORD)}"}}}`, /auth/],
    ['an auth without a user', `{"auths": {"example.com": {"auth": "${encodeBasic('', PASSWORD)}"}}}`, /auth/],
  ]
  for (const [what, content, fault] of broken) {
    test(`because it holds ${what} ends the start with exit 2 and the fault, not the content`, async () => {
      await using temp = await openTempDir()
      const file = join(temp.path, 'credentials.json')
      await writeFile(file, content)
      const { code, stderr } = await startInVain(`--storage-registry-config=${file}`)
      expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(fault) })
      expectOneLine(stderr, '--storage-registry-config')
      expect(stderr).toContain(file)
      expect(findSecrets(stderr)).toEqual([])
      expect(stderr).not.toContain(btoa(PASSWORD))
    })
  }

  test('because it was asked for and is absent ends the start with exit 2', async () => {
    const { code, stderr } = await startInVain('--storage-registry-config=/nonexistent/credentials.json')
    expect(code).toBe(2)
    expectOneLine(stderr, '--storage-registry-config')
    expect(stderr).toContain('/nonexistent/credentials.json')
  })
})
