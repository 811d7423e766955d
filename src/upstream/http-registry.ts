/**
 * A registry over HTTP (OCI distribution spec 1.1, "Pull" and "Content discovery"; `_catalog` is distribution's own).
 *
 * Absence is only believed when the registry says it in its own words, an OCI error document: a 404 from a proxy in
 * front of a broken registry must not make charts disappear.
 */

import { Type } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { ChartRepoError } from '../errors.ts'
import { limits } from '../limits.ts'
import { type Digest, digestAlgorithm, digestBytes, isDigest, verifyDigest } from '../oci/digest.ts'
import type { Descriptor } from '../oci/manifest.ts'
import { acceptedManifests } from '../oci/media-types.ts'
import type { BlobReader, CallOptions, FetchedManifest, Listing, ManifestReader, TagLister } from '../oci/ports.ts'
import { isRepositoryName, isTag } from '../oci/reference.ts'
import { describeCall, type HttpCall, readErrorCodes, type Send, toStatusError } from './http-call.ts'
import { listPages, malformed } from './paging.ts'

/** Registries answer null for an empty list. What is no name in it is passed over: one bad item must not sink the rest. */
const NameList = Type.Union([Type.Array(Type.Unknown()), Type.Null()])
const CatalogPage = TypeCompiler.Compile(Type.Object({ repositories: NameList }))
const TagPage = TypeCompiler.Compile(Type.Object({ tags: NameList }))

/** distribution allows up to 1,000 by default and answers more with 400; ECR likewise with 405. */
const CATALOG_PAGE_SIZE = 1000

export class HttpRegistry implements TagLister, ManifestReader, BlobReader {
  readonly #send: Send
  readonly #origin: URL

  /** `send` is the whole chain, authentication and redirects included. */
  constructor(send: Send, origin: URL) {
    this.#send = send
    this.#origin = origin
  }

  /**
   * Every repository the registry lists.
   * @throws UPSTREAM_UNKNOWN, UPSTREAM_DENIED or UPSTREAM_MALFORMED where it has no catalog for this client.
   */
  async listCatalog({ signal }: CallOptions = {}): Promise<Listing> {
    const call: HttpCall = {
      method: 'GET',
      url: this.#url('_catalog'),
      scope: 'registry:catalog:*',
      purpose: 'list',
      signal,
    }
    const readNames = (page: unknown) => {
      if (!CatalogPage.Check(page)) throw malformed(call, 'it is no catalog page')
      // Other names than the spec allows cannot be asked for, nor can they hold anything that was pushed.
      return pickNames(page.repositories, isRepositoryName)
    }
    const sized = new URL(call.url)
    sized.searchParams.set('n', String(CATALOG_PAGE_SIZE))
    try {
      return await listPages(this.#send, { ...call, url: sized }, readNames)
    } catch (error) {
      const refused = error instanceof ChartRepoError && (error.status === 400 || error.status === 405)
      if (!refused) throw error
      return await listPages(this.#send, call, readNames)
    }
  }

  async listTags(repository: string, { signal }: CallOptions = {}): Promise<Listing | undefined> {
    const url = this.#url(`${repository}/tags/list`)
    const call: HttpCall = { method: 'GET', url, scope: pull(repository), purpose: 'list', signal }
    const readNames = (page: unknown) => {
      if (!TagPage.Check(page)) throw malformed(call, 'it is no list of tags')
      return pickNames(page.tags, isTag)
    }
    let absent = false
    const send: Send = async (page) => {
      const response = await this.#send(page)
      absent = response.status === 404 && (await isRegistrysOwn(response))
      return response
    }
    try {
      return await listPages(send, call, readNames)
    } catch (error) {
      if (absent) return undefined
      throw error
    }
  }

  async resolveTag(repository: string, tag: string, { signal }: CallOptions = {}): Promise<Digest | undefined> {
    const call: HttpCall = { ...this.#manifestCall(repository, tag), method: 'HEAD', signal }
    const response = await this.#send(call)
    // A HEAD answer has no body to tell whose 404 it is: the caller finds out by reading the manifest.
    // Nor does it matter where a registry or a proxy does not know HEAD.
    if ([404, 405, 501].includes(response.status)) return undefined
    if (!response.ok) throw await toStatusError(call, response)
    const digest = response.headers.get('docker-content-digest') ?? ''
    return isDigest(digest) ? digest : undefined
  }

  async readManifest(
    repository: string,
    reference: string,
    { signal }: CallOptions = {},
  ): Promise<FetchedManifest | undefined> {
    const call: HttpCall = {
      ...this.#manifestCall(repository, reference),
      maxBodyBytes: limits.maxManifestBytes,
      signal,
    }
    const response = await this.#send(call)
    if (response.status === 404 && (await isRegistrysOwn(response))) return undefined
    if (!response.ok) throw await toStatusError(call, response)
    const bytes = await response.bytes()
    if (isDigest(reference)) verifyAnswer(call, bytes, reference)
    const digest = isDigest(reference) ? reference : digestBytes(bytes)
    const named = response.headers.get('docker-content-digest') ?? ''
    return {
      digest,
      confirmed: named === digest || isDigest(reference) || (isDigest(named) ? isDigestOf(named, bytes) : undefined),
      mediaType: (response.headers.get('content-type') ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '',
      bytes,
    }
  }

  async readBlob(
    repository: string,
    blob: Descriptor,
    { signal, maxBytes }: CallOptions & { readonly maxBytes: number },
  ): Promise<Uint8Array | undefined> {
    const call: HttpCall = { ...this.#blobCall(repository, blob.digest), maxBodyBytes: maxBytes, signal }
    const response = await this.#send(call)
    if (response.status === 404 && (await isRegistrysOwn(response))) return undefined
    if (!response.ok) throw await toStatusError(call, response)
    const bytes = await response.bytes()
    verifyAnswer(call, bytes, blob.digest)
    return bytes
  }

  async openBlob(
    repository: string,
    blob: Pick<Descriptor, 'digest' | 'size'>,
    { signal }: CallOptions = {},
  ): Promise<ReadableStream<Uint8Array> | undefined> {
    const call: HttpCall = { ...this.#blobCall(repository, blob.digest), purpose: 'chart', signal }
    const response = await this.#send(call)
    if (response.status === 404 && (await isRegistrysOwn(response))) return undefined
    if (!response.ok) throw await toStatusError(call, response)
    const length = response.headers.get('content-length')
    if (length !== null && Number(length) !== blob.size) {
      await response.body?.cancel()
      const fault = `it is ${length} bytes long, ${blob.size} were promised`
      throw new ChartRepoError('DIGEST_MISMATCH', `Cannot use blob ${blob.digest}: ${fault}`)
    }
    return response.body ?? new Blob().stream()
  }

  #manifestCall(repository: string, reference: string): HttpCall {
    const url = this.#url(`${repository}/manifests/${reference}`)
    return { method: 'GET', url, scope: pull(repository), headers: { accept: acceptedManifests } }
  }

  #blobCall(repository: string, digest: Digest): HttpCall {
    return { method: 'GET', url: this.#url(`${repository}/blobs/${digest}`), scope: pull(repository) }
  }

  /** Names, tags and digests are checked by their grammar before they come here, and need no escaping. */
  #url(path: string): URL {
    return new URL(`/v2/${path}`, this.#origin)
  }
}

function pickNames(items: readonly unknown[] | null, isName: (text: string) => boolean): readonly string[] {
  return (items ?? []).filter((item): item is string => typeof item === 'string' && isName(item))
}

function isDigestOf(digest: Digest, bytes: Uint8Array): boolean {
  return digestBytes(bytes, digestAlgorithm(digest)) === digest
}

/** The call is described only where the digest is wrong: of a crawl's answers hardly one is. */
function verifyAnswer(call: HttpCall, bytes: Uint8Array, digest: Digest): void {
  if (isDigestOf(digest, bytes)) return
  verifyDigest(bytes, digest, `the answer to ${describeCall(call)}`)
}

function pull(repository: string): string {
  return `repository:${repository}:pull`
}

/**
 * Whether a 404 is the registry's own: an OCI error document with one of the spec's codes for things that are not there,
 * or Harbor's. The answer itself stays readable.
 */
async function isRegistrysOwn(response: Response): Promise<boolean> {
  const codes = (await readErrorCodes(response.clone())) ?? []
  return codes.some((code) =>
    /^(?:NAME|MANIFEST|BLOB|TAG|REPOSITORY)_(?:UNKNOWN|INVALID)$|^(?:[A-Z]+_)?NOT_FOUND$/.test(code),
  )
}
