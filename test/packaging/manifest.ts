/** deploy/oci-chart-registry-deployment.yaml as the tests of the packaging read it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { PROJECT_ROOT } from '../stand/executable.ts'

export const MANIFEST_PATH = join(PROJECT_ROOT, 'deploy', 'oci-chart-registry-deployment.yaml')

interface Metadata {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
}

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string }
}

interface Container {
  readonly name: string
  readonly image: string
  readonly imagePullPolicy: string
  readonly args: readonly string[]
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[]
  readonly readinessProbe: Probe
  readonly livenessProbe: Probe
  readonly resources: Readonly<Record<'requests' | 'limits', Readonly<Record<string, string>>>>
  readonly securityContext: Readonly<Record<string, unknown>>
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string; readonly subPath?: string }[]
}

interface Volume {
  readonly name: string
  readonly emptyDir?: object
  readonly secret?: {
    readonly secretName: string
    readonly optional: boolean
    readonly items: readonly { readonly key: string; readonly path: string }[]
  }
}

export interface Deployment {
  readonly kind: 'Deployment'
  readonly apiVersion: string
  readonly metadata: Metadata
  readonly spec: {
    readonly replicas: number
    readonly selector: { readonly matchLabels: Readonly<Record<string, string>> }
    readonly template: {
      readonly metadata: Pick<Metadata, 'labels'>
      readonly spec: {
        readonly securityContext: Readonly<Record<string, unknown>>
        readonly containers: readonly [Container, ...Container[]]
        readonly volumes: readonly Volume[]
      }
    }
  }
}

export interface Service {
  readonly kind: 'Service'
  readonly metadata: Metadata
  readonly spec: {
    readonly selector: Readonly<Record<string, string>>
    readonly ports: readonly { readonly port: number; readonly targetPort: string }[]
  }
}

export interface Manifest {
  readonly deployment: Deployment
  readonly service: Service
  readonly container: Container
}

/** @throws when `text` is no YAML, has a key twice, or holds anything else than the two objects */
export function parseManifest(text: string): Manifest {
  const documents = parseAllDocuments(text)
  const [first, second, ...rest] = documents.map((document) => {
    const [fault] = [...document.errors, ...document.warnings]
    if (fault !== undefined) throw fault
    return document.toJS() as Deployment | Service
  })
  if (first?.kind !== 'Deployment' || second?.kind !== 'Service' || rest.length > 0) {
    throw new Error('The manifest is no Deployment followed by a Service')
  }
  return { deployment: first, service: second, container: first.spec.template.spec.containers[0] }
}

export function readManifest(): string {
  return readFileSync(MANIFEST_PATH, 'utf8')
}

/** What a person does with an editor: the two placeholders become values. */
export function fillPlaceholders(text: string, address: string, scheme: string): string {
  return text.replace('{{remote.registry.address}}', address).replace('{{remote.registry.scheme}}', scheme)
}

/** What a person does for an open registry: everything from one SECRET line to the next goes. */
export function removeSecretParts(text: string): string {
  return text.replace(/^ *# SECRET\n[\s\S]*?^ *# SECRET\n/gm, '')
}
