/** The Kubernetes manifest: what the original tool's manifest promised still holds, and its arguments start the server. */
import { describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { chartArtifact, pushArtifact } from '../stand/charts.ts'
import { type Child, openChild, runCommand, waitForOutput } from '../stand/child.ts'
import { basicCredential, mountCredentials } from '../stand/credentials-file.ts'
import { buildExecutable } from '../stand/executable.ts'
import { isPresent, nameFor } from '../stand/programs.ts'
import { openRegistry, type Registry } from '../stand/registry.ts'
import { findSecrets, OTHER_PASSWORD, OTHER_USER, PASSWORD, USER, WRONG_PASSWORD } from '../stand/secrets.ts'
import { openTempDir } from '../stand/temp-dir.ts'
import { waitFor } from '../stand/wait-for.ts'
import { fillPlaceholders, parseManifest, readManifest, removeSecretParts } from './manifest.ts'

/** The port is part of the arguments, so each run of them gets a loopback address of its own instead. */
const HOST = `127.${[1, 2, 3].map(() => 1 + Math.floor(Math.random() * 253)).join('.')}`
const PORT = 8080
const blocked = isPortFree() ? '' : `skipped: port ${PORT} is taken on this machine — `

function isPortFree(): boolean {
  try {
    Bun.listen({ hostname: HOST, port: PORT, socket: { data: () => undefined } }).stop(true)
    return true
  } catch (cause) {
    if (['EADDRINUSE', 'EADDRNOTAVAIL'].includes((cause as NodeJS.ErrnoException).code ?? '')) return false
    throw cause
  }
}

async function runArguments(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  use: (url: string, child: Child) => Promise<void>,
): Promise<void> {
  await using temp = await openTempDir()
  // CACHE_DIR is in the image; LISTEN_HOST keeps the test on the loopback; the rest is the manifest's own.
  const all = { HOME: temp.path, CACHE_DIR: join(temp.path, 'cache'), LISTEN_HOST: HOST, ...env }
  await using child = openChild([await buildExecutable(), ...args], { env: all, cwd: temp.path })
  await waitForOutput(child, 'stdout', / at http:\/\/\S+/)
  await use(`http://${HOST}:${PORT}`, child)
  expect(await child.stop()).toBe(0)
  expect(findSecrets(child.stdout() + child.stderr())).toEqual([])
}

async function readIndex(url: string): Promise<string> {
  const response = await fetch(`${url}/index.yaml`)
  return response.ok ? response.text() : ''
}

/** The arguments for a registry that has one chart. `scheme` empty is what a person leaves who does not know. */
async function argumentsFor(registry: Registry, text: string, scheme = 'HTTP'): Promise<readonly string[]> {
  await pushArtifact(registry, 'team/web', '1.2.3', await chartArtifact({ name: 'web', version: '1.2.3' }))
  return parseManifest(fillPlaceholders(text, registry.host, scheme)).container.args
}

describe('deployment manifest', () => {
  const text = readManifest()
  const { deployment, service, container } = parseManifest(text)
  const pod = deployment.spec.template.spec

  test('keeps the name, the labels, the image and the arguments of the original tool', () => {
    expect(deployment.apiVersion).toBe('apps/v1')
    expect(deployment.metadata).toEqual({ name: 'oci-chart-registry', labels: { app: 'oci-chart-registry' } })
    expect(deployment.spec.selector.matchLabels).toEqual({ app: 'oci-chart-registry' })
    expect(deployment.spec.template.metadata.labels).toEqual({ app: 'oci-chart-registry' })
    expect(pod.containers.map(({ name }) => name)).toEqual(['oci-chart-registry'])
    expect(container.image).toBe('oci-chart-registry')
    expect(container.imagePullPolicy).toBe('IfNotPresent')
    expect(container.args).toEqual([
      '--storage=registry',
      '--storage-registry-repo={{remote.registry.address}}',
      '--storage-registry-scheme={{remote.registry.scheme}}',
      '--port=8080',
    ])
  })

  test('has the secret at /etc/secret/dockerconfigjson, in a form that sees it change', () => {
    const volume = pod.volumes.find(({ name }) => name === 'registry-secret')
    const mount = container.volumeMounts.find(({ name }) => name === 'registry-secret')
    expect(volume?.secret?.secretName).toBe('my-registry-secret')
    expect(volume?.secret?.optional).toBe(true)
    const [item] = volume?.secret?.items ?? []
    expect(item?.key).toBe('.dockerconfigjson')
    expect(`${mount?.mountPath}/${item?.path}`).toBe('/etc/secret/dockerconfigjson')
    expect(mount?.subPath).toBeUndefined()
  })

  test('has a Service, probes, resources and the narrowest security context', () => {
    expect(service.metadata.name).toBe('oci-chart-registry')
    expect(service.spec.selector).toEqual(deployment.spec.selector.matchLabels)
    const [port] = container.ports
    expect(port?.containerPort).toBe(PORT)
    const users = [service.spec.ports[0]?.targetPort, container.readinessProbe.httpGet.port]
    expect([...users, container.livenessProbe.httpGet.port]).toEqual(Array(3).fill(port?.name))
    expect(container.readinessProbe.httpGet.path).toBe('/readyz')
    expect(container.livenessProbe.httpGet.path).toBe('/health')
    expect(Object.keys(container.resources)).toEqual(['requests', 'limits'])
    expect(pod.securityContext).toEqual({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } })
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    })
    expect(pod.volumes.find(({ name }) => name === 'cache')?.emptyDir).toBeDefined()
    expect(container.volumeMounts.find(({ name }) => name === 'cache')?.mountPath).toBe('/cache')
  })

  test('marks exactly the two placeholders to edit', () => {
    const lines = text.split('\n')
    const marked = lines.flatMap((line, at) => (/^ *# EDIT:/.test(line) ? [lines[at + 1] ?? ''] : []))
    expect(marked).toEqual(lines.filter((line) => line.includes('{{')))
    expect(marked).toHaveLength(2)
  })

  test('without the secret parts is the same Deployment with the cache as its only volume', () => {
    const open = parseManifest(removeSecretParts(text))
    expect(open.deployment.spec.template.spec.volumes.map(({ name }) => name)).toEqual(['cache'])
    expect(open.container.volumeMounts.map(({ name }) => name)).toEqual(['cache'])
    expect(open.container.args).toEqual(container.args)
    expect(removeSecretParts(text)).not.toContain('my-registry-secret\n')
  })

  test('says what is wrong when the placeholders were forgotten', async () => {
    await using temp = await openTempDir()
    const command = [await buildExecutable(), ...container.args]
    const { code, stderr } = await runCommand(command, { env: { HOME: temp.path, LISTEN_HOST: HOST }, cwd: temp.path })
    expect(code).toBe(2)
    expect(stderr).toContain('oci-chartrepo: --storage-registry-repo: given "{{remote.registry.address}}"')
    expect(stderr).toContain('oci-chartrepo: --storage-registry-scheme: given "{{remote.registry.scheme}}"')
  })
})

const OPEN_NEEDS = ['docker-registry']
const PRIVATE_NEEDS = ['docker-registry', 'htpasswd']

describe('arguments of the manifest', () => {
  test.skipIf(blocked !== '' || !isPresent(...OPEN_NEEDS))(
    blocked + nameFor('serve an open registry without the secret', ...OPEN_NEEDS),
    async () => {
      await using registry = await openRegistry()
      const args = await argumentsFor(registry, removeSecretParts(readManifest()))
      await runArguments(args, {}, async (url, child) => {
        expect(child.stdout()).toContain('(anonymous)')
        expect(await waitFor('the chart in the index', () => readIndex(url))).toContain('charts/web-1.2.3.tgz')
        expect((await fetch(`${url}/health`)).status).toBe(200)
        expect((await fetch(`${url}/readyz`)).status).toBe(200)
      })
    },
  )

  test.skipIf(blocked !== '' || !isPresent(...OPEN_NEEDS))(
    blocked + nameFor('find out the scheme that was left empty', ...OPEN_NEEDS),
    async () => {
      await using registry = await openRegistry()
      const args = await argumentsFor(registry, readManifest(), '')
      expect(args).toContain('--storage-registry-scheme=')
      await runArguments(args, {}, async (url) => {
        expect(await waitFor('the chart in the index', () => readIndex(url))).toContain('charts/web-1.2.3.tgz')
      })
    },
  )

  test.skipIf(blocked !== '' || !isPresent(...PRIVATE_NEEDS))(
    blocked + nameFor('serve a private registry with the secret, also after its rotation', ...PRIVATE_NEEDS),
    async () => {
      await using registry = await openRegistry({ auth: 'htpasswd' })
      await using temp = await openTempDir()
      const args = await argumentsFor(registry, readManifest())
      const secret = await mountCredentials(temp.path, registry.host, basicCredential(USER, PASSWORD))
      // /etc/secret belongs to the machine here: the variable stands for the mount.
      await runArguments(args, { STORAGE_REGISTRY_CONFIG: secret.path }, async (url, child) => {
        expect(child.stdout()).toContain(`(as ${USER})`)
        expect(await waitFor('the chart in the index', () => readIndex(url))).toContain('charts/web-1.2.3.tgz')

        await secret.rotate(registry.host, basicCredential(USER, WRONG_PASSWORD))
        await waitFor('the refusal of the new password in /readyz', async () => {
          // Reading asks for fresh content, and so for the credential of the moment.
          expect(await readIndex(url)).toContain('charts/web-1.2.3.tgz')
          const { refresh } = (await (await fetch(`${url}/readyz`)).json()) as { refresh: { ok: boolean } }
          return !refresh.ok
        })

        await secret.rotate(registry.host, basicCredential(OTHER_USER, OTHER_PASSWORD))
        await pushArtifact(registry, 'team/web', '1.2.4', await chartArtifact({ name: 'web', version: '1.2.4' }))
        await waitFor('the new chart in the index', async () => (await readIndex(url)).includes('web-1.2.4.tgz'))
      })
    },
  )
})
