/**
 * Removes the blobs of an image layout that no manifest is made of, once they are old enough: a push sends blobs first
 * and names them last, and who was told that a blob is there does not send it.
 */

import { TimeSlices } from '../lib/time-slices.ts'
import type { ImageLayout } from './image-layout.ts'
import type { LayoutBlobs } from './layout-blobs.ts'
import type { LayoutManifests } from './layout-manifests.ts'

/**
 * How many were removed. `since` is what nobody may have written or asked for later, in milliseconds since the epoch.
 * @throws LAYOUT_DAMAGED, MANIFEST_INVALID when it is not known what is in use; then nothing is removed
 */
export async function sweepLayout(
  layout: ImageLayout,
  contents: { readonly blobs: LayoutBlobs; readonly manifests: LayoutManifests },
  since: number,
): Promise<number> {
  const seen = await layout.read()
  if (seen === undefined) return 0
  // Reads what is not known yet, while others go on pushing.
  await contents.manifests.findUsed(layout, seen)
  return await layout.runAlone(async () => {
    const index = await layout.read()
    if (index === undefined) return 0
    const used = await contents.manifests.findUsed(layout, index)
    const slices = new TimeSlices()
    let removed = 0
    for (const digest of await layout.listBlobs()) {
      if (!used.has(digest) && contents.blobs.removeUnused(layout, digest, since)) removed += 1
      if (slices.isOver()) await slices.next()
    }
    return removed
  })
}
