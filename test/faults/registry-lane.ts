/**
 * Clients that push charts to the embedded registry until it is killed, what was acknowledged to them by then, and what
 * must hold of the directory and of the next server over it.
 */
import { expect } from 'bun:test'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { CHART_LAYER_TYPE, CONFIG_TYPE, digestOf, OCI_MANIFEST_TYPE } from '../stand/charts.ts'
import { runOrThrow } from '../stand/child.ts'
import { type ReadLayout, readLayouts } from '../stand/image-layouts.ts'
import { need } from '../stand/programs.ts'
import type { Random } from './kill-lane.ts'

/** One lies below another. */
const REPOSITORIES = ['app', 'team/app', 'team/app/nested', 'other']
const TAGS_PER_PUSHER = 3
/** Blobs that are looked at over HTTP after each start; all are looked at on disk. */
const SAMPLE = 20

interface Tag {
  readonly repository: string
  readonly name: string
  /** Of the manifest that it was last said to point to. */
  acknowledged: string | undefined
  /** Of the manifest that it points to if the push arrived. */
  underWay: string | undefined
}

interface Described {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
}

/** What clients were told in the life of one directory. */
export class Acknowledged {
  /** By repository. */
  readonly blobs = new Map(REPOSITORIES.map((repository) => [repository, new Set<string>()]))
  readonly manifests = new Map(REPOSITORIES.map((repository) => [repository, new Set<string>()]))
  readonly #tags = new Map<string, Tag>()

  tag(repository: string, name: string): Tag {
    const key = `${repository}:${name}`
    const tag = this.#tags.get(key) ?? { repository, name, acknowledged: undefined, underWay: undefined }
    this.#tags.set(key, tag)
    return tag
  }

  /** Fails unless everything is there, and nothing else; notes which of the pushes under way have arrived. */
  async checkDirectory(root: string): Promise<readonly ReadLayout[]> {
    const layouts = await readLayouts(root)
    const there = new Map(layouts.map((layout) => [layout.repository, layout]))
    const missing: string[] = []
    for (const repository of REPOSITORIES) {
      const layout = there.get(repository)
      const lost = (digests: ReadonlySet<string> | undefined, left: ReadonlySet<string> | undefined): string[] =>
        [...(digests ?? [])].filter((digest) => left?.has(digest) !== true).map((digest) => `${repository}@${digest}`)
      missing.push(...lost(this.blobs.get(repository), layout?.blobs))
      missing.push(...lost(this.manifests.get(repository), layout?.manifests))
    }
    expect(missing).toEqual([])
    for (const tag of this.#tags.values()) {
      const points = there.get(tag.repository)?.tags.get(tag.name)
      expect([tag.acknowledged, tag.underWay], `${tag.repository}:${tag.name}`).toContain(points)
      tag.acknowledged = points
      tag.underWay = undefined
    }
    return layouts
  }

  /** Fails unless a server hands out what is to be there. */
  async checkServer(url: string, random: Random): Promise<void> {
    for (const { repository, name, acknowledged } of this.#tags.values()) {
      const answer = await fetch(`${url}/v2/${repository}/manifests/${name}`)
      const bytes = await answer.bytes()
      expect(answer.status, `${repository}:${name}`).toBe(acknowledged === undefined ? 404 : 200)
      if (acknowledged !== undefined) expect(digestOf(bytes)).toBe(acknowledged)
    }
    for (const [repository, digests] of this.blobs) {
      const all = [...digests]
      for (let i = 0; i < Math.min(SAMPLE, all.length) / REPOSITORIES.length; i++) {
        const digest = all[Math.floor(random() * all.length)] ?? ''
        const answer = await fetch(`${url}/v2/${repository}/blobs/${digest}`)
        expect(digestOf(await answer.bytes()), `${repository}@${digest}: ${answer.status}`).toBe(digest)
      }
    }
  }
}

/** One client. Its tags are its own, so that it knows what each points to. */
export class Pusher {
  readonly #name: string
  readonly #random: Random
  readonly #known: Acknowledged
  #pushes = 0

  constructor(name: string, random: Random, known: Acknowledged) {
    this.#name = name
    this.#random = random
    this.#known = known
  }

  /** Rejects when the server is gone, or answers what it must not. */
  async pushOne(url: string): Promise<void> {
    this.#pushes += 1
    const repository = REPOSITORIES[this.#below(REPOSITORIES.length)] ?? 'app'
    const config = JSON.stringify({ apiVersion: 'v2', name: this.#name, version: `1.${this.#pushes}.0` })
    const layer = new Uint8Array(100 + Math.floor(this.#random() ** 6 * 600_000))
    crypto.getRandomValues(layer.subarray(0, 100))
    const descriptors = [
      await this.#pushBlob(url, repository, CONFIG_TYPE, new TextEncoder().encode(config)),
      await this.#pushBlob(url, repository, CHART_LAYER_TYPE, layer),
    ]
    const [first, ...layers] = descriptors
    const manifest = JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST_TYPE, config: first, layers })
    const tag = this.#known.tag(repository, `${this.#name}-${this.#below(TAGS_PER_PUSHER)}`)
    const digest = digestOf(manifest)
    tag.underWay = digest
    const headers = { 'content-type': OCI_MANIFEST_TYPE }
    await send(`${url}/v2/${repository}/manifests/${tag.name}`, 201, { method: 'PUT', headers, body: manifest })
    tag.acknowledged = digest
    tag.underWay = undefined
    this.#known.manifests.get(repository)?.add(digest)
  }

  #below(count: number): number {
    return Math.floor(this.#random() * count)
  }

  async #pushBlob(
    url: string,
    repository: string,
    mediaType: string,
    bytes: Uint8Array<ArrayBuffer>,
  ): Promise<Described> {
    const digest = digestOf(bytes)
    const uploads = `${url}/v2/${repository}/blobs/uploads/`
    const way = this.#below(4)
    if (way === 0) await send(`${uploads}?digest=${digest}`, 201, { method: 'POST', body: bytes })
    else if (way === 1) await this.#pushElsewhereAndMount(url, repository, bytes)
    else {
      const begun = await send(uploads, 202, { method: 'POST' })
      const location = url + begun.headers.get('location')
      const middle = way === 2 ? 0 : this.#below(bytes.byteLength)
      if (middle > 0) await send(location, 202, { method: 'PATCH', body: bytes.subarray(0, middle) })
      await send(`${location}?digest=${digest}`, 201, { method: 'PUT', body: bytes.subarray(middle) })
    }
    this.#known.blobs.get(repository)?.add(digest)
    return { mediaType, digest, size: bytes.byteLength }
  }

  async #pushElsewhereAndMount(url: string, repository: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const digest = digestOf(bytes)
    const from = REPOSITORIES.find((name) => name !== repository) ?? ''
    await send(`${url}/v2/${from}/blobs/uploads/?digest=${digest}`, 201, { method: 'POST', body: bytes })
    this.#known.blobs.get(from)?.add(digest)
    const query = new URLSearchParams({ mount: digest, from })
    await send(`${url}/v2/${repository}/blobs/uploads/?${query}`, 201, { method: 'POST' })
  }
}

async function send(url: string, status: number, init: RequestInit): Promise<Response> {
  const answer = await fetch(url, init)
  expect(answer.status, `${init.method} ${url}: ${await answer.text()}`).toBe(status)
  return answer
}

/** Fails unless skopeo finds the manifest of some tag in the directory. */
export async function checkWithSkopeo(layouts: readonly ReadLayout[], random: Random): Promise<void> {
  const tagged = layouts.flatMap(({ dir, tags }) => [...tags].map(([tag, digest]) => ({ dir, tag, digest })))
  const sample = tagged[Math.floor(random() * tagged.length)]
  if (sample === undefined) return
  const { stdout } = await runOrThrow([need('skopeo'), 'inspect', '--raw', `oci:${sample.dir}:${sample.tag}`])
  expect(digestOf(stdout)).toBe(sample.digest)
}

/** What uploads have left in the directory. */
export function readUploads(root: string): Promise<string[]> {
  return readdir(join(root, '.uploads'))
}
