/** Where the log goes may be full or gone. That stops nothing, because a log is no reason to stop serving. */

import { expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { openFakeRegistry } from '../fakes/fake-registry.ts'
import { openChild, waitForOutput } from '../stand/child.ts'
import { buildExecutable } from '../stand/executable.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { waitFor } from '../stand/wait-for.ts'

const FULL = '/dev/full'
const skipped = existsSync(FULL) ? '' : `skipped: ${FULL} is not there — `
/** What a shell opens standard error on; `&-` closes it. */
const targets = [FULL, '&-']

test.skipIf(skipped !== '').each(targets)(
  `${skipped}a log to %s that cannot be written: the index is served, and SIGTERM ends it with 0`,
  async (target) => {
    await using dir = await openTempDir()
    await using registry = await openFakeRegistry()
    const chart = registry.addChart({ repository: 'app', name: 'app', version: '1.0.0' })
    const args = [
      `--storage-registry-repo=${registry.host}`,
      '--storage-registry-scheme=HTTP',
      '--port=0',
      '--listen-host=127.0.0.1',
      '--log-level=debug',
      `--cache-dir=${join(dir.path, 'cache')}`,
    ]
    const shell = ['sh', '-c', `exec "$@" 2>${target}`, 'sh']
    await using child = openChild([...shell, await buildExecutable(), ...args], {
      cwd: dir.path,
      env: { HOME: dir.path },
    })
    const [, url = ''] = await waitForOutput(child, 'stdout', / at (http:\S+)/)
    const index = await waitFor('the index', async () => {
      const answer = await fetch(`${url}/index.yaml`)
      return answer.ok && answer.text()
    })
    expect(index).toContain(chart.fileName)
    expect((await fetch(`${url}/charts/${chart.fileName}`)).status).toBe(200)
    expect((await fetch(`${url}/charts/none-1.0.0.tgz`)).status).toBe(404)
    expect(await child.stop()).toBe(0)
  },
)
