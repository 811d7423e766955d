/**
 * Faults queued in front of a fake server: which requests they are for, in which order they come, and what each does.
 *
 * It knows nothing of registries. Invariant: every queued answer is used exactly once, and one that was never asked
 * for is told by `unused`, because a test whose fault did not happen shows nothing.
 */

import type { WireReply } from './broken-wire.ts'

export interface RequestMatch {
  /** Default: any method. */
  readonly method?: string
  /** Tested against path and query. */
  readonly path: RegExp
}

/** Makes one answer out of what the healthy server would have said. */
export type Answer = (healthy: () => WireReply | Promise<WireReply>) => Scripted | Promise<Scripted>
type Scripted = WireReply | 'reset' | 'silence'

/** The same answer again and again, until the script is cleared. */
export interface LastingAnswer {
  readonly always: Answer
}

export interface Script {
  /** How many answers of this script were given. */
  readonly used: () => number
  /** From now on the healthy server answers; what was still queued is forgotten. */
  readonly clear: () => void
}

/** A fixed reply in place of the healthy one. */
export function reply(fixed: WireReply): Answer {
  return () => fixed
}

/** A reply with an OCI error document: the registry itself says so, not some proxy in between. */
export function replyOciError(status: number, code: string, headers: Readonly<Record<string, string>> = {}): Answer {
  return reply({
    status,
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ errors: [{ code, message: `scripted ${code}` }] }),
  })
}

/** 200 with this value as JSON. */
export function replyJson(value: unknown): Answer {
  return reply({ status: 200, headers: { 'content-type': 'application/json' }, body: JSON.stringify(value) })
}

/** No answer, on a connection that stays open; with `afterBytes` the silence begins in the middle of the body. */
export function stall(options: { readonly afterBytes?: number } = {}): Answer {
  const { afterBytes } = options
  if (afterBytes === undefined) return () => 'silence'
  return async (healthy) => ({ ...(await healthy()), sendBytes: afterBytes, afterCut: 'silence' })
}

/**
 * The healthy answer, cut after so many bytes of its body, then a closed connection. With framing `close` nothing on
 * the wire tells that bytes are missing: only size and digest do.
 */
export function cutBody(
  afterBytes: number,
  options: { readonly framing?: 'length' | 'chunked' | 'close' } = {},
): Answer {
  return async (healthy) => ({ ...(await healthy()), sendBytes: afterBytes, framing: options.framing ?? 'length' })
}

/** The healthy answer with one byte in the middle of its body flipped: same length, another digest. */
export function wrongBytes(): Answer {
  return async (healthy) => {
    const reply = await healthy()
    const bytes = Buffer.from(reply.body ?? '')
    const middle = bytes.length >> 1
    bytes[middle] = (bytes[middle] ?? 0) ^ 0xff
    return { ...reply, body: bytes }
  }
}

/**
 * The connection is closed without one byte of an answer. On a connection that was used before, fetch of Bun 1.4.5
 * repeats the request by itself, once, and takes the next answer: script `cutBody(0)` where each one has to be seen.
 */
export function reset(): Answer {
  return () => 'reset'
}

/** The healthy answer, once `until` is done. Holds a request while a test does something else. */
export function held(until: Promise<unknown>): Answer {
  return async (healthy) => {
    await until
    return healthy()
  }
}

/** The healthy answer, after `action`: a push, an expiry or another event in the middle of a crawl. */
export function after(action: () => void): Answer {
  return (healthy) => {
    action()
    return healthy()
  }
}

export function always(answer: Answer): LastingAnswer {
  return { always: answer }
}

interface Entry {
  readonly match: RequestMatch
  readonly queue: Answer[]
  lasting: Answer | undefined
  used: number
  cleared: boolean
}

export class FaultScript {
  readonly #entries: Entry[] = []

  /** Queues answers for the requests of `match`. A lasting answer must be the last one. */
  add(match: RequestMatch, answers: readonly (Answer | LastingAnswer)[]): Script {
    const entry: Entry = { match, queue: [], lasting: undefined, used: 0, cleared: false }
    for (const answer of answers) {
      if (entry.lasting !== undefined) throw new Error('Cannot script an answer after a lasting one')
      if (typeof answer === 'function') entry.queue.push(answer)
      else entry.lasting = answer.always
    }
    this.#entries.push(entry)
    return {
      used: () => entry.used,
      clear: () => {
        entry.queue.length = 0
        entry.lasting = undefined
        entry.cleared = true
      },
    }
  }

  /** The next answer for this request, taken from its queue; `undefined`: the healthy server answers. */
  take(method: string, target: string): Answer | undefined {
    for (const entry of this.#entries) {
      if (entry.match.method !== undefined && entry.match.method !== method) continue
      if (!entry.match.path.test(target)) continue
      const answer = entry.queue.shift() ?? entry.lasting
      if (answer === undefined) continue
      entry.used++
      return answer
    }
    return undefined
  }

  /** One line for each script that was not used up. */
  unused(): string[] {
    const lines: string[] = []
    for (const { match, queue, lasting, used, cleared } of this.#entries) {
      const what = `${match.method ?? 'any method'} ${match.path}`
      if (queue.length > 0) lines.push(`${queue.length} scripted answers for ${what} were never asked for`)
      else if (used === 0 && (lasting !== undefined || cleared))
        lines.push(`the script for ${what} was never asked for`)
    }
    return lines
  }
}
