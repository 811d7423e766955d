/**
 * /v2/…: the OCI distribution protocol (spec 1.1) over a store. One wildcard route, because the name of a repository has
 * slashes in it; which endpoint a path is, `registry-path.ts` knows.
 */

import { Elysia } from 'elysia'
import { limits } from '../../limits.ts'
import type { RegistryStore } from '../../oci/registry-store.ts'
import { registryErrorResponse } from '../error-table.ts'
import { answerBlob, removeBlob } from './blob-answers.ts'
import { answerCatalog, answerReferrers, answerTags } from './list-answers.ts'
import { answerManifest, removeManifest, takeManifest } from './manifest-answers.ts'
import { parseRegistryPath, type RegistryPath } from './registry-path.ts'
import { answerUpload, beginUpload, cancelUpload, finishUpload, takeChunk } from './upload-answers.ts'

type Answer = () => Promise<Response> | Response
/** By method; HEAD is answered as GET is. */
type Endpoint = Readonly<Partial<Record<'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE', Answer>>>

const VERSION_HEADER = { 'docker-distribution-api-version': 'registry/2.0' } as const

export function registryRoutes(store: RegistryStore) {
  const answer = async ({ request, server, params }: AnswerContext): Promise<Response> => {
    // Large bodies take their time in both directions.
    server?.timeout(request, limits.slowRequestIdleSeconds)
    const path = parseRegistryPath(params['*'] ?? '')
    if (path === undefined) return registryErrorResponse(404, 'UNSUPPORTED', 'There is no such endpoint.')
    const endpoint = endpointOf(store, request, path)
    const method = request.method === 'HEAD' ? 'GET' : request.method
    const found = Object.entries(endpoint).find(([name]) => name === method)
    if (found !== undefined) return await found[1]()
    const allowed = Object.keys(endpoint).flatMap((each) => (each === 'GET' ? ['GET', 'HEAD'] : [each]))
    const allow = allowed.join(', ')
    return registryErrorResponse(405, 'UNSUPPORTED', `This path takes ${allow}.`, { allow })
  }
  return new Elysia({ name: 'registry' })
    .all('/v2', (context) => answer({ ...context, params: { '*': '' } }), { parse: 'none' })
    .all('/v2/*', (context) => answer(context), { parse: 'none' })
}

interface AnswerContext {
  readonly request: Request
  readonly server: { timeout(request: Request, seconds: number): void } | null
  readonly params: { readonly '*'?: string }
}

function endpointOf(store: RegistryStore, request: Request, path: RegistryPath): Endpoint {
  const query = new URL(request.url).searchParams
  switch (path.kind) {
    case 'root':
      return { GET: () => Response.json({}, { headers: VERSION_HEADER }) }
    case 'catalog':
      return { GET: () => answerCatalog(store, query) }
    case 'tags':
      return { GET: () => answerTags(store, path.repository, query) }
    case 'referrers':
      return { GET: () => answerReferrers(store, path, query) }
    case 'manifest':
      return {
        GET: () => answerManifest(store, request, path),
        PUT: () => takeManifest(store, request, path, query),
        DELETE: () => removeManifest(store, path),
      }
    case 'blob':
      return { GET: () => answerBlob(store, request, path), DELETE: () => removeBlob(store, path) }
    case 'uploads':
      return { POST: () => beginUpload(store, request, path, query) }
    case 'upload':
      return {
        GET: () => answerUpload(store, path),
        PATCH: () => takeChunk(store, request, path),
        PUT: () => finishUpload(store, request, path, query),
        DELETE: () => cancelUpload(store, path),
      }
  }
}
