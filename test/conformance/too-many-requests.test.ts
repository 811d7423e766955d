/** Distribution spec 1.1, "Error Codes": 429, when there are as many uploads under way as may be. */
import { expect, test } from 'bun:test'
import { digestOf, someBytes } from './manifest-content.ts'
import { expectError, expectStatus, locationOf, openRegistryClient } from './registry-client.ts'

const MAX_UPLOADS = 10_000

const registry = openRegistryClient()

test('spec "Error Codes": an upload too many is 429 with Retry-After, and those under way go on', async () => {
  const repository = registry.freshName()
  const path = `/v2/${repository}/blobs/uploads/`
  const first = await registry.beginUpload(repository)
  let left = MAX_UPLOADS - 1
  const begin = async () => {
    while (left > 0) {
      left -= 1
      expect((await registry.send('POST', path)).status).toBe(202)
    }
  }
  await Promise.all(Array.from({ length: 32 }, begin))

  const refused = await registry.send('POST', path)
  expect(refused.headers.get('retry-after')).toMatch(/^[1-9]\d*$/)
  await expectError(refused, 429, 'TOOMANYREQUESTS')

  const bytes = someBytes(100)
  await expectStatus(await registry.finishUpload(first, digestOf(bytes), bytes), 201)
  const next = await registry.send('POST', path)
  await expectStatus(next, 202)
  await expectStatus(await registry.delete(locationOf(next)), 204)
})
