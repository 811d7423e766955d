/** A refresher over a registry in memory. */
import { Refresher, type RefresherOptions } from '../../src/repository/refresher.ts'
import { openCrawlStage } from './crawl-stage.ts'

export const INTERVAL_MS = 30_000
export const WAIT_MS = 500

export function openStage() {
  const stage = openCrawlStage()
  const { context, store, clock, log } = stage
  const make = (initial?: RefresherOptions['initial']) =>
    new Refresher({ context, store, refreshIntervalMs: INTERVAL_MS, refreshWaitMs: WAIT_MS, initial, clock, log })
  return { ...stage, make, refresher: make() }
}

/** With one chart, published a moment ago. */
export async function openFreshStage() {
  const stage = openStage()
  stage.registry.addChart('a', '1.0.0', { name: 'demo', version: '1.0.0' })
  await stage.refresher.fresh()
  stage.takeCalls()
  return stage
}
