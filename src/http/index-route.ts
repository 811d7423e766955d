/** GET /index.yaml */

import { Elysia } from 'elysia'
import type { Snapshot } from '../repository/snapshot.ts'
import { respondWithContent } from './content-response.ts'
import { onlyGet } from './methods.ts'

export interface FreshIndex {
  /** @throws SNAPSHOT_MISSING */
  fresh(): Promise<Snapshot>
  readonly snapshotAgeSeconds: number | undefined
}

/** A reader may wait for a refresh, and a large index takes its time over a slow line: seconds, Bun's most. */
const IDLE_SECONDS = 255

export function indexRoute(source: FreshIndex) {
  return new Elysia({ name: 'index' })
    .get('/index.yaml', async ({ request, server }) => {
      server?.timeout(request, IDLE_SECONDS)
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
