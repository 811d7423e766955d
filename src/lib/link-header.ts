/** The Link header (RFC 8288), as far as paging needs it: read in one pass, whatever a registry sends. */

/**
 * The target of the first link whose `rel` contains `next`, exactly as written (it may be relative); undefined when
 * there is none. Several links may share one header, separated by commas; targets may contain commas themselves.
 */
export function findNextLink(header: string | null): string | undefined {
  let rest = header ?? ''
  for (;;) {
    const open = rest.indexOf('<')
    const close = rest.indexOf('>', open)
    if (open < 0 || close < 0) return undefined
    const target = rest.slice(open + 1, close)
    const parameters = readParameters(rest.slice(close + 1))
    if (parameters.relations.includes('next')) return target
    rest = rest.slice(close + 1 + parameters.length)
  }
}

/** `; name=value` or `; name="value"`, sticky: each match starts where the one before ended. */
const PARAMETER = /\s*;\s*([^\s=;,"<]*)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?/y

/** The `rel` of a link, split, and how long its parameters are. */
function readParameters(text: string): { readonly relations: readonly string[]; readonly length: number } {
  let rel: string | undefined
  let length = 0
  PARAMETER.lastIndex = 0
  for (let match = PARAMETER.exec(text); match !== null; match = PARAMETER.exec(text)) {
    length = PARAMETER.lastIndex
    // The first one counts (RFC 8288, 3.3).
    if (match[1]?.toLowerCase() === 'rel') rel ??= match[2] ?? match[3] ?? ''
  }
  return { relations: (rel ?? '').toLowerCase().split(/\s+/), length }
}
