/** Lists in pages: repositories, tags and referrers (distribution spec 1.1, "Content Discovery"). */

import { ChartRepoError } from '../../errors.ts'
import { limits } from '../../limits.ts'
import type { Digest } from '../../oci/digest.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import type { ContentLister, Referrer } from '../../oci/registry-store.ts'

export async function answerCatalog(store: ContentLister, query: URLSearchParams): Promise<Response> {
  const { names, link } = takePage(await store.sortedRepositories(), '/v2/_catalog', query)
  return Response.json({ repositories: names }, { headers: link })
}

export async function answerTags(store: ContentLister, repository: string, query: URLSearchParams): Promise<Response> {
  const tags = await store.sortedTags(repository)
  if (tags === undefined) throw new ChartRepoError('REPOSITORY_UNKNOWN', 'There is no such repository')
  const { names, link } = takePage(tags, `/v2/${repository}/tags/list`, query)
  return Response.json({ name: repository, tags: names }, { headers: link })
}

export async function answerReferrers(
  store: ContentLister,
  { repository, digest }: { readonly repository: string; readonly digest: Digest },
  query: URLSearchParams,
): Promise<Response> {
  // A plus sign that was not escaped was read as a space, which no media type has.
  const wanted = (query.get('artifactType') ?? '').replaceAll(' ', '+')
  const headers = new Headers({ 'content-type': mediaTypes.ociIndex })
  if (wanted !== '') headers.set('oci-filters-applied', 'artifactType')
  const page: string[] = []
  let bytes = 0
  let last = query.get('last') ?? ''
  for await (const referrer of store.listReferrers(repository, digest, last)) {
    if (wanted !== '' && referrer.artifactType !== wanted) continue
    const descriptor = renderDescriptor(referrer)
    const length = Buffer.byteLength(descriptor)
    if (page.length > 0 && bytes + length > limits.maxReferrersPageBytes) {
      const next = new URLSearchParams({ ...(wanted !== '' && { artifactType: wanted }), last })
      headers.set('link', `</v2/${repository}/referrers/${digest}?${next}>; rel="next"`)
      break
    }
    page.push(descriptor)
    bytes += length
    last = referrer.digest
  }
  const head = `{"schemaVersion":2,"mediaType":"${mediaTypes.ociIndex}","manifests":[`
  return new Response(`${head}${page.join(',')}]}`, { headers })
}

function renderDescriptor({ mediaType, digest, size, artifactType, annotations }: Referrer): string {
  return JSON.stringify({ mediaType, digest, size, artifactType, annotations })
}

/** @throws PAGE_INVALID */
function takePage(
  sorted: readonly string[],
  path: string,
  query: URLSearchParams,
): { readonly names: readonly string[]; readonly link: Readonly<Record<string, string>> } {
  const asked = query.get('n')
  if (asked !== null && !/^\d{1,9}$/.test(asked)) {
    throw new ChartRepoError('PAGE_INVALID', 'The number of entries to list, n, must be a whole number from 0 on')
  }
  const last = query.get('last')
  const left = last === null ? sorted : sorted.filter((name) => name > last)
  const names = asked === null ? left : left.slice(0, Number(asked))
  const end = names.at(-1)
  if (end === undefined || names.length === left.length) return { names, link: {} }
  return { names, link: { link: `<${path}?${new URLSearchParams({ n: asked ?? '', last: end })}>; rel="next"` } }
}
