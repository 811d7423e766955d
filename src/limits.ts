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
  /** How long a change of the credentials file may go unnoticed: a look at it for every request costs as much as parsing its answer. */
  credentialsLookMs: 100,
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
  /** Requests to the registry in flight, at most. A registry on a file system answers no faster from 8 on, a distant one up to 64. */
  maxUpstreamRequests: 64,
  /** Requests in flight to begin with: what any registry takes. It grows from there while the registry answers well. */
  firstUpstreamRequests: 8,
  /** How long plain HTTP that was only guessed is kept to before HTTPS is tried again. */
  guessedOriginMs: 600_000,
  /** Tags looked into at once: fewer than requests, so that lists never wait behind tags that hang. */
  maxTagsAtOnce: 48,
  /** Lists of tags asked for at once: what the request pool lets through of them. */
  maxListsAtOnce: 48,
  /** Repositories whose tags are read at once; there are more, so that small ones do not leave places empty. */
  maxRepositoriesRead: 64,
  /** Repositories of one crawl in hand at once; most of them wait, which costs a kilobyte each and their tags' names. */
  maxRepositoriesAtOnce: 2_000,
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
  /** A key of a map, as written: YAML readers stop at 1,024 bytes. */
  maxKeyBytes: 900,
  /** File names longer than this cannot be saved by a client on any common file system. */
  maxFileNameBytes: 255,

  /** Blobs up to this size, as most charts are, are also kept in memory after their first use: sent from there twice as fast. */
  maxHotBlobBytes: 1280 * KiB,
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
  /** The use of a cached file or a set of documents is written to its time stamp at most this often. Sets are swept as often. */
  touchIntervalMs: 600_000,
  /** Unfinished cache files older than this belong to no running process: see streamTimeoutMs. Looked for as often. */
  stalePartFileMs: 3_600_000,

  /** Another server with this cache directory may hold the catalog so long; nothing else happens while this one waits. */
  catalogBusyMs: 100,
  /** The same at the start and the end of a server, when nobody is kept waiting. */
  catalogPatientMs: 2_000,
  /** Work on the index goes on this long before requests have their turn: a twentieth of what a reader notices. */
  maxSliceMs: 4,
  /** The share of a core that making indexes may take, when there is news all the time. */
  maxRenderShare: 0.2,
  /** The rest after making one is never longer, whatever the making took. */
  maxRenderRestMs: 60_000,
  /** Repositories that may differ for an index to be amended: what is in them is worked out in one go, and rendered for the reader who asks first. */
  maxAmendedRepositories: 50,
  /** An index that was amended is made as a whole after this, at the soonest: more may follow. */
  amendedRestMs: 1_000,
  /** Documents up to this size are kept in memory alone: small registries write no files when something is pushed. */
  maxSmallDocumentBytes: 4 * MiB,
  /** Larger ones are files; those that were asked for last are also in memory, so many bytes: sent from there twice as fast. */
  maxHotDocumentBytes: 32 * MiB,
  /** A document that was asked for so often since it was made is moved to memory. */
  hotDocumentOpens: 8,
  /** A set of documents is removed from disk this long after another took its place: a response may be about to open it. */
  documentGraceMs: 10_000,
  /** A set on disk that no server has touched for so long belongs to none; a live one touches its own every touchIntervalMs. */
  staleDocumentsMs: 3_600_000,
  /** Bytes of a document that are written, read or compressed at once: with a quarter of it compression takes a third longer. */
  documentPageBytes: 1 * MiB,
  /** Files from this size on are sent in pieces: what is smaller holds up everybody else for a few milliseconds. */
  minPiecedFileBytes: 16 * MiB,
  /** A piece of such a file, or of an index that was amended; larger ones for clients that are quick. Each client holds two, and the runtime what is left of one. */
  minSentPieceBytes: 64 * KiB,
  maxSentPieceBytes: 512 * KiB,
  sentPiecesAhead: 2,
  /** What all clients' pieces come to beyond the smallest ones: fifty quick clients. Sockets take megabytes at once, so that who reads nothing looks quick at first. */
  maxLargePieceBytes: 64 * MiB,
  /** Who takes a piece within this time is quick: with the largest pieces, 25 MiB a second. */
  promptReaderMs: 20,
  /** Bytes of entries that were put together from the catalog, after which garbage is collected without waiting for the next look. */
  collectAfterBytes: 16 * MiB,
  /** Growth at which garbage is collected: so many bytes, and so large a share of what was left the last time. Looked at so often. */
  minTrimBytes: 24 * MiB,
  trimShare: 0.15,
  trimIntervalMs: 250,
  /** How often a crawl that takes long says in the log how far it is. */
  progressIntervalMs: 5_000,

  /** Uploads begun and not finished: each is a kilobyte of memory, and a file once it has bytes. */
  maxUploads: 10_000,
  /** An upload that nobody has sent anything to for so long is given up: clients that retry come back within minutes. */
  uploadIdleMs: 3_600_000,
  /** Chunks from this length on are refused at once when the disk has no room for them; asking for the room costs as much as writing a page. */
  minCheckedChunkBytes: 1 * MiB,
  /** Bytes of an upload after which the disk is made to begin with them: the sync at its end has less to wait for. */
  syncAheadBytes: 64 * MiB,
  /** How often uploads that were given up are looked for. */
  uploadSweepIntervalMs: 300_000,
  /** Blobs too large for memory that are known to be whole, so that they are not hashed again; a hundred bytes each. */
  maxVerifiedBlobs: 100_000,
  /** The index.json of an image layout: 100,000 tags are 30 MiB of it, with a kilobyte of annotations each 130 MiB. */
  maxLayoutIndexBytes: 256 * MiB,
  /** An index.json that is none is looked at so often, as long as it was changed this lately: a write takes microseconds, on a busy machine more. */
  maxLayoutIndexLooks: 25,
  layoutIndexLookMs: 10,
  layoutIndexWriteMs: 250,
  /** File systems keep time in steps of some milliseconds: what changes twice within one looks the same. */
  coarsestFileTimeMs: 50,
  /** Links of manifests kept in memory: half a kilobyte of an image's, megabytes of a large index's. */
  maxManifestLinksBytes: 32 * MiB,
  /** Descriptors of one page of referrers: clients read 4 MiB of it. A single one may be as long as its manifest. */
  maxReferrersPageBytes: 1 * MiB,
  /** Tags that one push by digest may set: the spec asks for ten. */
  maxTagsPerPush: 100,

  /** What consumers of an index are known to take, in bytes of its plain form: passing a bound is worth a warning. */
  consumerBounds: [
    { consumer: 'Rancher', bytes: 5 * MiB },
    { consumer: 'Flux', bytes: 50 * MiB },
  ],

  /** Snapshots younger than this answer a reader at once (DESIGN: freshness). */
  freshSnapshotMs: 2_000,
  /** A refresh that its reader does not wait for begins after this: an index of 30 MB is on its way on one host by then. */
  refreshDelayMs: 100,
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
