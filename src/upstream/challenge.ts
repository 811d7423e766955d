/**
 * The WWW-Authenticate header (RFC 9110, 11.6.1; distribution `docs/content/spec/auth/token.md`).
 *
 * Several header lines arrive joined by commas, and so may several challenges in one line: a word followed by white
 * space or nothing, not by `=`, starts the next challenge.
 */

export interface Challenge {
  /** Lower case: `bearer`, `basic`, … */
  readonly scheme: string
  /** Names in lower case. */
  readonly parameters: ReadonlyMap<string, string>
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
const PARAMETER = new RegExp(`^(${TOKEN})\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|([^\\s,"]*))`)
const SCHEME = new RegExp(`^(${TOKEN})(?:\\s+|,|$)`)

/** Every challenge that can be read, in order; what cannot be read ends the list. */
export function parseChallenges(header: string | null): readonly Challenge[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = []
  let rest = header?.trim() ?? ''
  while (rest !== '') {
    const parameter = PARAMETER.exec(rest)
    const current = challenges.at(-1)
    if (parameter !== null && current !== undefined) {
      const [all, name = '', quoted, bare = ''] = parameter
      const key = name.toLowerCase()
      // The first value counts, as in Go's parsers; a second `realm` must not replace it.
      if (!current.parameters.has(key)) current.parameters.set(key, quoted?.replace(/\\(.)/g, '$1') ?? bare)
      rest = rest.slice(all.length)
    } else {
      const scheme = SCHEME.exec(rest)
      if (scheme === null) break
      challenges.push({ scheme: (scheme[1] ?? '').toLowerCase(), parameters: new Map() })
      rest = rest.slice((scheme[1] ?? '').length)
    }
    rest = rest.replace(/^[\s,]+/, '')
  }
  return challenges
}
