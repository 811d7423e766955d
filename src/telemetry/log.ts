/** The log: one line per event, as JSON for machines or as text for people. Values are data, never format strings. */

import { describeError } from '../errors.ts'
import { toLogText } from './redact.ts'

export const logLevels = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof logLevels)[number]
export type LogFormat = 'text' | 'json'

export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>

export interface Log {
  readonly debug: (message: string, fields?: LogFields) => void
  readonly info: (message: string, fields?: LogFields) => void
  readonly warn: (message: string, fields?: LogFields) => void
  readonly error: (message: string, fields?: LogFields) => void
  /** For lines that cost something to make, many times a second. */
  readonly isEnabled: (level: LogLevel) => boolean
}

/** `write` gets whole lines, each ending with a line feed. */
export function createLog(options: {
  readonly format: LogFormat
  readonly level: LogLevel
  readonly write: (line: string) => void
}): Log {
  const render = options.format === 'json' ? renderJson : renderText
  const isEnabled = (level: LogLevel) => logLevels.indexOf(level) >= logLevels.indexOf(options.level)
  const at =
    (level: LogLevel) =>
    (message: string, fields: LogFields = {}) => {
      if (isEnabled(level)) options.write(render(new Date().toISOString(), level, message, fields))
    }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error'), isEnabled }
}

/** A thrown value as log fields: its description, and those of its causes. */
export function errorFields(error: unknown): LogFields {
  const causes: string[] = []
  for (let cause = causeOf(error); cause !== undefined && causes.length < 5; cause = causeOf(cause)) {
    causes.push(describeError(cause))
  }
  return { error: describeError(error), ...(causes.length > 0 && { cause: causes.join(': ') }) }
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined
}

function renderJson(time: string, level: LogLevel, message: string, fields: LogFields): string {
  const cut = (_key: string, value: unknown) => (typeof value === 'string' ? toWholeText(value) : value)
  return `${JSON.stringify({ time, level, msg: message, ...fields }, cut)}\n`
}

/** Stacks are the longest texts that are wanted whole; what comes from outside may be of any length. */
const MAX_TEXT_LENGTH = 4000

function toWholeText(text: string): string {
  return text.length <= MAX_TEXT_LENGTH ? text : `${text.slice(0, MAX_TEXT_LENGTH)}…`
}

function renderText(time: string, level: LogLevel, message: string, fields: LogFields): string {
  let line = `${time} ${level.padEnd(5)} ${toLogText(message, MAX_TEXT_LENGTH)}`
  for (const [key, value] of Object.entries(fields)) {
    if (value === undefined) continue
    const text = toLogText(String(value), MAX_TEXT_LENGTH)
    line += ` ${key}=${/^[^\s"=]+$/.test(text) ? text : JSON.stringify(text)}`
  }
  return `${line}\n`
}
