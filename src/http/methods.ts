/** Known paths answer methods they do not have with 405 and what they have; Elysia itself would say 404. */

import { textResponse } from './error-table.ts'

/** A handler for `.all(path, …)` beside `.get(path, …)`, which also serves HEAD. */
export function onlyGet(): Response {
  return textResponse(405, 'Only GET and HEAD are served at this path.', { allow: 'GET, HEAD' })
}
