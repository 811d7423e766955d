/** Slices end by the clock, and between two of them requests are answered. */
import { expect, spyOn, test } from 'bun:test'
import { TimeSlices } from '../../src/lib/time-slices.ts'
import { limits } from '../../src/limits.ts'

test('TimeSlices.isOver says so after maxSliceMs, and not again in the next slice until it is over too', async () => {
  let now = 1000
  using _clock = spyOn(performance, 'now').mockImplementation(() => now)
  const slices = new TimeSlices()
  const seen = [slices.isOver()]
  for (const passed of [limits.maxSliceMs - 0.1, 0.1, 50]) {
    now += passed
    seen.push(slices.isOver())
  }
  await slices.next()
  for (const passed of [0, limits.maxSliceMs - 0.1, 0.1]) {
    now += passed
    seen.push(slices.isOver())
  }
  expect(seen).toEqual([false, false, true, true, false, false, true])
})

test('TimeSlices.next lets a request be answered before the work goes on', async () => {
  await using server = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: () => new Response('answered') })
  let answer: string | undefined
  const asked = fetch(server.url).then(async (response) => {
    answer = await response.text()
  })
  const slices = new TimeSlices()
  const givenUpAt = performance.now() + 10_000
  // Work without an end: whoever does not let go of the thread answers nothing.
  while (answer === undefined) {
    if (performance.now() > givenUpAt) throw new Error('The request has not been answered beside the work')
    if (slices.isOver()) await slices.next()
  }
  await asked
  expect(answer).toBe('answered')
})
