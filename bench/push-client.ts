/**
 * A program: pushes the charts of pushed-charts.ts, so many at once, and prints what that took in milliseconds.
 *
 *   bun bench/push-client.ts ORIGIN AT_ONCE
 */
import { pushChart, request } from './push.ts'
import { makePushedCharts } from './pushed-charts.ts'

const [, , origin = '', atOnce = '1'] = Bun.argv
const waiting = makePushedCharts().values()

async function lane(): Promise<void> {
  for (const chart of waiting) await pushChart(origin, chart)
}

// Connections and compiled code before the clock runs.
const lanes = Array.from({ length: Number(atOnce) })
await Promise.all(lanes.flatMap(() => [1, 2].map(() => request(200, `${origin}/v2/`, { method: 'GET' }))))
const startedAt = performance.now()
await Promise.all(lanes.map(lane))
console.log(performance.now() - startedAt)
