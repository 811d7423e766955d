/** GET /health: the process lives. GET /readyz: there is an index to serve, how old it is, and what is wrong. */

import { Elysia, t } from 'elysia'
import { limits } from '../limits.ts'
import type { ProgressReport } from '../repository/progress.ts'
import type { RefreshStatus } from '../repository/refresher.ts'
import type { Snapshot } from '../repository/snapshot.ts'
import { onlyGet } from './methods.ts'

export interface Readiness {
  readonly snapshot: Snapshot | undefined
  readonly snapshotAgeSeconds: number | undefined
  readonly status: RefreshStatus
}

const ReadyReport = t.Object({
  /** Whether there is an index; an outage of the registry does not make a server unready that has one. */
  ready: t.Boolean(),
  charts: t.Integer(),
  versions: t.Integer(),
  /** The index has only what a first crawl under way has read so far (--serve-partial). */
  partial: t.Boolean(),
  snapshotAgeSeconds: t.Union([t.Integer(), t.Null()]),
  refresh: t.Object({
    ok: t.Boolean(),
    error: t.Union([t.String(), t.Null()]),
    problems: t.Array(t.Object({ repository: t.String(), tag: t.Optional(t.String()), reason: t.String() })),
  }),
  /** Of the crawl under way. `total` grows until the tags of all repositories are listed. */
  progress: t.Union([
    t.Null(),
    t.Object({
      done: t.Integer(),
      total: t.Integer(),
      repositoriesListed: t.Integer(),
      repositories: t.Integer(),
      tagsPerSecond: t.Integer(),
      secondsLeft: t.Union([t.Integer(), t.Null()]),
    }),
  ]),
})

export function healthRoutes(readiness: Readiness) {
  return new Elysia({ name: 'health' })
    .get('/health', () => ({ healthy: true }), { response: t.Object({ healthy: t.Boolean() }) })
    .all('/health', onlyGet)
    .get(
      '/readyz',
      ({ set }) => {
        const { snapshot, snapshotAgeSeconds, status } = readiness
        set.status = snapshot === undefined ? 503 : 200
        set.headers['cache-control'] = 'no-store'
        const problems = status.problems.slice(0, limits.maxReportedProblems)
        const { progress } = status
        return {
          ready: snapshot !== undefined,
          charts: snapshot?.index.charts ?? 0,
          versions: snapshot?.index.versions ?? 0,
          partial: snapshot?.isPartial ?? false,
          snapshotAgeSeconds: snapshotAgeSeconds ?? null,
          refresh: {
            ok: snapshot !== undefined && status.error === undefined && problems.length === 0,
            error: status.error ?? null,
            problems: problems.map(({ repository, tag, reason }) => ({
              repository,
              reason,
              ...(tag !== undefined && { tag }),
            })),
          },
          progress: progress === undefined ? null : toProgress(progress),
        }
      },
      { response: { 200: ReadyReport, 503: ReadyReport } },
    )
    .all('/readyz', onlyGet)
}

function toProgress({ done, total, listed, repositories, perSecond, secondsLeft }: ProgressReport) {
  return {
    done,
    total,
    repositoriesListed: listed,
    repositories,
    tagsPerSecond: perSecond,
    secondsLeft: secondsLeft ?? null,
  }
}
