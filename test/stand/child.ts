/** A child process whose output is kept, and which never outlives the block that opened it. */
import { waitFor } from './wait-for.ts'

/** Between the polite signal and the last one: above the bounded shutdown of any program of the tests. */
const STOP_GRACE_MS = 15_000

export interface ChildOptions {
  /** The whole environment: nothing is inherited but PATH, so that a developer's proxy or HOME changes no result. */
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly stdin?: string
}

export interface Child extends AsyncDisposable {
  readonly pid: number
  /** Everything written so far. */
  stdout(): string
  stderr(): string
  /** The exit code; 128 + the signal's number when a signal ended it. Output is complete by then. */
  readonly exited: Promise<number>
  kill(signal?: NodeJS.Signals): void
  /** SIGTERM, then SIGKILL when that is ignored; the exit code. Idempotent. */
  stop(): Promise<number>
}

export function openChild(command: readonly string[], options: ChildOptions = {}): Child {
  const process = Bun.spawn([...command], {
    env: { PATH: Bun.env['PATH'] ?? '/usr/bin:/bin', ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    stdin: options.stdin === undefined ? 'ignore' : new TextEncoder().encode(options.stdin),
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const stdout = collect(process.stdout)
  const stderr = collect(process.stderr)
  let running = true
  const exited = Promise.all([process.exited, stdout.done, stderr.done]).then(([code]) => {
    running = false
    return code
  })
  const stop = async (): Promise<number> => {
    if (!running) return exited
    process.kill('SIGTERM')
    const late = setTimeout(() => process.kill('SIGKILL'), STOP_GRACE_MS)
    try {
      return await exited
    } finally {
      clearTimeout(late)
    }
  }
  return {
    pid: process.pid,
    stdout: stdout.text,
    stderr: stderr.text,
    exited,
    kill: (signal = 'SIGKILL') => process.kill(signal),
    stop,
    [Symbol.asyncDispose]: async () => {
      await stop()
    },
  }
}

export interface Finished {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a command to its end. */
export async function runCommand(command: readonly string[], options: ChildOptions = {}): Promise<Finished> {
  await using child = openChild(command, options)
  const code = await child.exited
  return { code, stdout: child.stdout(), stderr: child.stderr() }
}

/** Runs a command that has to succeed; @throws with its output when it does not. */
export async function runOrThrow(command: readonly string[], options: ChildOptions = {}): Promise<Finished> {
  const finished = await runCommand(command, options)
  if (finished.code === 0) return finished
  throw new Error(`${command.join(' ')} exited with ${finished.code}:\n${finished.stdout}${finished.stderr}`)
}

/** The first match of `pattern` in what a child writes; @throws with its output when it exits before. */
export async function waitForOutput(
  child: Child,
  stream: 'stdout' | 'stderr',
  pattern: RegExp,
): Promise<RegExpExecArray> {
  let code: number | undefined
  void child.exited.then((exit) => {
    code = exit
  })
  return waitFor(`${pattern} on ${stream} of process ${child.pid}`, () => {
    const match = pattern.exec(child[stream]())
    if (match === null && code !== undefined) {
      throw new Error(`The process exited with ${code} before ${pattern}:\n${child.stdout()}${child.stderr()}`)
    }
    return match
  })
}

function collect(stream: ReadableStream<Uint8Array>): { text: () => string; done: Promise<void> } {
  const decoder = new TextDecoder()
  let text = ''
  const read = async (): Promise<void> => {
    for await (const chunk of stream) text += decoder.decode(chunk, { stream: true })
    text += decoder.decode()
  }
  return { text: () => text, done: read() }
}
