/**
 * Blobs that lie in object storage behind presigned addresses, where something goes wrong at the storage. Whoever has
 * such an address may read the blob, so its signature is written down nowhere: in no log, no report and no answer.
 */
import { describe, expect, test } from 'bun:test'
import { openBrokenWire, type WireAnswer } from '../fakes/broken-wire.ts'
import { openFakeRegistry } from '../fakes/fake-registry.ts'
import { always, reply } from '../fakes/fault-script.ts'
import { findSecrets, SIGNATURE } from '../stand/secrets.ts'
import { openServerOver, waitForIndex, waitForProblem } from './scene.ts'

const query = `X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=demo&X-Amz-Signature=${SIGNATURE}`
const manyHeaders = Object.fromEntries(Array.from({ length: 320 }, (_, at) => [`x-padding-${at}`, 'x']))

describe.concurrent('the signature of a presigned address is told to nobody', () => {
  const faults: readonly (readonly [what: string, answer: WireAnswer | 'refused'])[] = [
    [
      'has a Content-Length that is too large',
      { status: 200, headers: { 'content-length': '5000' }, framing: 'close', body: 'short' },
    ],
    [
      'has a Content-Length that is no number',
      { status: 200, headers: { 'content-length': '-5' }, framing: 'close', body: 'short' },
    ],
    [
      'has two lengths',
      {
        status: 200,
        headers: { 'content-length': '5', 'Content-Length': '7' },
        framing: 'close',
        body: 'shorter',
      },
    ],
    [
      'has chunks that are none',
      { status: 200, headers: { 'transfer-encoding': 'chunked' }, framing: 'close', body: 'zz\r\nnot a chunk\r\n' },
    ],
    ['has more headers than are taken', { status: 200, headers: manyHeaders, body: 'x' }],
    ['is broken off', 'reset'],
    ['is an error that quotes the address', { status: 403, body: `<Error>${SIGNATURE}</Error>` }],
    ['leads nowhere', { status: 307, headers: { location: `http://127.0.0.1:99999/key?${query}` } }],
    ['leads to what is no HTTP', { status: 307, headers: { location: `s3://bucket/key?${query}` } }],
    ['never comes: nothing listens', 'refused'],
  ]

  test.each(faults)('when the answer of the storage %s', async (_what, answer) => {
    let asked = 0
    await using storage = openBrokenWire({
      answer: () => {
        asked += 1
        return answer === 'refused' ? 'reset' : answer
      },
      onMalformed: (bytes) => {
        throw new Error(`Bytes that are no request: ${bytes}`)
      },
    })
    if (answer === 'refused') storage.stop()
    await using registry = await openFakeRegistry()
    const good = registry.addChart({ repository: 'good', name: 'good', version: '1.0.0' })
    const presigned = reply({ status: 307, headers: { location: `${storage.origin}/bucket/key?${query}` } })
    registry.script({ path: new RegExp(`/v2/good/blobs/${good.chartDigest}$`) }, always(presigned))
    await using server = await openServerOver(registry, { args: ['--log-level=debug'] })
    await waitForIndex(server, [good.fileName])

    const told: string[] = []
    const get = async (path: string): Promise<number> => {
      const response = await server.get(path)
      told.push(JSON.stringify([...response.headers]), await response.text())
      return response.status
    }
    expect(await get(`/charts/${good.fileName}`)).toBe(502)
    // The config of a chart goes the same way, in a crawl.
    registry.script({ path: /\/v2\/poor\/blobs\// }, always(presigned))
    registry.addChart({ repository: 'poor', name: 'poor', version: '1.0.0' })
    await waitForProblem(server, 'poor')
    for (const path of ['/index.yaml', '/readyz', '/health', '/']) await get(path)

    expect(findSecrets(told.join('\n'))).toEqual([])
    expect(findSecrets(server.log())).toEqual([])
    // What was asked for is in the log all the same, and it was asked for.
    expect(server.log()).toContain(`${storage.origin}/bucket/key?…`)
    expect(asked > 0).toBe(answer !== 'refused')
  })
})
