/**
 * The directories of the embedded registry: which repositories there are, and the layout of each by its name.
 *
 * A name is made of components that are directories, so a few words cannot be components: they are what a layout calls
 * its own files. Nothing but a parsed name ever becomes a path.
 */

import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { ChartRepoError } from '../errors.ts'
import { compareText } from '../lib/compare-text.ts'
import { errorCode } from '../lib/error-code.ts'
import { TimeSlices } from '../lib/time-slices.ts'
import { isRepositoryName } from '../oci/reference.ts'
import { DirectorySyncs } from './directory-syncs.ts'
import { type FileStamp, isSameStamp, isSettled, stampOf } from './file-stamp.ts'
import { BLOBS_NAME, ImageLayout, INDEX_NAME, LAYOUT_NAME } from './image-layout.ts'
import type { LayoutIndex } from './layout-index.ts'

/** Told of every change to a repository that was made here. */
type LayoutListener = (repository: string, before: LayoutIndex, after: LayoutIndex) => void

/** No repository can be called so: components begin with a letter or a digit. */
export const DRAFTS_NAME = '.uploads'

const RESERVED: ReadonlySet<string> = new Set([BLOBS_NAME, INDEX_NAME, LAYOUT_NAME])

interface SeenDirectory {
  readonly stamp: FileStamp
  readonly isLayout: boolean
  /** Names of what may be repositories. */
  readonly below: readonly string[]
}

export class LayoutTree {
  readonly #root: string
  readonly #listener: LayoutListener
  readonly #syncs = new DirectorySyncs()
  readonly #layouts = new Map<string, ImageLayout>()
  /** How many are at work with each. */
  readonly #users = new Map<ImageLayout, number>()
  readonly #seen = new Map<string, SeenDirectory>()

  constructor(root: string, listener: LayoutListener) {
    this.#root = root
    this.#listener = listener
  }

  /**
   * The layout of a repository, whether there is one or not.
   * @throws NAME_INVALID
   */
  layout(repository: string): ImageLayout {
    const known = this.#layouts.get(repository)
    if (known !== undefined) return known
    if (!isRepositoryName(repository)) throw new ChartRepoError('NAME_INVALID', 'This is no name of a repository')
    const reserved = findReserved(repository)
    if (reserved !== undefined) {
      const message = `No part of a repository's name may be "${reserved}": image layouts call their own files so`
      throw new ChartRepoError('NAME_INVALID', message)
    }
    return new ImageLayout({
      dir: join(this.#root, repository),
      draftsDir: join(this.#root, DRAFTS_NAME),
      syncs: this.#syncs,
      onChange: (before, after) => this.#listener(repository, before, after),
    })
  }

  isName(text: string): boolean {
    return isRepositoryName(text) && findReserved(text) === undefined
  }

  /** As `layout`, for one that is there or is about to be: the same object for as long as the server runs. */
  keep(repository: string, layout = this.layout(repository)): ImageLayout {
    const kept = this.#layouts.get(repository) ?? layout
    this.#layouts.set(repository, kept)
    return kept
  }

  /** Gives `work` the layout that everybody else uses. It is kept when there is one at the end: names alone cost nothing. */
  async use<T>(repository: string, work: (layout: ImageLayout) => Promise<T>): Promise<T> {
    const layout = this.keep(repository)
    this.#users.set(layout, (this.#users.get(layout) ?? 0) + 1)
    try {
      return await work(layout)
    } finally {
      const left = (this.#users.get(layout) ?? 1) - 1
      if (left > 0) this.#users.set(layout, left)
      else {
        this.#users.delete(layout)
        if (!layout.isMade()) this.#layouts.delete(repository)
      }
    }
  }

  /** The names of all repositories, in byte order. Directories that did not change are not read again. */
  async list(): Promise<readonly string[]> {
    const names: string[] = []
    const there = new Set<string>()
    const slices = new TimeSlices()
    const waiting = ['']
    for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
      const seen = await this.#look(name)
      if (seen === undefined) continue
      there.add(name)
      if (seen.isLayout && name !== '') names.push(name)
      for (const below of seen.below) waiting.push(below)
      if (slices.isOver()) await slices.next()
    }
    for (const name of this.#seen.keys()) if (!there.has(name)) this.#seen.delete(name)
    return names.sort(compareText)
  }

  /** undefined for what is no directory; as it was seen last when it cannot be read while others can. */
  async #look(name: string): Promise<SeenDirectory | undefined> {
    const path = join(this.#root, name)
    try {
      const stamp = stampOf(path)
      if (stamp === undefined) return undefined
      const known = this.#seen.get(name)
      if (known !== undefined && isSameStamp(known.stamp, stamp)) return known
      const settled = isSettled(stamp)
      const entries = await readdir(path, { withFileTypes: true })
      const below = entries
        .filter((entry) => entry.isDirectory() && !RESERVED.has(entry.name))
        .map((entry) => (name === '' ? entry.name : `${name}/${entry.name}`))
        .filter(isRepositoryName)
      const files = new Set(entries.filter((entry) => !entry.isDirectory()).map((entry) => entry.name))
      const seen = { stamp, isLayout: files.has(INDEX_NAME) && files.has(LAYOUT_NAME), below }
      if (settled) this.#seen.set(name, seen)
      return seen
    } catch (error) {
      const code = errorCode(error)
      if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
      // What cannot be read for a while is not gone.
      if (code === 'EACCES' && name !== '') return this.#seen.get(name)
      throw error
    }
  }
}

function findReserved(repository: string): string | undefined {
  return repository.split('/').find((component) => RESERVED.has(component))
}
