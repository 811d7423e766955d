/** Work on one thing is done one after the other, in the order it came; work on different things at the same time. */

export class Turns<K> {
  readonly #last = new Map<K, Promise<void>>()

  async take<T>(key: K, work: () => Promise<T>): Promise<T> {
    const turn = (this.#last.get(key) ?? Promise.resolve()).then(work)
    // Whoever comes next waits for the end, whatever it was.
    const ended = turn.then(
      () => undefined,
      () => undefined,
    )
    this.#last.set(key, ended)
    try {
      return await turn
    } finally {
      if (this.#last.get(key) === ended) this.#last.delete(key)
    }
  }
}
