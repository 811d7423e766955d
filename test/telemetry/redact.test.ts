/** What of an address gets into the log, and what foreign text looks like there. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { redactUrl, toLogText } from '../../src/telemetry/redact.ts'
import { PASSWORD, USER } from '../stand/secrets.ts'

describe('redactUrl', () => {
  test.each([
    ['https://host:5000/v2/', 'https://host:5000/v2/'],
    [`https://${USER}:${PASSWORD}@host/v2/x`, 'https://host/v2/x'],
    [`https://${USER}@host/`, 'https://host/'],
    [`https://host/x?signature=${PASSWORD}`, 'https://host/x?…'],
    [`https://host/x#${PASSWORD}`, 'https://host/x'],
    ['not a URL', '(no URL)'],
    ['', '(no URL)'],
  ])('writes %s down as %s', (url, text) => {
    expect(redactUrl(url)).toBe(text)
    if (URL.canParse(url)) expect(redactUrl(new URL(url))).toBe(text)
  })

  test('never has the user, the password, the query or the fragment', () => {
    const secret = fc.uuid()
    fc.assert(
      fc.property(fc.webUrl(), secret, secret, (base, name, password) => {
        const url = new URL(base)
        url.username = name
        url.password = password
        url.search = `token=${password}`
        url.hash = password
        const text = redactUrl(url)
        expect(text).not.toContain(name)
        expect(text).not.toContain(password)
        expect(text).toContain(url.host)
      }),
    )
  })
})

describe('toLogText', () => {
  test('puts blanks where a line would break or a terminal would obey', () => {
    expect(toLogText(' a\r\nb\u001b[31mc\u2028d\u0000 ')).toBe('a b [31mc d')
  })

  test('cuts what is long, and says so', () => {
    expect(toLogText('x'.repeat(201))).toBe(`${'x'.repeat(200)}…`)
    expect(toLogText('x'.repeat(200))).toBe('x'.repeat(200))
    expect(toLogText('abc', 2)).toBe('ab…')
  })
})
