/**
 * Manifests that name a blob with another size than it has. Whoever may push to one repository must not be able to take
 * the charts of another away, nor make the registry send the same blob again and again.
 */
import { describe, expect, test } from 'bun:test'
import { limits } from '../../src/limits.ts'
import { mediaTypes, packChart } from '../fakes/fake-chart.ts'
import { type FakeRegistry, openFakeRegistry } from '../fakes/fake-registry.ts'
import type { AddedChart } from '../fakes/fake-store.ts'
import { expectServed, openServerOver, waitForIndex } from './scene.ts'

/** A chart of its own repository whose package is that of `honest`, but said to have `size` bytes. */
function addLie(registry: FakeRegistry, honest: AddedChart, name: string, size: number): string {
  const { config } = packChart({ name, version: '1.0.0' })
  registry.addBlob(name, honest.archive)
  const manifest = {
    schemaVersion: 2,
    config: { mediaType: mediaTypes.chartConfig, digest: registry.addBlob(name, config), size: config.length },
    layers: [{ mediaType: mediaTypes.chartLayer, digest: honest.chartDigest, size }],
  }
  registry.addManifest({ repository: name, tag: '1.0.0', bytes: JSON.stringify(manifest) })
  return `${name}-1.0.0.tgz`
}

describe.concurrent('a wrong size of a blob', () => {
  const sizes: readonly (readonly [string, number])[] = [
    ['small enough for memory', 0],
    ['served from disk', 400_000],
  ]
  test.each(sizes)('of a chart that is %s fails the chart that tells it, and no other', async (_what, paddingBytes) => {
    await using registry = await openFakeRegistry()
    const honest = registry.addChart({ repository: 'honest', name: 'honest', version: '1.0.0', paddingBytes })
    const { length } = honest.archive
    // One comes before the honest one in every order, one after it.
    const lies = [addLie(registry, honest, 'before', length - 1), addLie(registry, honest, 'larger', length + 1)]
    await using server = await openServerOver(registry, { args: ['--refresh-interval=1h'] })
    await waitForIndex(server, [honest.fileName, ...lies])
    const blob = new RegExp(`/blobs/${honest.chartDigest}$`)
    const expectRefused = async (file: string): Promise<void> => {
      const answer = await server.get(`/charts/${file}`)
      expect([file, answer.status, await answer.text()]).toEqual([file, 502, expect.stringMatching(/^[^\n]+\n$/)])
    }

    await expectServed(server, honest)
    for (let round = 0; round < 3; round++) {
      for (const lie of lies) {
        await expectRefused(lie)
        await expectServed(server, honest)
      }
    }
    await Promise.all([...lies, ...lies].flatMap((lie) => [expectRefused(lie), expectServed(server, honest)]))
    expect(registry.count('GET', blob)).toBe(1)
  })

  test('that is told first costs a few requests, and nothing once the right one is known', async () => {
    await using registry = await openFakeRegistry()
    const honest = registry.addChart({ repository: 'honest', name: 'honest', version: '1.0.0', paddingBytes: 400_000 })
    const { length } = honest.archive
    const lies = [addLie(registry, honest, 'smaller', length - 1), addLie(registry, honest, 'larger', length + 1)]
    await using server = await openServerOver(registry, { args: ['--refresh-interval=1h'] })
    await waitForIndex(server, [honest.fileName, ...lies])
    const status = async (file: string): Promise<number> => (await server.get(`/charts/${file}`)).status
    const countRequests = () => registry.count('GET', new RegExp(`/blobs/${honest.chartDigest}$`))
    const [smaller = '', larger = ''] = lies
    expect([await status(smaller), countRequests()]).toEqual([502, 1])
    // A body that is shorter than promised may have been cut, which is worth some more tries.
    expect(await status(larger)).toBe(502)
    expect(countRequests()).toBeLessThanOrEqual(1 + limits.maxBlobAttempts)
    const requestsOfLies = countRequests()
    await expectServed(server, honest)
    const files = [...lies, honest.fileName]
    const answers = await Promise.all([...files, ...files].map(status))
    expect([answers, countRequests()]).toEqual([[502, 502, 200, 502, 502, 200], requestsOfLies + 1])
  })
})
