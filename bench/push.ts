/** A push as Helm 3.17 makes it: both blobs at once, each asked for and then sent whole, and the manifest by its tag. */
import { OCI_MANIFEST_TYPE } from '../test/stand/charts.ts'
import type { StoredBlob } from './chart-content.ts'
import type { PushedChart } from './pushed-charts.ts'

/** Resolves with the answer to the manifest. @throws when anything of it was there before, or is refused. */
export async function pushChart(origin: string, chart: PushedChart): Promise<void> {
  const { repository, tag, config, layer, manifest } = chart
  const base = `${origin}/v2/${repository}`
  await Promise.all([config, layer].map((blob) => pushBlob(base, blob)))
  const url = `${base}/manifests/${tag}`
  await request(404, url, { method: 'HEAD', headers: { accept: OCI_MANIFEST_TYPE } })
  await request(201, url, { method: 'PUT', headers: { 'content-type': OCI_MANIFEST_TYPE }, body: manifest.bytes })
}

async function pushBlob(base: string, { digest, bytes }: StoredBlob): Promise<void> {
  await request(404, `${base}/blobs/${digest}`, { method: 'HEAD' })
  const begun = await request(202, `${base}/blobs/uploads/`, { method: 'POST' })
  const url = uploadUrl(begun, base, digest)
  await request(201, url, { method: 'PUT', headers: { 'content-type': 'application/octet-stream' }, body: bytes })
}

/** Where the bytes of an upload that was begun are wanted; with `digest`, where it ends. */
export function uploadUrl({ headers }: Response, base: string, digest?: string): string {
  const url = new URL(headers.get('location') ?? '', base)
  if (digest !== undefined) url.searchParams.set('digest', digest)
  return url.href
}

/** The answer, which has `status`; its body was read, so that the connection can be used again. */
export async function request(status: number, url: string, init: RequestInit): Promise<Response> {
  const response = await fetch(url, init)
  const text = await response.text()
  if (response.status === status) return response
  throw new Error(`${init.method} ${url} was answered with ${response.status}, wanted ${status}: ${text}`)
}
