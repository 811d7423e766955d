/** The Retry-After header (RFC 9110, 10.2.3): whole seconds or an HTTP date. */

/** Milliseconds to wait from `now`, never negative; undefined when the header is absent or neither form. */
export function parseRetryAfter(header: string | null, now: number): number | undefined {
  const value = header?.trim() ?? ''
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000
  // Date.parse alone takes far too much ("1.5", "2024"): an HTTP date begins with the name of a day.
  if (!/^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)/.test(value)) return undefined
  const date = Date.parse(value)
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}
