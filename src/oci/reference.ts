/** Repository names and tags (OCI distribution spec 1.1, "Pulling manifests"). */

const REPOSITORY = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/

/** Many clients and registries cap host and name together at 255. */
const MAX_REPOSITORY_LENGTH = 255

export function isRepositoryName(text: string): boolean {
  return text.length <= MAX_REPOSITORY_LENGTH && REPOSITORY.test(text)
}

export function isTag(text: string): boolean {
  return TAG.test(text)
}

/**
 * Tags under which cosign keeps signatures, attestations and SBOMs, and which registries without the referrers API
 * use for referrer lists (`sha256-<hex>`, sigstore SIGNATURE_SPEC; distribution spec 1.1, "Referrers tag schema").
 */
export function isReferrerTag(tag: string): boolean {
  return /^sha(?:256-[0-9a-f]{64}|512-[0-9a-f]{64,128})(?:\.[a-z]+)?$/.test(tag)
}

/** Whether `repository` is `prefix` itself or lies under it; the empty prefix holds everything. */
export function isUnderPrefix(repository: string, prefix: string): boolean {
  return prefix === '' || repository === prefix || repository.startsWith(`${prefix}/`)
}
