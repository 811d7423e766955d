/** A registry that tells what its tags point to is asked for nothing that it has told. */
import { expect, test } from 'bun:test'
import type { Digest } from '../../src/oci/digest.ts'
import { openCrawlStage, REVALIDATE_MS } from './crawl-stage.ts'
import { failure } from './memory-registry.ts'

/** A stage whose registry tells digests with its tags: the same object until `change`. */
function openTellingStage() {
  const stage = openCrawlStage()
  const { registry } = stage
  const listTags = registry.listTags.bind(registry)
  let digests = new Map<string, Digest>()
  const state = { isAtHand: false }
  Object.assign(registry, {
    listTags: async (repository: string) => {
      const listing = await listTags(repository)
      return listing && { ...listing, digests }
    },
    digestsAtHand: () => (state.isAtHand ? digests : undefined),
  })
  return {
    ...stage,
    state,
    push: (tag: string, version: string) => {
      const digest = registry.addChart('a', tag, { name: 'demo', version })
      digests = new Map([...digests, [tag, digest]])
      return digest
    },
  }
}

test('a tag that was moved is seen at once, and no other tag is checked again', async () => {
  const { push, pass, takeCalls, clock } = openTellingStage()
  push('1.0.0', '1.0.0')
  push('latest', '1.0.0')
  const { listing } = await pass('a')
  takeCalls()
  await clock.advance(2 * REVALIDATE_MS)
  const digest = push('latest', '2.0.0')
  const after = await pass('a', listing)
  expect(after.listing?.tags.get('latest')).toBe(digest)
  expect(takeCalls()).toEqual(['tags a', 'head a:latest', 'get a:latest', 'blob a'])
})

test('a tag that was moved to what is known already costs nothing', async () => {
  const { push, pass, takeCalls, registry } = openTellingStage()
  const digest = push('1.0.0', '1.0.0')
  push('latest', '0.9.0')
  const { listing } = await pass('a')
  takeCalls()
  push('latest', '1.0.0')
  const after = await pass('a', listing)
  expect([after.listing?.tags.get('latest'), takeCalls()]).toEqual([digest, ['tags a']])
  expect(registry.calls).toEqual([])
})

test('a repository whose digests are the same object is not even listed', async () => {
  const { push, pass, takeCalls, state } = openTellingStage()
  push('1.0.0', '1.0.0')
  const first = await pass('a')
  takeCalls()
  state.isAtHand = true
  const second = await pass('a', first.listing)
  expect(second.listing?.tags).toBe(first.listing?.tags as NonNullable<typeof second.listing>['tags'])
  expect(takeCalls()).toEqual([])
  push('2.0.0', '2.0.0')
  const third = await pass('a', second.listing)
  expect([third.listing?.tags.size, takeCalls()]).toEqual([2, ['tags a', 'get a:2.0.0', 'blob a']])
})

test('a repository with problems is listed again', async () => {
  const { push, pass, takeCalls, state, registry } = openTellingStage()
  push('1.0.0', '1.0.0')
  registry.fail('get a:1.0.0', failure())
  const first = await pass('a')
  expect(first.problems).toHaveLength(1)
  registry.fail('get a:1.0.0', undefined)
  takeCalls()
  state.isAtHand = true
  const second = await pass('a', first.listing)
  expect([second.problems, second.listing?.tags.size]).toEqual([[], 1])
  expect(takeCalls()).toContain('tags a')
})
