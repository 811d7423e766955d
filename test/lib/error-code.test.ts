/** The code of a runtime error. */
import { expect, test } from 'bun:test'
import { errorCode } from '../../src/lib/error-code.ts'

test('errorCode is the code of an error, or nothing', () => {
  expect(errorCode(Object.assign(new Error('x'), { code: 'ENOENT' }))).toBe('ENOENT')
  for (const other of [new Error('x'), { code: 7 }, null, undefined, 'ENOENT']) expect(errorCode(other)).toBe('')
})
