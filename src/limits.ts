/**
 * Every bound of the program, each with its unit in its name and its reason beside it.
 *
 * A leaf: imports nothing. Options that an operator may change are in config/, not here.
 */

const KiB = 1024
const MiB = 1024 * KiB

export const limits = {
  /** Error bodies are read for their diagnostics only; the OCI error document is a few hundred bytes. */
  maxErrorBodyBytes: 64 * KiB,
  /** The distribution spec 1.1 asks registries to take manifests up to 4 MiB; none need be larger. */
  maxManifestBytes: 4 * MiB,
  /** A config blob is Chart.yaml as JSON; the largest seen in public charts is under 100 KiB. */
  maxConfigBytes: 1 * MiB,
  /** Token answers: 64 KiB is what go-containerregistry allows, and group-heavy JWTs stay below it. */
  maxTokenBytes: 64 * KiB,
  /** One page of a catalog or tag list. Registries that do not page send everything: 100,000 tags of 128 bytes. */
  maxListPageBytes: 16 * MiB,
  /** Pages of one listing: 100,000 names in pages of 50, with room. Beyond it the listing is taken for a loop. */
  maxListPages: 4096,
  /** A chart layer that is cached and served. Helm refuses archives over 100 MiB unpacked, so this is generous. */
  maxChartBytes: 256 * MiB,
  /** A provenance layer is a signed copy of Chart.yaml. */
  maxProvenanceBytes: 1 * MiB,
  /** The credentials file; a Kubernetes Secret holds at most 1 MiB. */
  maxCredentialsBytes: 1 * MiB,
  /** The file of certificate authorities; a whole system's bundle is a quarter of it. */
  maxCertificatesBytes: 1 * MiB,
  /** The --config file. */
  maxConfigFileBytes: 1 * MiB,

  /** Hops of one redirected request; registries use one (to object storage), proxies add one or two. */
  maxRedirects: 5,
  /** Attempts of one request, the first included: with the back-off below about four seconds of outage are ridden out. */
  maxAttempts: 4,
  /** First back-off; doubles per attempt, with jitter. */
  retryBaseMs: 250,
  /** A Retry-After beyond this is not waited for inside one request; the next refresh comes anyway. */
  maxRetryAfterMs: 15_000,
  /** One attempt, from connect to the last byte of a bounded body, or to the headers of a streamed one. */
  attemptTimeoutMs: 30_000,
  /** A streamed body (a chart) may take long, but not be silent for longer than this. */
  stallTimeoutMs: 30_000,
  /** A streamed body in all: a drip is not silent, but must not hold its place for ever. */
  streamTimeoutMs: 900_000,
  /** With a known length it has this long plus its length at the rate below: what a bad line still does. */
  streamStartMs: 60_000,
  minStreamBytesPerSecond: 16 * KiB,
  /** All attempts of one request together, waits included. */
  requestTimeoutMs: 90_000,
  /** Requests to the registry in flight. A file-system registry is at its ceiling at 8, a remote one gains up to 64. */
  maxUpstreamRequests: 40,
  /** How long plain HTTP that was only guessed is kept to before HTTPS is tried again. */
  guessedOriginMs: 600_000,
  /** Tags looked into at once: fewer than requests, so that lists never wait behind tags that hang. */
  maxTagsAtOnce: 32,
  /** Nothing of a repository that is under way coming to an end for this long is given up on: longer than one attempt. */
  repositoryStallMs: 40_000,
  /** After a time-out a repository or tag is left alone this long, so that what hangs does not slow every refresh. */
  timeoutPauseMs: 120_000,
  /** Bearer tokens kept; one per repository and action. */
  maxTokens: 10_000,
  /** Children of an image index looked at for a chart; such indexes hold one per platform, artifacts one or two. */
  maxIndexChildren: 16,

  /** Nesting kept of a free-form value (`import-values`); real ones have two levels. */
  maxMetadataDepth: 16,
  /** File names longer than this cannot be saved by a client on any common file system. */
  maxFileNameBytes: 255,

  /** Blobs up to this size are also kept in memory after their first use. */
  maxHotBlobBytes: 256 * KiB,
  /** All of those together. Also what a full or read-only disk is replaced with, so one blob may fill it. */
  maxHotBytes: 64 * MiB,
  /** A blob whose file was handed out this recently is not evicted: the response may be about to open it. */
  evictionGraceMs: 10_000,
  /** Blobs being fetched at once; more would only make each other slow. */
  maxBlobFills: 16,
  /** Blobs being fetched into memory at once where the disk cannot take them: together at most twice maxHotBytes. */
  maxMemoryFills: 2,
  /** Attempts at one blob whose body breaks off; connecting is retried by the client itself. */
  maxBlobAttempts: 3,
  /** The use of a cached file is written to its time stamp at most this often, to keep its place over restarts. */
  touchIntervalMs: 600_000,
  /** Unfinished cache files older than this belong to no running process: see streamTimeoutMs. Looked for as often. */
  stalePartFileMs: 3_600_000,

  /** Snapshots younger than this answer a reader at once (DESIGN: freshness). */
  freshSnapshotMs: 2_000,
  /** After a failed refresh readers start none for this long: the next one is unlikely to fare better. */
  refreshPauseMs: 5_000,
  /** Rounds of a first crawl before it is published without the repositories that kept failing. */
  maxFirstCrawlRounds: 3,
  /** Problems listed in /readyz. */
  maxReportedProblems: 100,
  /** A connection on which a request is answered slowly is kept this long; Bun allows no more. */
  slowRequestIdleSeconds: 255,
  /** What under way is given to finish at SIGTERM; Kubernetes kills after 30 s. */
  shutdownGraceMs: 10_000,
} as const
