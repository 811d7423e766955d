/**
 * Small charts as they lie in a registry: a real .tgz, its config and its manifest, made in memory in microseconds.
 *
 * The archive is a true tar in a true gzip, so that Helm can read it; the manifest has the shape `helm push` gives it
 * (no mediaType and no artifactType of its own).
 */

export const mediaTypes = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  chartConfig: 'application/vnd.cncf.helm.config.v1+json',
  chartLayer: 'application/vnd.cncf.helm.chart.content.v1.tar+gzip',
} as const

export interface FakeChart {
  readonly name: string
  readonly version: string
  /** More fields of Chart.yaml. */
  readonly metadata?: Readonly<Record<string, unknown>>
  readonly annotations?: Readonly<Record<string, string>>
  /** Size of a file that does not compress, for charts that must be large. */
  readonly paddingBytes?: number
}

export interface PackedChart {
  readonly archive: Uint8Array
  readonly config: Uint8Array
  readonly manifest: Uint8Array
}

export function digestOf(bytes: string | Uint8Array): string {
  return `sha256:${Bun.CryptoHasher.hash('sha256', bytes, 'hex')}`
}

/** Archive, config and manifest of a chart. The same chart gives the same bytes. */
export function packChart(chart: FakeChart): PackedChart {
  const metadata = { apiVersion: 'v2', name: chart.name, version: chart.version, ...chart.metadata }
  const config = Buffer.from(JSON.stringify(metadata))
  const files: Record<string, Uint8Array> = {
    // Every JSON document is a YAML document.
    [`${chart.name}/Chart.yaml`]: config,
    [`${chart.name}/values.yaml`]: Buffer.from('replicas: 1\n'),
  }
  if (chart.paddingBytes !== undefined) files[`${chart.name}/files/padding`] = noise(chart.paddingBytes)
  const archive = Bun.gzipSync(packTar(files))
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      config: { mediaType: mediaTypes.chartConfig, digest: digestOf(config), size: config.length },
      layers: [{ mediaType: mediaTypes.chartLayer, digest: digestOf(archive), size: archive.length }],
      ...(chart.annotations === undefined ? {} : { annotations: chart.annotations }),
    }),
  )
  return { archive, config, manifest }
}

/** A ustar archive: a header of 512 bytes per file, contents padded to 512, two empty blocks at the end. */
function packTar(files: Readonly<Record<string, Uint8Array>>): Uint8Array<ArrayBuffer> {
  const blocks: Buffer[] = []
  for (const [path, bytes] of Object.entries(files)) {
    const header = Buffer.alloc(512)
    const octal = (value: number, offset: number, digits: number) =>
      header.write(value.toString(8).padStart(digits, '0'), offset, 'latin1')
    header.write(path, 0, 100, 'latin1')
    octal(0o644, 100, 7)
    octal(0, 108, 7)
    octal(0, 116, 7)
    octal(bytes.length, 124, 11)
    octal(0, 136, 11)
    // The checksum is summed up with blanks in its own place.
    header.write('        ', 148, 'latin1')
    header.write('0', 156, 'latin1')
    header.write('ustar\u000000', 257, 'latin1')
    octal(
      header.reduce((sum, byte) => sum + byte, 0),
      148,
      6,
    )
    header[154] = 0
    blocks.push(header, Buffer.from(bytes), Buffer.alloc((512 - (bytes.length % 512)) % 512))
  }
  return new Uint8Array(Buffer.concat([...blocks, Buffer.alloc(1024)]))
}

/** Bytes that gzip cannot shrink, and the same ones each time: a linear congruential generator. */
function noise(length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  let state = 1
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    bytes[i] = state >>> 24
  }
  return bytes
}
