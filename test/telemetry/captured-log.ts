/** A log that is kept, so that tests can say what has to be in it. */
import type { Log, LogFields, LogLevel } from '../../src/telemetry/log.ts'

export interface LogLine {
  readonly level: LogLevel
  readonly message: string
  readonly fields: LogFields
}

export interface CapturedLog extends Log {
  readonly lines: readonly LogLine[]
  /** The messages at `level` or at any, in order. */
  messages(level?: LogLevel): string[]
  /** Everything that was logged, as one text. */
  text(): string
}

export function captureLog(): CapturedLog {
  const lines: LogLine[] = []
  const at =
    (level: LogLevel) =>
    (message: string, fields: LogFields = {}) =>
      void lines.push({ level, message, fields })
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    isEnabled: () => true,
    lines,
    messages: (level) =>
      lines.filter((line) => level === undefined || line.level === level).map(({ message }) => message),
    text: () => JSON.stringify(lines),
  }
}
