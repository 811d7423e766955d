/** Long work in short pieces, so that requests are answered in between. */

import { setImmediate } from 'node:timers/promises'
import { limits } from '../limits.ts'

export class TimeSlices {
  #endsAt = performance.now() + limits.maxSliceMs

  /** Whether it is time for others. */
  isOver(): boolean {
    return performance.now() >= this.#endsAt
  }

  /** Lets others have their turn. */
  async next(): Promise<void> {
    await setImmediate()
    this.#endsAt = performance.now() + limits.maxSliceMs
  }
}
