/** Log lines: one per event whatever is in it, from the level that was asked for. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { ChartRepoError } from '../../src/errors.ts'
import { createLog, errorFields, type LogFormat, type LogLevel, logLevels } from '../../src/telemetry/log.ts'

function openLog(format: LogFormat, level: LogLevel = 'debug') {
  const lines: string[] = []
  return { lines, log: createLog({ format, level, write: (line) => void lines.push(line) }) }
}

describe('createLog', () => {
  test.each([...logLevels])('writes nothing below %s', (level) => {
    const { lines, log } = openLog('json', level)
    for (const each of logLevels) log[each](each)
    const written = lines.map((line) => JSON.parse(line).msg)
    expect(written).toEqual(logLevels.slice(logLevels.indexOf(level)))
  })

  test('json has time, level, message and fields', () => {
    const { lines, log } = openLog('json')
    log.warn('it broke', { repository: 'a/b', tags: 3, ok: false, none: undefined })
    expect(JSON.parse(lines[0] ?? '')).toEqual({
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      level: 'warn',
      msg: 'it broke',
      repository: 'a/b',
      tags: 3,
      ok: false,
    })
  })

  test('text has time, level, message and fields, in quotes where they need them', () => {
    const { lines, log } = openLog('text')
    log.info('index published', { charts: 3, reason: 'a "b" c', empty: '', none: undefined })
    expect(lines[0]).toMatch(/^\S+Z info {2}index published charts=3 reason="a \\"b\\" c" empty=""\n$/)
  })

  test.each(['json', 'text'] as const)('%s cuts what is too long to be read, and keeps the rest', (format) => {
    const { lines, log } = openLog(format)
    log.warn('metadata left out', { fields: 'x'.repeat(900_000), reason: 'y'.repeat(900_000), repository: 'a/b' })
    expect(lines).toHaveLength(1)
    expect(lines[0]?.length).toBeLessThan(10_000)
    expect(lines[0]).toContain('a/b')
  })

  test('json is one line that reads back, whatever the message and the fields', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (message, value) => {
        const { lines, log } = openLog('json')
        log.error(message, { value })
        expect(lines).toHaveLength(1)
        expect(lines[0]?.indexOf('\n')).toBe((lines[0]?.length ?? 0) - 1)
        expect(JSON.parse(lines[0] ?? '')).toMatchObject({ msg: message, value })
      }),
    )
  })

  test('text is one line without control characters, whatever the message and the fields', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('a\nb', 'a\r\nb', '\u001b[31m', '\u2028', '\u0085', '\ud800'),
    )
    fc.assert(
      fc.property(text, text, (message, value) => {
        const { lines, log } = openLog('text')
        log.error(message, { value })
        expect(lines).toHaveLength(1)
        expect(lines[0]).toMatch(/^[^\p{C}\p{Zl}\p{Zp}]*\n$/u)
      }),
    )
  })
})

describe('errorFields', () => {
  test('describes an error and the chain of its causes', () => {
    const root = new Error('disk')
    const middle = new ChartRepoError('STORAGE_FULL', 'no room', { cause: root })
    expect(errorFields(new Error('top', { cause: middle }))).toEqual({ error: 'top', cause: 'no room: disk' })
    expect(errorFields(root)).toEqual({ error: 'disk' })
    expect(errorFields('text')).toEqual({ error: 'text' })
    expect(errorFields(new TypeError())).toEqual({ error: 'TypeError' })
  })

  test('comes to an end with causes that go in a circle', () => {
    const error = new Error('round')
    error.cause = error
    expect(errorFields(error)).toEqual({ error: 'round', cause: 'round: round: round: round: round' })
  })
})
