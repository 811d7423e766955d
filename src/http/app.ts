/**
 * The HTTP face: every resource's plugin, one error mapping, one access log. Knows the repository by what it needs of
 * it and nothing of registries or disks.
 */

import { Elysia, ValidationError } from 'elysia'
import { ChartRepoError, describeError } from '../errors.ts'
import type { RegistryStore } from '../oci/registry-store.ts'
import { errorFields, type Log } from '../telemetry/log.ts'
import { chartsRoute, type FileSource } from './charts-route.ts'
import {
  isServerFault,
  registryErrorResponse,
  textResponse,
  toErrorResponse,
  toRegistryErrorResponse,
} from './error-table.ts'
import { healthRoutes, type Readiness } from './health-routes.ts'
import { homeRoute } from './home-route.ts'
import type { IndexFormatOption } from './index-negotiation.ts'
import { type FreshIndex, indexRoute } from './index-route.ts'
import { registryRoutes } from './v2/registry-routes.ts'

export interface AppOptions {
  readonly index: FreshIndex & Readiness
  readonly indexFormat: IndexFormatOption
  readonly files: FileSource
  /** What the registry protocol is served over; undefined where there is no registry of our own. */
  readonly store: RegistryStore | undefined
  readonly version: string
  readonly log: Log
}

export function createApp({ index, indexFormat, files, store, version, log }: AppOptions) {
  const startedAt = new WeakMap<Request, number>()
  function toResponse(code: string | number, error: unknown, request: Request): Response {
    const isRegistry = store !== undefined && /^\/v2(?:\/|$)/.test(pathOf(request))
    if (error instanceof ChartRepoError) {
      if (isServerFault(error)) {
        log.warn('request failed', { path: pathOf(request), code: error.code, ...errorFields(error) })
      }
      return isRegistry ? toRegistryErrorResponse(error) : toErrorResponse(error)
    }
    if (code === 'NOT_FOUND') return textResponse(404, 'Nothing is served at this path.')
    if (code === 'PARSE' || (error instanceof ValidationError && error.type !== 'response')) {
      return textResponse(400, 'The request is not understood.')
    }
    log.error('request failed by a fault of this program', {
      path: pathOf(request),
      error: describeError(error),
      stack: error instanceof Error ? error.stack : undefined,
    })
    const sentence = 'The server failed to answer; its log has the reason.'
    return isRegistry ? registryErrorResponse(500, 'UNKNOWN', sentence) : textResponse(500, sentence)
  }

  // Elysia looks for the path behind the 11th character of the URL unless told otherwise, which takes part of it for
  // the host when a plain-HTTP host has fewer than four characters (elysia issue 748).
  const app = new Elysia({ handler: { standardHostname: false } })
    .onRequest(({ request }) => {
      startedAt.set(request, performance.now())
      // With an unusable Host header Bun hands out a relative URL, in which anything could pass for the path, or one
      // that is none at all.
      if (!URL.canParse(request.url)) return textResponse(400, 'The Host header is not usable.')
    })
    // Hooks see only what is registered after them: errors and log first, then the routes.
    .onError(({ code, error, request, set }) => {
      const response = toResponse(code, error, request)
      // The access log reads it from here: it is not told what this hook returns.
      set.status = response.status
      return response
    })
    .onAfterResponse(({ request, responseValue, set }) => {
      const status = responseValue instanceof Response ? responseValue.status : Number(set.status ?? 200)
      const ms = Math.round(performance.now() - (startedAt.get(request) ?? performance.now()))
      // Probes ask every few seconds and say nothing about use.
      const level = PROBES.has(pathOf(request)) ? 'debug' : 'info'
      log[level]('request', { method: request.method, path: pathOf(request), status, ms })
    })
  return app
    .use(homeRoute({ version, hasRegistry: store !== undefined }))
    .use(indexRoute(index, indexFormat))
    .use(chartsRoute(files))
    .use(healthRoutes(index))
    .use(store === undefined ? new Elysia() : registryRoutes(store))
}

const PROBES = new Set(['/health', '/readyz'])

/** Without the query, which may carry a token; cut, because anybody may send anything. */
function pathOf(request: Request): string {
  const path = URL.parse(request.url)?.pathname ?? '(no path)'
  return path.length <= 300 ? path : `${path.slice(0, 300)}…`
}
