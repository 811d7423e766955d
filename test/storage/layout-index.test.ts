/** The index.json of a layout: what is changed here is right, and what other tools wrote is left as it is. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { ChartRepoError } from '../../src/errors.ts'
import { digestBytes } from '../../src/oci/digest.ts'
import { mediaTypes } from '../../src/oci/media-types.ts'
import type { StoredManifest } from '../../src/oci/registry-store.ts'
import { type LayoutChanges, LayoutIndex } from '../../src/storage/layout-index.ts'
import { descriptor, REF_NAME } from './layout-content.ts'

const manifests: readonly StoredManifest[] = ['a', 'b', 'c', 'd'].map((text) => ({
  mediaType: text === 'd' ? mediaTypes.ociIndex : mediaTypes.ociManifest,
  digest: digestBytes(Buffer.from(text), text === 'c' ? 'sha512' : 'sha256'),
  size: text.charCodeAt(0),
}))
const [a, b, c] = manifests as [StoredManifest, StoredManifest, StoredManifest]
const UNKNOWN_DIGEST = `blake3:${'0'.repeat(64)}`

function parse(...descriptors: readonly unknown[]): LayoutIndex {
  return LayoutIndex.parse(Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: descriptors })))
}

function descriptorsOf(index: LayoutIndex): Record<string, unknown>[] {
  return JSON.parse(index.render()).manifests
}

const tagOf = (raw: Record<string, unknown>) => (raw['annotations'] as Record<string, string> | undefined)?.[REF_NAME]
const stateOf = (index: LayoutIndex) => ({ tags: [...index.tags].sort(), manifests: [...index.manifests].sort() })
const push = (manifest: StoredManifest, ...tags: readonly string[]): LayoutChanges => ({ add: { manifest, tags } })

const someTags = fc.array(fc.constantFrom('v1', 'v2', 'v3', 'latest'), { maxLength: 3 })
const someManifest = fc.constantFrom(...manifests)
const someChanges: fc.Arbitrary<LayoutChanges> = fc.oneof(
  fc.record({ manifest: someManifest, tags: someTags }).map((add) => ({ add })),
  fc.constantFrom('v1', 'v2', 'v3', 'latest').map((removeTag) => ({ removeTag })),
  someManifest.map(({ digest }) => ({ removeManifest: digest })),
)

/** What a sequence of changes leaves, told in the simplest way. */
function replay(sequence: readonly LayoutChanges[]) {
  const tags = new Map<string, StoredManifest>()
  const there = new Map<string, StoredManifest>()
  for (const { add, removeTag, removeManifest } of sequence) {
    if (removeTag !== undefined) tags.delete(removeTag)
    if (removeManifest !== undefined) there.delete(removeManifest)
    for (const [tag, { digest }] of tags) if (digest === removeManifest) tags.delete(tag)
    if (add !== undefined) there.set(add.manifest.digest, add.manifest)
    for (const tag of add?.tags ?? []) tags.set(tag, add?.manifest ?? a)
  }
  return { tags: [...tags].sort(), manifests: [...there].sort() }
}

describe('any sequence of pushes, moved tags and removals', () => {
  test('leaves what was asked for, also when it is written and read after each change', () => {
    fc.assert(
      fc.property(fc.array(someChanges, { maxLength: 30 }), (sequence) => {
        let kept = LayoutIndex.empty
        let reread = LayoutIndex.empty
        for (const changes of sequence) {
          kept = kept.with(changes)
          reread = LayoutIndex.parse(Buffer.from(reread.with(changes).render()))
        }
        expect(stateOf(kept)).toEqual(replay(sequence) as never)
        expect(stateOf(reread)).toEqual(stateOf(kept))
        expect(reread.render()).toBe(kept.render())
      }),
    )
  })

  test('leaves one descriptor for each tag, and one without for each manifest that has none', () => {
    fc.assert(
      fc.property(fc.array(someChanges, { maxLength: 30 }), (sequence) => {
        const index = sequence.reduce((last, changes) => last.with(changes), LayoutIndex.empty)
        const tagged = new Set([...index.tags.values()].map(({ digest }) => digest))
        const bare = [...index.manifests.keys()].filter((digest) => !tagged.has(digest))
        const raw = descriptorsOf(index)
        expect(raw.flatMap((each) => tagOf(each) ?? []).sort()).toEqual([...index.tags.keys()].sort())
        expect(raw.flatMap((each) => (tagOf(each) === undefined ? String(each['digest']) : [])).sort()).toEqual(
          bare.sort(),
        )
        expect(raw.length).toBe(index.tags.size + bare.length)
      }),
    )
  })

  test('leaves descriptors of other tools untouched that it is not about', () => {
    const foreign = [
      { ...descriptor(b, 'theirs'), platform: { os: 'linux', architecture: 'arm64' }, urls: ['https://example.com'] },
      { ...descriptor(b), annotations: { [REF_NAME]: 'docker.io/library/demo:v1', other: 'ü "' } },
      { mediaType: 'text/plain', digest: UNKNOWN_DIGEST, size: 1, annotations: { [REF_NAME]: 'odd' } },
      { digest: b.digest, size: b.size, mediaType: b.mediaType, data: 'e30=', annotations: null },
    ]
    const others = someChanges.filter(
      ({ add, removeManifest }) => add?.manifest.digest !== b.digest && removeManifest !== b.digest,
    )
    fc.assert(
      fc.property(fc.array(others, { maxLength: 20 }), (sequence) => {
        const index = sequence.reduce((last, changes) => last.with(changes), parse(...foreign))
        for (const each of foreign) expect(descriptorsOf(index)).toContainEqual(each)
      }),
    )
  })
})

describe('LayoutIndex.with', () => {
  test('gives the same object when nothing changes', () => {
    const index = LayoutIndex.empty.with(push(a, 'v1')).with(push(b))
    expect(index.with(push(a, 'v1'))).toBe(index)
    expect(index.with(push(a))).toBe(index)
    expect(index.with(push(b))).toBe(index)
    expect(index.with({ removeTag: 'v2' })).toBe(index)
    expect(index.with({ removeManifest: c.digest })).toBe(index)
    expect(index.with({})).toBe(index)
  })

  test('a tag that moves or goes leaves its manifest where it is', () => {
    const index = LayoutIndex.empty.with(push(a, 'v1'))
    expect(descriptorsOf(index.with(push(b, 'v1')))).toEqual([descriptor(a), descriptor(b, 'v1')])
    expect(descriptorsOf(index.with({ removeTag: 'v1' }))).toEqual([descriptor(a)])
  })

  test('a manifest that goes takes all of its tags along', () => {
    const index = LayoutIndex.empty.with(push(a, 'v1', 'v2')).with(push(b, 'v3'))
    expect(descriptorsOf(index.with({ removeManifest: a.digest }))).toEqual([descriptor(b, 'v3')])
  })

  test('the same tag twice, as other tools may write it: the last one counts, and a push leaves one', () => {
    const index = parse(descriptor(a, 'v1'), descriptor(b, 'v1'))
    expect(index.tags.get('v1')?.digest).toBe(b.digest)
    expect(index.with(push(b, 'v1'))).toBe(index)
    expect(descriptorsOf(index.with(push(c, 'v2')))).toEqual([
      descriptor(a, 'v1'),
      descriptor(b, 'v1'),
      descriptor(c, 'v2'),
    ])
    expect(descriptorsOf(index.with(push(c, 'v1')))).toEqual([descriptor(a), descriptor(b), descriptor(c, 'v1')])
    expect(descriptorsOf(index.with({ removeTag: 'v1' }))).toEqual([descriptor(a), descriptor(b)])
  })

  test('what another tool wrote beside a tag stays when the tag moves or goes', () => {
    const theirs = { ...descriptor(a), platform: { os: 'linux' }, annotations: { [REF_NAME]: 'v1', note: 'x' } }
    const left = { ...theirs, annotations: { note: 'x' } }
    expect(descriptorsOf(parse(theirs).with(push(b, 'v1')))).toEqual([left, descriptor(b, 'v1')])
    expect(descriptorsOf(parse(theirs).with({ removeTag: 'v1' }))).toEqual([left])
  })

  test('a tag that moves away from a digest of an unknown kind leaves its descriptor', () => {
    const odd = { mediaType: 'text/plain', digest: UNKNOWN_DIGEST, size: 1 }
    const index = parse({ ...odd, annotations: { [REF_NAME]: 'v1' } }).with(push(a, 'v1'))
    expect(descriptorsOf(index)).toEqual([odd, descriptor(a, 'v1')])
    expect(index.hasUnknown).toBe(true)
  })

  test('a manifest that is pushed with another type has it from then on', () => {
    const docker = { ...a, mediaType: mediaTypes.dockerManifest }
    const index = LayoutIndex.empty.with(push(a, 'v1')).with(push(docker, 'v1'))
    expect(index.tags.get('v1')).toEqual(docker)
    expect(index.manifests.get(a.digest)).toEqual(docker)
  })
})

describe('LayoutIndex.parse', () => {
  test('a whole reference is no tag, and its manifest is there by its digest', () => {
    const index = parse(descriptor(a, 'registry.example.com/team/demo:v1'), descriptor(b, ''))
    expect([...index.tags]).toEqual([])
    expect([...index.manifests.keys()]).toEqual([a.digest, b.digest])
  })

  test('what else the document says is kept', () => {
    const text = JSON.stringify({ schemaVersion: 2, annotations: { by: 'them' }, manifests: null, extra: [1] })
    const index = LayoutIndex.parse(Buffer.from(text)).with(push(a, 'v1'))
    expect(JSON.parse(index.render())).toEqual({
      schemaVersion: 2,
      annotations: { by: 'them' },
      extra: [1],
      manifests: [descriptor(a, 'v1')],
    })
  })

  test('a key that objects have of themselves is a key like others', () => {
    const text = `{"schemaVersion":2,"__proto__":{"x":1},"manifests":[{"mediaType":"t","digest":"${a.digest}","size":1,"__proto__":{"y":2}}]}`
    const rendered = LayoutIndex.parse(Buffer.from(text))
      .with({ add: { manifest: b, tags: [] } })
      .render()
    expect(rendered).toContain('"__proto__":{"x":1}')
    expect(rendered).toContain('"__proto__":{"y":2}')
  })

  test.each([
    '',
    '{',
    'null',
    '[]',
    '{}',
    '{"schemaVersion":1,"manifests":[]}',
    '{"schemaVersion":2}',
    '{"schemaVersion":2,"manifests":{}}',
    '{"schemaVersion":2,"manifests":[null]}',
    '{"schemaVersion":2,"manifests":[{"mediaType":"t","digest":"d"}]}',
    '{"schemaVersion":2,"manifests":[{"mediaType":"t","digest":"d","size":-1}]}',
    '\xff',
  ])('%p is no index of a layout', (text) => {
    let thrown: unknown
    try {
      LayoutIndex.parse(Buffer.from(text, 'latin1'))
    } catch (error) {
      thrown = error
    }
    expect(thrown).toBeInstanceOf(ChartRepoError)
    expect(thrown).toMatchObject({ code: 'LAYOUT_DAMAGED' })
  })

  test('tags are sorted by their bytes, and lists are the same objects each time', () => {
    const index = parse(...['b', 'B', 'a', '_'].map((tag) => descriptor(a, tag)))
    expect(index.sortedTags).toEqual(['B', '_', 'a', 'b'])
    expect(index.sortedTags).toBe(index.sortedTags)
    expect(index.digests).toBe(index.digests)
  })
})
