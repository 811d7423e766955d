/**
 * A program: what the registry itself allows. Fetches its catalog, tags, every manifest and every config, 64 at once,
 * and makes nothing of them. Prints how many versions there were.
 *
 *   bun bench/registry-limit.ts HOST
 */
export {}

const AT_ONCE = 64
const ACCEPT = 'application/vnd.oci.image.manifest.v1+json'
const origin = `http://${Bun.argv[2]}`

async function get(path: string): Promise<Response> {
  const response = await fetch(origin + path, { headers: { accept: ACCEPT }, decompress: false })
  if (!response.ok) throw new Error(`GET ${path} was answered with ${response.status}`)
  return response
}

/** Pages of a list, each naming the next. */
async function list(path: string, key: 'repositories' | 'tags'): Promise<string[]> {
  const names: string[] = []
  for (let next: string | undefined = path; next !== undefined; ) {
    const response: Response = await get(next)
    names.push(...(((await response.json()) as Record<string, string[]>)[key] ?? []))
    next = /<([^>]+)>/.exec(response.headers.get('link') ?? '')?.[1]
  }
  return names
}

async function forEach<T>(items: Iterable<T>, visit: (item: T) => Promise<void>): Promise<void> {
  const waiting = items[Symbol.iterator]()
  const lane = async (): Promise<void> => {
    for (let step = waiting.next(); step.done !== true; step = waiting.next()) await visit(step.value)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, lane))
}

const versions: (readonly [string, string])[] = []
await forEach(await list('/v2/_catalog?n=1000', 'repositories'), async (repository) => {
  for (const tag of await list(`/v2/${repository}/tags/list`, 'tags')) versions.push([repository, tag])
})
await forEach(versions, async ([repository, tag]) => {
  const { config } = (await (await get(`/v2/${repository}/manifests/${tag}`)).json()) as { config: { digest: string } }
  await (await get(`/v2/${repository}/blobs/${config.digest}`)).bytes()
})
console.log(versions.length)
