/** The Link header (RFC 8288), as far as paging needs it. */

/**
 * The target of the first link whose `rel` contains `next`, exactly as written (it may be relative); undefined when
 * there is none. Several links may share one header, separated by commas; targets may contain commas themselves.
 */
export function findNextLink(header: string | null): string | undefined {
  if (header === null) return undefined
  for (const match of header.matchAll(/<([^>]*)>((?:[^,"<]|"(?:[^"\\]|\\.)*")*)/g)) {
    const rel = /;\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,"]+))/i.exec(match[2] ?? '')
    const relations = (rel?.[1] ?? rel?.[2] ?? '').toLowerCase().split(/\s+/)
    if (relations.includes('next')) return match[1]
  }
  return undefined
}
