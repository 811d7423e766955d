/**
 * Lists that come in pages: catalogs and tags (distribution spec 1.1, "Listing tags"; distribution `spec/api.md`).
 *
 * Only the query of a next link is taken, on the path that was asked: links of registries behind proxies name the wrong
 * host, scheme or prefix often enough, and a listing that never leaves its own address cannot be led astray.
 */

import { ChartRepoError, isChartRepoError } from '../errors.ts'
import { tryParseJson } from '../lib/json.ts'
import { findNextLink } from '../lib/link-header.ts'
import { limits } from '../limits.ts'
import type { Listing } from '../oci/ports.ts'
import { describeCall, type HttpCall, type Send, toStatusError } from './http-call.ts'

/**
 * All names of a list. A later page that fails ends the listing as incomplete: the names so far are as good as ever,
 * only nothing may be concluded from a name's absence.
 * @param readNames takes the names out of one page; throws for a page that is none.
 * @throws what the first page fails with.
 */
export async function listPages(
  send: Send,
  first: HttpCall,
  readNames: (page: unknown) => readonly string[],
): Promise<Listing> {
  const names = new Set<string>()
  const visited = new Set<string>()
  let url: URL | undefined = first.url
  while (url !== undefined) {
    visited.add(url.search)
    const call: HttpCall = { ...first, url, maxBodyBytes: limits.maxListPageBytes }
    try {
      const page = await readPage(send, call)
      for (const name of readNames(page.body)) names.add(name)
      url = nextUrl(call, page.link, visited)
    } catch (error) {
      if (visited.size === 1 && names.size === 0) throw error
      if (!isChartRepoError(error)) throw error
      return { names: [...names], incomplete: error }
    }
  }
  return { names: [...names], incomplete: undefined }
}

async function readPage(send: Send, call: HttpCall): Promise<{ body: unknown; link: string | undefined }> {
  const response = await send(call)
  if (!response.ok) throw await toStatusError(call, response)
  const body = tryParseJson(await response.bytes())
  if (body === undefined) throw malformed(call, 'it is no JSON')
  return { body, link: findNextLink(response.headers.get('link')) }
}

function nextUrl(call: HttpCall, link: string | undefined, visited: ReadonlySet<string>): URL | undefined {
  if (link === undefined) return undefined
  const target = URL.parse(link, call.url)
  if (target === null) throw malformed(call, 'its next link is no URL')
  const next = new URL(call.url)
  next.search = target.search
  if (visited.has(next.search)) throw malformed(call, 'its pages lead back to a page that was read before')
  if (visited.size >= limits.maxListPages) throw malformed(call, `it has more than ${limits.maxListPages} pages`)
  return next
}

export function malformed(call: HttpCall, fault: string): ChartRepoError {
  return new ChartRepoError('UPSTREAM_MALFORMED', `Cannot use the answer to ${describeCall(call)}: ${fault}`)
}
