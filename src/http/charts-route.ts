/** GET /charts/{name}-{version}.tgz and its .prov */

import { Elysia, t } from 'elysia'
import { limits } from '../limits.ts'
import type { FoundFile } from '../repository/chart-files.ts'
import { respondWithContent } from './content-response.ts'
import { onlyGet } from './methods.ts'

export interface FileSource {
  /** @throws CHART_UNKNOWN */
  find(name: string): Promise<FoundFile>
  read(file: FoundFile): Promise<Blob>
}

const CONTENT_TYPES = { chart: 'application/gzip', provenance: 'application/pgp-signature' } as const

export function chartsRoute(files: FileSource) {
  return new Elysia({ name: 'charts' })
    .get(
      '/charts/:file',
      async ({ params: { file }, request, server }) => {
        server?.timeout(request, limits.slowRequestIdleSeconds)
        const found = await files.find(file)
        const { kind, layer } = found
        return await respondWithContent(request, {
          etag: `"${layer.digest}"`,
          size: layer.size,
          headers: {
            'content-type': CONTENT_TYPES[kind],
            // The name may be pushed again with other content: kept by caches, asked for each time.
            'cache-control': 'no-cache',
            'docker-content-digest': layer.digest,
            'content-disposition': `attachment; filename*=UTF-8''${encodeExtended(file)}`,
          },
          open: () => files.read(found),
        })
      },
      { params: t.Object({ file: t.String() }) },
    )
    .all('/charts/:file', onlyGet)
}

/** A header parameter's extended value (RFC 8187): Bun would otherwise name the file as it is called in the cache. */
function encodeExtended(text: string): string {
  const hex = (character: string) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`
  return encodeURIComponent(text).replace(/['()*]/g, hex)
}
