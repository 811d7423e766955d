/** One call per key however many ask at the same time; everybody gets its result or its error. */

export class SingleFlight<K, V> {
  readonly #flights = new Map<K, Promise<V>>()

  run(key: K, task: () => Promise<V>): Promise<V> {
    const running = this.#flights.get(key)
    if (running !== undefined) return running
    const flight = task().finally(() => this.#flights.delete(key))
    this.#flights.set(key, flight)
    return flight
  }
}
