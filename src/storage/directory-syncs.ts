/** Makes renames durable, many at a time: whoever asks while a directory is being synced shares the next round. */

import { syncPath } from './sync-path.ts'

interface Rounds {
  readonly running: Promise<void>
  next: Promise<void> | undefined
}

export class DirectorySyncs {
  readonly #rounds = new Map<string, Rounds>()

  /** Resolves when everything that was renamed into the directory before this call is durable. */
  sync(path: string): Promise<void> {
    const rounds = this.#rounds.get(path)
    if (rounds === undefined) return this.#start(path)
    // The round that is running may have begun before the rename.
    const start = () => this.#start(path)
    rounds.next ??= rounds.running.then(start, start)
    return rounds.next
  }

  #start(path: string): Promise<void> {
    const running = syncPath(path).finally(() => {
      if (this.#rounds.get(path)?.next === undefined) this.#rounds.delete(path)
    })
    this.#rounds.set(path, { running, next: undefined })
    return running
  }
}
