/** Which form of the index each kind of reader gets, and that Vary names all the choice was made from. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { chooseForm, formHeaders, type IndexFormatOption } from '../../src/http/index-negotiation.ts'

const options: readonly IndexFormatOption[] = ['auto', 'yaml', 'json']

function formatOf(headers: Record<string, string>, option: IndexFormatOption = 'auto') {
  return chooseForm(new Headers(headers), option).format
}

function codingOf(acceptEncoding: string | undefined) {
  const headers = new Headers(acceptEncoding === undefined ? {} : { 'accept-encoding': acceptEncoding })
  const codings = options.map((option) => chooseForm(headers, option).coding)
  // The format has no say in it.
  expect(new Set(codings).size).toBe(1)
  return codings[0]
}

describe('the format', () => {
  test.each([
    [undefined, 'yaml'],
    ['', 'yaml'],
    ['*/*', 'yaml'],
    ['application/*', 'yaml'],
    ['text/plain', 'yaml'],
    ['no media type', 'yaml'],
    ['application/yaml', 'yaml'],
    ['text/yaml, application/x-yaml', 'yaml'],
    ['application/json', 'json'],
    ['APPLICATION/JSON', 'json'],
    ['application/vnd.api+json', 'yaml'],
    // As browsers and libraries ask.
    ['text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8', 'yaml'],
    ['application/json, text/plain, */*', 'json'],
    // The order counts where nothing else does.
    ['application/json, application/yaml', 'json'],
    ['application/yaml, application/json', 'yaml'],
    ['application/json;q=0.9, application/yaml;q=0.8', 'json'],
    ['application/json;q=0.8, application/yaml', 'yaml'],
    ['application/json, */*;q=0.1', 'json'],
    ['application/yaml;q=0, */*', 'json'],
    ['application/json;q=0, */*', 'yaml'],
    ['application/json;q=0', 'yaml'],
  ] as const)('for Accept %p is %s', (accept, format) => {
    expect(formatOf(accept === undefined ? {} : { accept })).toBe(format)
  })

  test.each([
    ['Helm/4.2.3', 'json'],
    ['Helm/3.17.2', 'json'],
    ['Helm/3.9.4 (linux)', 'json'],
    ['helm/3', 'yaml'],
    ['Helm', 'yaml'],
    ['Go-http-client/1.1', 'yaml'],
    ['Mozilla/5.0 Helm/3', 'yaml'],
  ] as const)('for User-Agent %p is %s', (userAgent, format) => {
    expect(formatOf({ 'user-agent': userAgent })).toBe(format)
    expect(formatOf({ 'user-agent': userAgent, accept: '*/*' })).toBe(format)
  })

  test.each(['yaml', 'json'] as const)('that is forced is %s for everybody', (option) => {
    for (const userAgent of ['Helm/4.2.3', 'curl/8']) {
      for (const accept of ['application/json', 'application/yaml', '*/*', 'text/html']) {
        expect(formatOf({ 'user-agent': userAgent, accept }, option)).toBe(option)
      }
    }
  })
})

describe('the coding', () => {
  test.each([
    [undefined, undefined],
    ['', undefined],
    ['identity', undefined],
    ['gzip', 'gzip'],
    ['GZIP', 'gzip'],
    ['zstd', 'zstd'],
    ['br', undefined],
    ['deflate, br', undefined],
    // As browsers, curl and Go ask: the order says nothing there, the smaller one is taken.
    ['gzip, deflate, br, zstd', 'zstd'],
    ['deflate, gzip, br, zstd', 'zstd'],
    ['zstd, gzip', 'zstd'],
    ['gzip;q=1, zstd;q=0.5', 'gzip'],
    ['gzip;q=0.5, zstd;q=0.9', 'zstd'],
    ['gzip; q=0.001', 'gzip'],
    ['gzip, identity', 'gzip'],
    ['identity;q=0.5, gzip;q=0.5', 'gzip'],
    ['identity, gzip;q=0.5', undefined],
    ['gzip;q=0', undefined],
    ['gzip;q=0, zstd;q=0', undefined],
    ['gzip;q=0, zstd', 'zstd'],
    ['*', 'zstd'],
    ['*;q=0', undefined],
    ['gzip, *;q=0', 'gzip'],
    ['zstd;q=0, *', 'gzip'],
    // Nothing is left to serve; the plain bytes are better than none (RFC 9110, 12.5.3).
    ['identity;q=0', undefined],
    ['identity;q=0, *;q=0', undefined],
    ['gzip;q=much', undefined],
    ['gzip;q=-1', undefined],
    ['"gzip"', undefined],
    [',,,', undefined],
  ] as const)('for Accept-Encoding %p is %p', (acceptEncoding, coding) => {
    expect(codingOf(acceptEncoding)).toBe(coding)
  })

  test('is none for Helm, which asks for none and reads none', () => {
    expect(chooseForm(new Headers({ 'user-agent': 'Helm/4.2.3' }), 'auto')).toEqual({
      format: 'json',
      coding: undefined,
    })
  })

  test('is never one that was not named, whatever was sent', () => {
    const word = fc.constantFrom('gzip', 'zstd', 'identity', 'br', '*', 'q=0', 'q=0.5', ';', ',', ' ', '"', '=', 'é')
    fc.assert(
      fc.property(fc.array(word, { maxLength: 12 }), (words) => {
        const text = words.join('')
        const coding = codingOf(text)
        if (coding !== undefined && !text.includes('*')) expect(text).toContain(coding)
      }),
      { numRuns: 500 },
    )
  })
})

describe('formHeaders', () => {
  test('says type, coding and what the choice was made from', () => {
    const auto = 'Accept, Accept-Encoding, User-Agent'
    expect(formHeaders({ format: 'yaml', coding: undefined }, 'auto')).toEqual({
      'content-type': 'application/yaml',
      vary: auto,
    })
    expect(formHeaders({ format: 'json', coding: 'zstd' }, 'auto')).toEqual({
      'content-type': 'application/json',
      'content-encoding': 'zstd',
      vary: auto,
    })
    expect(formHeaders({ format: 'json', coding: 'gzip' }, 'json')).toEqual({
      'content-type': 'application/json',
      'content-encoding': 'gzip',
      vary: 'Accept-Encoding',
    })
  })

  // A shared cache hands the answer to one request to every other that agrees with it in what Vary names.
  test.each([...options])('names in Vary whatever the form depends on, with --index-format=%s', (option) => {
    const either = <T>(...values: T[]) => fc.constantFrom(undefined, ...values)
    const headers = fc.record({
      accept: either('application/json', 'application/yaml', '*/*'),
      'accept-encoding': either('gzip', 'zstd', 'gzip;q=0.5, identity'),
      'user-agent': either('Helm/4.2.3', 'curl/8'),
      'accept-language': either('de'),
      origin: either('http://x'),
    })
    const toHeaders = (record: Record<string, string | undefined>) =>
      new Headers(Object.entries(record).filter((pair): pair is [string, string] => pair[1] !== undefined))
    fc.assert(
      fc.property(headers, headers, (one, other) => {
        const form = chooseForm(toHeaders(one), option)
        const names = formHeaders(form, option)['vary']?.toLowerCase().split(', ') ?? []
        const alike = { ...other, ...Object.fromEntries(Object.entries(one).filter(([name]) => names.includes(name))) }
        expect(chooseForm(toHeaders(alike), option)).toEqual(form)
      }),
      { numRuns: 300 },
    )
  })
})
