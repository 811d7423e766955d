/** A strict stand-in for the rest of the client's chain: what a test did not foresee fails it. */
import type { HttpCall, Send } from '../../src/upstream/http-call.ts'

export type Answer = Response | Error | ((call: HttpCall) => Response | Promise<Response>)

export interface FakeSend {
  readonly send: Send
  readonly calls: readonly HttpCall[]
  /** The calls as `GET https://host/path authorization`. */
  lines(): string[]
}

/** Answers the calls in turn; one call more than there are answers throws. */
export function answerInTurn(...answers: readonly Answer[]): FakeSend {
  return answerBy((_call, i) => answers[i])
}

/** Answers by what `choose` gives for a call; undefined for a call that must not be made. */
export function answerBy(choose: (call: HttpCall, index: number) => Answer | undefined): FakeSend {
  const calls: HttpCall[] = []
  const send: Send = async (call) => {
    calls.push(call)
    const answer = choose(call, calls.length - 1)
    // A plain Error: no link of the chain takes it for a failure of the registry.
    if (answer === undefined) throw new Error(`This call was not expected: ${describe(call)}`)
    if (answer instanceof Error) throw answer
    return answer instanceof Response ? answer : answer(call)
  }
  return { send, calls, lines: () => calls.map(describe) }
}

function describe(call: HttpCall): string {
  const authorization = call.headers?.['authorization']
  return `${call.method} ${call.url.href}${authorization === undefined ? '' : ` ${authorization}`}`
}

export function json(value: unknown, status = 200, headers: Readonly<Record<string, string>> = {}): Response {
  return Response.json(value, { status, headers })
}

/** An answer in the registry's own words. */
export function refusal(status: number, code: string, headers: Readonly<Record<string, string>> = {}): Response {
  return json({ errors: [{ code, message: 'x' }] }, status, headers)
}

export function get(url: string, rest: Partial<HttpCall> = {}): HttpCall {
  return { method: 'GET', url: new URL(url), ...rest }
}

/** What a promise is rejected with; @throws when it is not. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  const end = await promise.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  )
  if ('error' in end) return end.error
  throw new Error(`This was to fail, and gave ${JSON.stringify(end.value)}`)
}
