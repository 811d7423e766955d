/** Never more than the limit at once, in order, and nothing left running behind an error. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { forEachConcurrently, Limiter } from '../../src/lib/limiter.ts'
import { defer, settle } from './fake-clock.ts'

describe('Limiter', () => {
  test('runs no more than its limit at once, starts in order and runs everything', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.boolean(), { maxLength: 30 }),
        async (max, tasks) => {
          const limiter = new Limiter(max)
          const started: number[] = []
          let running = 0
          let most = 0
          const runs = tasks.map((fails, i) =>
            limiter.run(async () => {
              started.push(i)
              most = Math.max(most, ++running)
              for (let turn = 0; turn < i % 3; turn++) await Promise.resolve()
              running -= 1
              if (fails) throw new Error(`${i}`)
              return i
            }),
          )
          const ends = await Promise.allSettled(runs)
          expect(ends.map(({ status }) => status === 'rejected')).toEqual(tasks)
          expect(started).toEqual(tasks.map((_, i) => i))
          expect(most).toBeLessThanOrEqual(max)
        },
      ),
    )
  })

  test('gives a place on when a task fails', async () => {
    const limiter = new Limiter(1)
    const first = limiter.run(() => Promise.reject(new Error('broken')))
    const second = limiter.run(() => Promise.resolve('done'))
    expect(await first.catch((error: unknown) => String(error))).toBe('Error: broken')
    expect(await second).toBe('done')
    expect(await limiter.run(() => Promise.resolve('again'))).toBe('again')
  })

  test('gives a place on when a task throws before it is a promise', async () => {
    const limiter = new Limiter(1)
    const thrown = limiter.run(() => {
      throw new Error('at once')
    })
    expect(await thrown.catch((error: unknown) => String(error))).toBe('Error: at once')
    expect(await limiter.run(() => Promise.resolve('done'))).toBe('done')
  })
})

describe('forEachConcurrently', () => {
  test('works on every item, so many at a time', async () => {
    const gates = Array.from({ length: 5 }, () => defer())
    const seen: number[] = []
    const all = forEachConcurrently(gates.keys(), 2, async (i) => {
      seen.push(i)
      await gates[i]?.promise
    })
    await settle()
    expect(seen).toEqual([0, 1])
    gates[1]?.resolve()
    await settle()
    expect(seen).toEqual([0, 1, 2])
    for (const gate of gates) gate.resolve()
    await all
    expect(seen).toEqual([0, 1, 2, 3, 4])
  })

  test('throws the first error after what was under way has settled, and starts nothing new', async () => {
    const slow = defer()
    const seen: string[] = []
    let over = false
    const all = forEachConcurrently(['slow', 'broken', 'new'], 2, async (item) => {
      seen.push(item)
      if (item === 'slow') await slow.promise
      throw new Error(item)
    }).finally(() => {
      over = true
    })
    const end = all.catch((error: unknown) => String(error))
    await settle()
    expect({ seen, over }).toEqual({ seen: ['slow', 'broken'], over: false })
    slow.resolve()
    expect(await end).toBe('Error: broken')
    expect(seen).toEqual(['slow', 'broken'])
  })

  test('has nothing to do for no items', async () => {
    await forEachConcurrently([], 4, () => Promise.reject(new Error('never')))
  })
})
