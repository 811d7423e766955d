/** Charts: written as directories for real Helm, or made and pushed directly over HTTP where a test needs many or odd ones. */
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { stringify } from 'yaml'
import type { Helm } from './helm.ts'
import type { Registry } from './registry.ts'

/** Where something is pushed to. */
export type PushTarget = Pick<Registry, 'origin' | 'fetch'>

export const CONFIG_TYPE = 'application/vnd.cncf.helm.config.v1+json'
export const CHART_LAYER_TYPE = 'application/vnd.cncf.helm.chart.content.v1.tar+gzip'
export const LEGACY_CHART_LAYER_TYPE = 'application/tar+gzip'
export const PROVENANCE_LAYER_TYPE = 'application/vnd.cncf.helm.chart.provenance.v1.prov'
export const OCI_MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json'
export const OCI_INDEX_TYPE = 'application/vnd.oci.image.index.v1+json'
export const DOCKER_MANIFEST_TYPE = 'application/vnd.docker.distribution.manifest.v2+json'

export interface ChartDescription {
  readonly name: string
  readonly version: string
  /** Any other field of Chart.yaml; apiVersion is v2 unless given here. */
  readonly [field: string]: unknown
}

export type ChartFiles = Readonly<Record<string, string | Uint8Array>>

/** Enough for `helm template` to render something that shows the value in effect. */
const DEFAULT_FILES: ChartFiles = {
  'values.yaml': 'greeting: hello\n',
  'templates/config.yaml': [
    'apiVersion: v1',
    'kind: ConfigMap',
    'metadata:',
    '  name: {{ .Release.Name }}-{{ .Chart.Name }}',
    'data:',
    '  greeting: {{ .Values.greeting }}',
    '',
  ].join('\n'),
}

/** Writes the chart's directory `PARENT/NAME` and returns its path. `files` are added to (or replace) the default ones. */
export async function makeChart(parent: string, chart: ChartDescription, files: ChartFiles = {}): Promise<string> {
  const dir = join(parent, chart.name)
  const all = { 'Chart.yaml': stringify({ apiVersion: 'v2', ...chart }), ...DEFAULT_FILES, ...files }
  for (const [name, content] of Object.entries(all)) {
    await mkdir(dirname(join(dir, name)), { recursive: true })
    await writeFile(join(dir, name), content)
  }
  return dir
}

/** `helm package`: the path of the .tgz, in `destination` (Helm's home when left out). Extra arguments: `--sign` … */
export async function packageChart(
  helm: Helm,
  dir: string,
  options: { readonly destination?: string; readonly args?: readonly string[] } = {},
): Promise<string> {
  const destination = options.destination ?? helm.home
  const { stdout } = await helm.succeed('package', dir, '--destination', destination, ...(options.args ?? []))
  const file = /saved it to: (.+)$/m.exec(stdout)?.[1]
  if (file === undefined) throw new Error(`helm package names no file: ${stdout}`)
  return file
}

/** Makes, packages and pushes a chart by real Helm; returns the path of its .tgz. */
export async function pushChart(
  helm: Helm,
  registry: PushTarget,
  chart: ChartDescription,
  options: { readonly namespace?: string; readonly files?: ChartFiles } = {},
): Promise<string> {
  const dir = await makeChart(join(helm.home, 'charts', chart.version), chart, options.files)
  const file = await packageChart(helm, dir)
  await helm.push(file, {
    origin: registry.origin,
    ...(options.namespace !== undefined && { namespace: options.namespace }),
  })
  return file
}

/** A .tgz that Helm loads, made without Helm (in a millisecond instead of a hundred). */
export async function packDirectly(chart: ChartDescription, files: ChartFiles = {}): Promise<Uint8Array<ArrayBuffer>> {
  const all = { 'Chart.yaml': stringify({ apiVersion: 'v2', ...chart }), ...DEFAULT_FILES, ...files }
  const entries = Object.entries(all).map(([name, content]) => [`${chart.name}/${name}`, content] as const)
  return new Bun.Archive(Object.fromEntries(entries), { compress: 'gzip' }).bytes()
}

/** A body as `fetch` takes it. */
export type Content = Uint8Array<ArrayBuffer> | string

export interface Layer {
  readonly mediaType: string
  readonly bytes: Content
}

export interface Artifact {
  /** An object becomes JSON; bytes or text are pushed as they are. */
  readonly config: object | Content
  /** Helm's when left out. */
  readonly configMediaType?: string
  readonly layers: readonly Layer[]
  readonly annotations?: Readonly<Record<string, string>>
  /** OCI's when left out. */
  readonly manifestMediaType?: string
}

/** The artifact `helm push` makes of a chart; metadata fields are taken as they are, however wrong. */
export async function chartArtifact(chart: ChartDescription, files: ChartFiles = {}): Promise<Artifact> {
  const config = { apiVersion: 'v2', ...chart }
  return { config, layers: [{ mediaType: CHART_LAYER_TYPE, bytes: await packDirectly(chart, files) }] }
}

export interface Pushed {
  /** Of the manifest: `sha256:…`. */
  readonly digest: string
  readonly size: number
  readonly mediaType: string
}

/**
 * Pushes blobs and a manifest, under a tag or (undefined) by its digest alone. A chart's direct way in, and that of
 * everything that is no chart.
 */
export async function pushArtifact(
  registry: PushTarget,
  repository: string,
  tag: string | undefined,
  artifact: Artifact,
): Promise<Pushed> {
  const { config, layers, annotations, manifestMediaType = OCI_MANIFEST_TYPE } = artifact
  const isRaw = typeof config === 'string' || config instanceof Uint8Array
  const configBytes = isRaw ? config : JSON.stringify(config)
  const manifest = {
    schemaVersion: 2,
    mediaType: manifestMediaType,
    config: await pushBlob(registry, repository, artifact.configMediaType ?? CONFIG_TYPE, configBytes),
    layers: await Promise.all(layers.map(({ mediaType, bytes }) => pushBlob(registry, repository, mediaType, bytes))),
    ...(annotations && { annotations }),
  }
  const text = JSON.stringify(manifest)
  return pushManifest(registry, repository, tag ?? digestOf(text), manifestMediaType, text)
}

/** Puts a manifest (or an index) as it is; docker-registry wants what it refers to in place first. */
export async function pushManifest(
  registry: PushTarget,
  repository: string,
  reference: string,
  mediaType: string,
  text: string,
): Promise<Pushed> {
  const url = `/v2/${repository}/manifests/${reference}`
  await expectStatus(registry.fetch(url, { method: 'PUT', headers: { 'content-type': mediaType }, body: text }), 201)
  return { digest: digestOf(text), size: Buffer.byteLength(text), mediaType }
}

/** What a manifest says of a blob. */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
}

/** The descriptor of the blob, which is in the repository afterwards. */
export async function pushBlob(
  registry: PushTarget,
  repository: string,
  mediaType: string,
  bytes: Content,
): Promise<Descriptor> {
  const digest = digestOf(bytes)
  const begun = await expectStatus(registry.fetch(`/v2/${repository}/blobs/uploads/`, { method: 'POST' }), 202)
  const location = new URL(begun.headers.get('location') ?? '', registry.origin)
  location.searchParams.set('digest', digest)
  const headers = { 'content-type': 'application/octet-stream' }
  const put = registry.fetch(location.pathname + location.search, { method: 'PUT', headers, body: bytes })
  await expectStatus(put, 201)
  return { mediaType, digest, size: typeof bytes === 'string' ? Buffer.byteLength(bytes) : bytes.byteLength }
}

/** Deletes the manifest a tag points to, and every tag that points to it (docker-registry knows no other delete). */
export async function deleteTag(registry: PushTarget, repository: string, tag: string): Promise<void> {
  const url = `/v2/${repository}/manifests/`
  const head = await expectStatus(
    registry.fetch(url + tag, { method: 'HEAD', headers: { accept: [OCI_MANIFEST_TYPE, OCI_INDEX_TYPE].join(', ') } }),
    200,
  )
  await expectStatus(registry.fetch(url + head.headers.get('docker-content-digest'), { method: 'DELETE' }), 202)
}

export function digestOf(bytes: Uint8Array | string): string {
  return `sha256:${Bun.CryptoHasher.hash('sha256', bytes, 'hex')}`
}

async function expectStatus(answer: Promise<Response>, status: number): Promise<Response> {
  const response = await answer
  if (response.status === status) return response
  throw new Error(`${response.url} answered ${response.status}, wanted ${status}: ${await response.text()}`)
}
