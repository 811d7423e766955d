/** GET /index.yaml */

import { Elysia } from 'elysia'
import { limits } from '../limits.ts'
import type { Snapshot } from '../repository/snapshot.ts'
import { respondWithContent } from './content-response.ts'
import { chooseForm, formHeaders, type IndexFormatOption } from './index-negotiation.ts'
import { onlyGet } from './methods.ts'

export interface FreshIndex {
  /** @throws SNAPSHOT_MISSING */
  fresh(): Promise<Snapshot>
  readonly snapshotAgeSeconds: number | undefined
}

/**
 * A shared cache may hold the index, asks whether it still counts when a second has passed, and serves it on for a day
 * when it gets no answer. Without that second nginx would not store it at all.
 */
const CACHE_CONTROL = 'public, max-age=1, stale-if-error=86400'

export function indexRoute(source: FreshIndex, format: IndexFormatOption) {
  return new Elysia({ name: 'index' })
    .get('/index.yaml', async ({ request, server }) => {
      server?.timeout(request, limits.slowRequestIdleSeconds)
      const { index, isPartial } = await source.fresh()
      const form = chooseForm(request.headers, format)
      const document = index.document(form.format, form.coding)
      return await respondWithContent(request, {
        etag: document.etag,
        size: document.size,
        headers: {
          ...formHeaders({ ...form, coding: document.coding }, format),
          'cache-control': isPartial ? 'no-store' : CACHE_CONTROL,
          'x-snapshot-age': String(source.snapshotAgeSeconds ?? 0),
          ...(isPartial && { 'x-index-partial': 'true' }),
        },
        open: () => document.open(),
        stream: document.stream,
      })
    })
    .all('/index.yaml', onlyGet)
}
