/** Media types of manifests and of Helm's content in them (helm.sh HIP-6; OCI image spec 1.1; Docker image spec v2.2). */

export const mediaTypes = {
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerManifestList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  helmConfig: 'application/vnd.cncf.helm.config.v1+json',
  helmChart: 'application/vnd.cncf.helm.chart.content.v1.tar+gzip',
  /** What Helm pushed before 3.7; still accepted on pull. */
  helmChartLegacy: 'application/tar+gzip',
  helmProvenance: 'application/vnd.cncf.helm.chart.provenance.v1.prov',
} as const

export const imageTypes: readonly string[] = [mediaTypes.ociManifest, mediaTypes.dockerManifest]
export const indexTypes: readonly string[] = [mediaTypes.ociIndex, mediaTypes.dockerManifestList]

/** What every manifest request accepts. Without it some registries convert manifests or answer 404. */
export const acceptedManifests = [
  mediaTypes.ociManifest,
  mediaTypes.dockerManifest,
  mediaTypes.ociIndex,
  mediaTypes.dockerManifestList,
].join(', ')

/** Whether it is written as a media type (RFC 6838, 4.2): what a manifest calls others by may be any text. */
export function isMediaType(text: string): boolean {
  return /^[a-z0-9][\w!#$&^.+-]{0,126}\/[a-z0-9][\w!#$&^.+-]{0,126}$/i.test(text)
}
