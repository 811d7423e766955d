/** What of an address may be written down: never its user, its password or its query, which may carry a signature. */

export function redactUrl(url: URL | string): string {
  const parsed = typeof url === 'string' ? URL.parse(url) : url
  if (parsed === null) return '(no URL)'
  // A realm or a redirect may be of any length.
  const path = toLogText(parsed.pathname, 300)
  return `${parsed.protocol}//${parsed.host}${path}${parsed.search === '' ? '' : '?…'}`
}

/** Text from outside made fit for one line of a log: control characters replaced, cut at `maxLength`. */
export function toLogText(text: string, maxLength = 200): string {
  const line = text.replace(/[\p{C}\p{Zl}\p{Zp}]+/gu, ' ').trim()
  return line.length <= maxLength ? line : `${line.slice(0, maxLength)}…`
}
