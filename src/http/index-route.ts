/** GET /index.yaml */

import { Elysia } from 'elysia'
import { limits } from '../limits.ts'
import type { Snapshot } from '../repository/snapshot.ts'
import { respondWithContent } from './content-response.ts'
import { onlyGet } from './methods.ts'

export interface FreshIndex {
  /** @throws SNAPSHOT_MISSING */
  fresh(): Promise<Snapshot>
  readonly snapshotAgeSeconds: number | undefined
}

export function indexRoute(source: FreshIndex) {
  return new Elysia({ name: 'index' })
    .get('/index.yaml', async ({ request, server }) => {
      server?.timeout(request, limits.slowRequestIdleSeconds)
      const { index } = await source.fresh()
      return await respondWithContent(request, {
        etag: index.etag,
        size: index.body.size,
        headers: {
          'content-type': 'application/yaml',
          'cache-control': 'no-cache',
          'x-snapshot-age': String(source.snapshotAgeSeconds ?? 0),
        },
        open: () => index.body,
      })
    })
    .all('/index.yaml', onlyGet)
}
