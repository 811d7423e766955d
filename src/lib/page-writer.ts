/** Puts short texts together to pages of UTF-8, in one buffer that is used again and again. */

export class PageWriter {
  readonly #buffer: Buffer
  #length = 0
  #takenBytes = 0

  constructor(bytes: number) {
    this.#buffer = Buffer.allocUnsafe(bytes)
  }

  /** Bytes that were added or passed by so far. */
  get position(): number {
    return this.#takenBytes + this.#length
  }

  /** Whether `text` is sure to fit behind what is there. */
  hasRoomFor(text: string): boolean {
    // A UTF-16 unit is at most three bytes of UTF-8.
    return this.#length + text.length * 3 <= this.#buffer.byteLength
  }

  add(text: string): void {
    this.#length += this.#buffer.write(text, this.#length)
  }

  /** What was added since the last call; holds until the next `add`. */
  take(): Uint8Array {
    const page = this.#buffer.subarray(0, this.#length)
    this.#takenBytes += this.#length
    this.#length = 0
    return page
  }

  /** Counts bytes that take their own way, after all that was added was taken. */
  pass(bytes: Uint8Array): Uint8Array {
    this.#takenBytes += bytes.byteLength
    return bytes
  }
}
