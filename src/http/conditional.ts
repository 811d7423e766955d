/** Conditional requests on entity tags (RFC 9110, 13). There are no modification dates here, so date conditions never hold. */

/** Whether an If-None-Match header covers `etag` (weak comparison): the answer is 304 then. */
export function matchesNone(header: string | null, etag: string): boolean {
  if (header === null) return false
  if (header.trim() === '*') return true
  const opaque = withoutWeakness(etag)
  return [...header.matchAll(/(?:W\/)?"[^"]*"/g)].some(([candidate]) => withoutWeakness(candidate) === opaque)
}

/** Whether an If-Range header lets a Range count: absent, or exactly this entity tag (strong comparison). */
export function allowsRange(header: string | null, etag: string): boolean {
  return header === null || header.trim() === etag
}

function withoutWeakness(etag: string): string {
  return etag.startsWith('W/') ? etag.slice(2) : etag
}
