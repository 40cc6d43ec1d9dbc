/// <reference lib="esnext.disposable" />

/**
 * Valid third-party access tokens for your users and groups, through the Xkit Platform API.
 *
 * Where the native binary cannot be loaded, importing the package throws a plain `Error` whose `code` is one of
 * `ERR_XKIT_UNSUPPORTED_PLATFORM` (there is no binary for this platform), `ERR_XKIT_BINARY_MISSING` (its package is
 * not installed) and `ERR_XKIT_BINARY_NOT_LOADED` (it is there, but the system refuses it). The message names the
 * platform and says what to do; `cause` is the error of the loader.
 *
 * @packageDocumentation
 */

/**
 * Whose connection is asked for. A plain string is a user, under the id with which you provisioned that user. An id that
 * is a number in your database is passed as `String(id)`.
 *
 * Ids are sent as they are, percent-encoded as one path segment: they are never trimmed or normalised. Empty,
 * blank, `.`, `..`, more than 1,024 bytes of UTF-8, control characters or lone surrogates are refused with
 * `ERR_INVALID_ARG_VALUE` before anything is sent.
 */
export type ConnectionOwner =
  | string
  | { user: string; group?: undefined; context?: undefined }
  | { user?: undefined; group: string; context?: undefined }
  | { user?: undefined; group?: undefined; context: string }

/** A pair of keys of the Platform API. */
export interface XkitCredentials {
  publishableKey: string
  secretKey: string
}

export interface XkitClientOptions {
  /** User name of the Basic auth. One trailing newline is trimmed. @default process.env.XKIT_PUBLISHABLE_KEY */
  publishableKey?: string | undefined
  /** Password of the Basic auth. One trailing newline is trimmed. @default process.env.XKIT_SECRET_KEY */
  secretKey?: string | undefined
  /**
   * Gives the keys, for keys that rotate; not beside `publishableKey` and `secretKey`, and in place of their variables. It is
   * called before the first request, and once for all who wait after `ERR_XKIT_INVALID_API_KEY`: if it gives other keys then,
   * each of those calls is made again, once. Calls wait for it within their own `timeoutMs` and `signal`; if it fails, they
   * reject with `ERR_XKIT_MISSING_CREDENTIALS`, and the next call calls it again. What is cached under replaced keys is dropped.
   */
  credentials?: (() => XkitCredentials | PromiseLike<XkitCredentials>) | undefined
  /**
   * Root of the Platform API. `https:`; `http:` for a loopback host, and for any with `allowHttp`. No user name, query or
   * fragment; a path prefix and a trailing slash are fine.
   * @default process.env.XKIT_BASE_URL, else 'https://app.xkit.co/api/platform'
   */
  baseUrl?: string | undefined
  /**
   * Whether `baseUrl`, and the URLs of `fetch`, may be `http:` for any host: for a sidecar of a service mesh that encrypts
   * by itself, or for the emulator in another container. The keys and the tokens then cross that network as they are, in
   * the sight of all who are on it.
   * @default false
   */
  allowHttp?: boolean | undefined
  /**
   * Whether HTTP/2 is offered. `false` offers HTTP/1.1 alone, for a proxy or a middlebox that agrees on HTTP/2 and does not
   * speak it.
   * @default process.env.XKIT_HTTP2 (0 or 1), else true
   */
  http2?: boolean | undefined
  /**
   * By slug, the hosts that `fetch` may send a token to: `{ github: ['api.github.com'] }`, with a port or without one, each
   * by its whole name (no `*`). Then
   * `fetch` refuses every other host before it asks for a token, also for a slug that is not named here, takes `http:` for
   * loopback alone, and gives a redirect to another host as it is, in place of following it. For URLs that somebody else
   * writes, such as a model.
   * @default none: any `https:` URL
   */
  hosts?: Readonly<Record<string, readonly string[]>> | undefined
  /**
   * The catalog where your users set up and repair connections. Without it there is no `connectUrl`. Either
   * - the root of a hosted one, `https://acme.xkit.co`: a connector's page is `<root>/connectors/<slug>` (given); or
   * - for one that you host yourself (found), a template that holds `{slug}` once, in its path, query or fragment:
   *   `https://acme.com/integrations/{slug}` (embedded under a path, with `connectorsPath="/"`),
   *   `https://acme.com/settings#/connectors/{slug}` (with the hash router). The slug is percent-encoded.
   * @default process.env.XKIT_CATALOG_URL
   */
  catalogUrl?: string | undefined
  /** Path templates below `baseUrl`, for a platform that names them otherwise. */
  paths?: ConnectionPaths | undefined
  /** Limit of a whole call in milliseconds: queue, attempts, bodies and waits. 1 to 2147483647. @default 20000 */
  timeoutMs?: number | undefined
  /** Limit of one attempt in milliseconds, connecting and body included. 1 to 2147483647. @default 8000 */
  attemptTimeoutMs?: number | undefined
  /** Limit for a new connection in milliseconds, TLS and proxy included. 1 to 2147483647. @default 3100 */
  connectTimeoutMs?: number | undefined
  /**
   * Age in milliseconds from which a connection gets no new request, so that a busy client follows a name that moves to
   * another address. What is under way on it ends there.
   * @default 300000
   */
  maxConnectionAgeMs?: number | undefined
  /** How often a call is tried again after a passing fault. 0 to 10. @default 2 */
  maxRetries?: number | undefined
  /** Requests at once; what is over waits its turn. 1 to 10000. @default 100 */
  maxConcurrency?: number | undefined
  /**
   * Keeps active tokens in memory, so that a cached call asks nobody. Off unless asked for, since the platform names
   * no expiry: a token that is revoked early is noticed when the service rejects it.
   * @default false; `true` for the defaults of {@link CacheOptions}
   */
  cache?: boolean | CacheOptions | undefined
  /**
   * URL of an HTTP proxy (`http:` or `https:`, user name and password in the URL), or `false` for none. Used for an
   * `https:` base URL only, always through a CONNECT tunnel: the proxy never sees a key.
   * @default process.env.HTTPS_PROXY or ALL_PROXY (either case), unless NO_PROXY names the host
   */
  proxy?: string | false | undefined
  /** PEM certificates to trust besides the built-in roots and Node's own additions (`NODE_EXTRA_CA_CERTS`). */
  ca?: string | Uint8Array | ReadonlyArray<string | Uint8Array> | undefined
  /**
   * The client's own certificate, as PEM, for a gateway that demands one; after it those between it and its authority. With
   * `key` only. Shown to the platform alone: neither to Redis nor to a proxy, so that a proxy with an `https:` URL is
   * refused beside it.
   * @default none
   */
  cert?: string | Uint8Array | undefined
  /**
   * The private key of `cert`, as PEM, without a passphrase: RSA of 2048 to 4096 bits, P-256, P-384 or Ed25519. A pair that
   * does not match makes the constructor throw.
   * @default none
   */
  key?: string | Uint8Array | undefined
}

/**
 * A token is kept for `ttlMs` at the most, and never to its end: where the platform names an expiry, or the token is a
 * JSON Web Token with one, it is dropped 60 s before (or a fifth of what is left, where that is less). It is fetched
 * anew in the background when it is used late in its life.
 */
export interface CacheOptions {
  /** Longest life of an entry in milliseconds. 1 to 2147483647. @default 60000 */
  ttlMs?: number | undefined
  /** Entries kept; the least recently used go first. 1 to 10000000. @default 10000 */
  maxEntries?: number | undefined
  /**
   * A second level that the processes of a fleet share: a Redis (7.0 or newer), by its URL. `redis://` or `rediss://`
   * (TLS) for one Redis, `redis-sentinel://host?master=name`, `redis-cluster://host`, the last two with `rediss-` too
   * and with more nodes as `&node=host:port`. What lies there is encrypted. No call fails because of it.
   * See docs/fleet.md.
   * @default process.env.XKIT_REDIS_URL, else none
   */
  redis?: string | RedisOptions | undefined
  /**
   * At least 32 bytes of random, the same in every process, from which the keys for what lies in Redis are derived. A
   * string stands for its UTF-8.
   * @default the secret key
   */
  encryptionKey?: string | Uint8Array | undefined
}

export interface RedisOptions {
  /** As for `redis`. User name and password are percent-encoded; the path is the number of the database. */
  url: string
  /** User name and password of the Sentinels, where they are not those of the Redis; the first needs the second. */
  sentinelUsername?: string | undefined
  sentinelPassword?: string | undefined
  /** What the names of all keys and of the channel begin with. 1 to 256 bytes. @default 'xkit:' */
  keyPrefix?: string | undefined
  /**
   * Limit of one command in milliseconds, connecting included. Then the call goes on without Redis, and Redis is left
   * alone for 5 seconds. 1 to 60000. @default 50
   */
  commandTimeoutMs?: number | undefined
}

/** Each template starts with `/` and holds `{id}` and `{slug}` once each, as whole path segments. */
export interface ConnectionPaths {
  /** The documented path (given). @default process.env.XKIT_USER_PATH, else '/connections/{id}/{slug}' */
  user?: string | undefined
  /**
   * The platform's pages do not state this path (open): check it once with `npx --no xkit doctor --group ID`.
   * @default process.env.XKIT_GROUP_PATH, else '/groups/{id}/connections/{slug}'
   */
  group?: string | undefined
  /**
   * As found in the platform's newer pages.
   * @default process.env.XKIT_CONTEXT_PATH, else '/contexts/{id}/connections/{slug}'
   */
  context?: string | undefined
}

export interface CallOptions {
  /** Cancels the request and rejects with `signal.reason` itself. Other calls are not touched. */
  signal?: AbortSignal | undefined
  /** Limit of this call in milliseconds, in place of the client's. 1 to 2147483647. */
  timeoutMs?: number | undefined
  /** Skips the cache, and joins no request that began earlier. @default false */
  fresh?: boolean | undefined
}

/** Options of `close`. */
export interface CloseOptions {
  /**
   * How long calls under way may go on, in milliseconds, 0 to 2147483647. Those that are left then reject with
   * `ERR_XKIT_CLOSED`, with 0 `attempts`; 0 ends all at once. @default they end by themselves
   */
  timeoutMs?: number | undefined
}

/** Options of `waitForConnection`. */
export interface WaitOptions {
  /** Ends the wait with `signal.reason` itself. Other waits go on. */
  signal?: AbortSignal | undefined
  /** Limit of the wait in milliseconds, 1 to 2147483647. @default 300000 */
  timeoutMs?: number | undefined
}

export interface WithAccessTokenOptions extends CallOptions {
  /**
   * Whether an outcome says that the token is no good, in the place of the test that {@link XkitClient.withAccessToken}
   * has. Gets what `use` returned (resolved) or threw; may be asynchronous. Is asked once per call, and what it throws is
   * the outcome. To try again after any 403 too, say so here.
   * @default goes by the shape of the outcome, see {@link XkitClient.withAccessToken}
   */
  // biome-ignore lint/suspicious/noExplicitAny: what services return and throw has no type in common.
  isRejected?: ((outcome: any) => boolean | PromiseLike<boolean>) | undefined
}

/**
 * A webhook. The platform's pages tell of three events: a connection is enabled (`connection.enabled`), is disabled, or
 * goes into an error state; the names of the last two are not stated, so any name is taken.
 */
export interface WebhookEvent {
  /** The platform's `event_type`. */
  type: 'connection.enabled' | 'connection.disabled' | (string & {})
  /** The owner's id, that of a number as its digits; the payload does not tell a user from a group. */
  ownerId: string
  slug: string
  /** Absent where the event names none that could be one: nothing depends on it. */
  connectionId?: string
}

/** What the platform told of a connection, where it did. */
export interface ConnectionDetails {
  /** The connector's slug, as the platform returned it. */
  slug?: string
  connectionId?: string
  /** The connector's name for people, such as `Slack`. */
  connectorName?: string
  authorizationId?: string
  /** The platform's word: `awaiting_callback`, `retrieving_tokens`, `active`, `error`, or one not yet known. */
  authorizationStatus?: string
  /** The account's name for people. */
  displayLabel?: string
}

/** An enabled connection with a usable token. */
export interface ActiveConnection extends ConnectionDetails {
  status: 'active'
  /**
   * The token for the third-party service: never empty, no control characters. Readable, and not enumerable: what
   * copies or logs the connection (spread, `Object.assign`, `JSON.stringify`, `structuredClone`, `console.log`,
   * `console.table`, a logger) takes no token along. A copy is missing it although its type has it, so pass it on by
   * name: `{ ...connection, accessToken: connection.accessToken }`.
   */
  accessToken: string
  /** When the token ends, where the platform tells (its docs do not promise it). */
  expiresAt?: Date
  connectUrl?: undefined
  errorCode?: undefined
  errorMessage?: undefined
}

/** An ordinary state in which there is no token: send the person to `connectUrl`. */
export interface UnavailableConnection extends ConnectionDetails {
  /**
   * - `not_provisioned`: the platform does not know this owner
   * - `not_enabled`: the owner has not enabled this connection
   * - `pending`: the authorization is under way; ask again later
   * - `needs_reauthorization`: the authorization broke; the owner has to connect again
   */
  status: 'not_provisioned' | 'not_enabled' | 'pending' | 'needs_reauthorization'
  accessToken?: undefined
  expiresAt?: undefined
  /** Where the owner sets up or repairs the connection. Present when the client has a `catalogUrl`. */
  connectUrl?: string
  /** The platform's code for what broke. */
  errorCode?: string
  /** The platform's words for what broke. */
  errorMessage?: string
}

/** Tells its two forms apart by `status`. */
export type Connection = ActiveConnection | UnavailableConnection

/** Counters since the client was constructed. */
export interface ClientStats {
  /** Calls with valid arguments. */
  calls: number
  /** Requests sent, retries included. */
  requests: number
  /** Requests sent because an earlier one of the same call failed. */
  retries: number
  /** Calls that shared the request of an identical one under way. */
  coalesced: number
  /** Calls answered from the cache. */
  cacheHits: number
  /** Calls that the cache could not answer, of a client that has one. */
  cacheMisses: number
  /** Calls that ended in an error, background refreshes included. An unavailable connection is an answer, not a failure; an abort is neither. */
  failures: number
  /** Tokens that services rejected, each counted once, however many callers report it. */
  rejections: number
  /** Calls that got another token in place of a rejected one. */
  repairs: number
  /** Requests under way now. */
  inFlight: number
  /** Requests that wait for one of `maxConcurrency` places now. */
  queued: number
  /** The second level of the cache, of a client that has one. */
  fleet?: FleetStats
}

export interface FleetStats {
  /** Fetches that Redis answered, so that the platform was not asked. */
  hits: number
  /** Fetches that it could not answer. */
  misses: number
  /** Commands that failed or took too long. */
  errors: number
  /** Whether Redis is left alone now, after too many errors, or after one that the next command would end in too. */
  isBypassed: boolean
  /**
   * What went wrong last, of a command or of the subscription: the code of Redis's reply, such as `WRONGPASS` or `NOPERM`, or
   * the system's words. It holds no address and no secret. Absent when Redis is well: when a probe after a pause, the last
   * ten commands, or a new subscription succeeded.
   */
  lastError?: string
  /** When that was. */
  lastErrorAt?: Date
}

/**
 * What the tracing channel `xkit-node:call` of `node:diagnostics_channel` publishes of a call of `getAccessToken`,
 * `getGroupAccessToken` or `getConnection`, also where `withAccessToken` and `fetch` make one: the same object in each
 * event. Never an owner's id, a key, a token or the result. For types: `tracingChannel<unknown, CallTrace>('xkit-node:call')`.
 */
export interface CallTrace {
  operation: 'getAccessToken' | 'getGroupAccessToken' | 'getConnection'
  /** Absent when the argument is wrong. */
  ownerKind?: 'user' | 'group' | 'context'
  /** As it was asked for. Absent when the argument is wrong. */
  slug?: string
  /**
   * The state of the connection, the code of the failure, or `'aborted'`. Like all that follows, it is there in the
   * events `error`, `asyncStart` and `asyncEnd`.
   */
  outcome?:
    | Connection['status']
    | XkitErrorCode
    | 'ERR_INVALID_ARG_TYPE'
    | 'ERR_INVALID_ARG_VALUE'
    | 'aborted'
  /** Requests that were sent for it; those of the one that it shared, where it did. Absent when aborted. */
  attempts?: number
  /** Whether it was answered without a request. */
  cached?: boolean
  /** Whether it shared the request of an identical one under way. Absent when aborted. */
  coalesced?: boolean
  /** Whether the Redis of the fleet was left alone when the call ended. Absent without one, and when aborted. */
  isFleetBypassed?: boolean
  /**
   * Why Redis is left alone, or why it did not answer this call: as `lastError` of {@link FleetStats}, without an address
   * or a secret. Absent otherwise.
   */
  fleetError?: string
  /** Milliseconds from the call to its end. */
  durationMs?: number
  /** What a failed call rejects with. Not there for a connection without a token, nor for an abort. */
  error?: XkitError | TypeError
}

/**
 * One owner's connection to one service: what {@link XkitClient.for} binds. It holds no token and asks nobody by itself. Its
 * methods need no `this`, so that they can be handed to an SDK, and ignore what an SDK passes along that is no option of
 * theirs. Otherwise they are the client's.
 */
export interface ConnectionHandle<Slug extends string = string> {
  readonly owner: ConnectionOwner
  readonly slug: Slug
  /** {@link XkitClient.getAccessToken} */
  getAccessToken(options?: CallOptions): Promise<string>
  /** As an SDK calls it: what is no option is ignored. */
  getAccessToken(...ignored: unknown[]): Promise<string>
  /** {@link XkitClient.getConnection} */
  getConnection(options?: CallOptions): Promise<Connection>
  /** {@link XkitClient.withAccessToken} */
  withAccessToken<Result>(
    use: (accessToken: string) => Result,
    options?: WithAccessTokenOptions,
  ): Promise<Awaited<Result>>
  /** {@link XkitClient.fetch} */
  fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>
  /** {@link XkitClient.invalidate}. What is no string counts as no token. */
  invalidate(rejectedToken?: string): void
}

/**
 * One client serves every user and group of a backend. It holds the keys and the connection pool, so make one and
 * keep it. An idle client never keeps the process alive.
 *
 * @typeParam Slug the connectors you use, such as `'slack' | 'github'`: then a mistyped slug does not compile.
 */
export class XkitClient<Slug extends string = string> {
  /**
   * Opens no connection and starts no thread. The environment is read here; keys that are not there yet are looked for
   * again by each call, which rejects with `ERR_XKIT_MISSING_CREDENTIALS` until they are. So a module that holds a client
   * can be evaluated where no secrets are, as when an application is built.
   * @throws {XkitError} `ERR_XKIT_MISSING_CREDENTIALS` for a key that is given and empty
   * @throws {TypeError} `ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE` for a wrong or unknown option
   */
  constructor(options?: XkitClientOptions)

  /**
   * A valid access token for the owner's connection.
   * Rejects with a {@link ConnectionUnavailableError} when there is none to be had, with another
   * {@link XkitError} when the platform could not be asked, with `signal.reason` when aborted, and with a
   * `TypeError` for wrong arguments. Never throws synchronously.
   */
  getAccessToken(owner: ConnectionOwner, slug: Slug, options?: CallOptions): Promise<string>

  /** `getAccessToken({ group: groupId }, slug, options)`. Two calls may return tokens of two members. */
  getGroupAccessToken(groupId: string, slug: Slug, options?: CallOptions): Promise<string>

  /**
   * The owner's connection: a union in which the ordinary states without a token are values, not errors.
   * Rejects as `getAccessToken` does otherwise.
   */
  getConnection(owner: ConnectionOwner, slug: Slug, options?: CallOptions): Promise<Connection>

  /**
   * Calls `use` with an access token. If what it returns or throws says that the service rejected the token, the token is
   * dropped, one new token is fetched for all who were refused with the same one, and `use` is called once more; what it
   * gives then is given as it is. If the platform has no other token, the rejection is given as it was.
   *
   * A rejection is known by its shape, as HTTP clients and the SDKs of services have it: a 401 as a status of what was
   * thrown, of its `response` or its `cause`, or of a returned answer; `UNAUTHENTICATED` of gRPC; a word such as
   * `token_expired` or `invalid_auth` as a code of an error, in `{ ok: false, error }`, in GraphQL `errors` without data, or
   * in an error body with 400 or 403; the words of a message only where no status is anywhere. Never what names a scope or
   * a permission, a 403 by itself, 404, 429, 5xx, `invalid_grant`, or an error of this package. Else see `isRejected`.
   *
   * Rejects as `getAccessToken` does; if the new token cannot be had, the rejection is the error's `cause`.
   */
  withAccessToken<Result>(
    owner: ConnectionOwner,
    slug: Slug,
    use: (accessToken: string) => Result,
    options?: WithAccessTokenOptions,
  ): Promise<Awaited<Result>>

  /**
   * Global `fetch` with the bearer token, on top of {@link withAccessToken}: `init.signal` ends the waiting for a token
   * too. The URL is `https:`, or `http:` for loopback (see `allowHttp` and `hosts`); any other is a `TypeError`, before a
   * token is asked for, and so are `timeoutMs`, `fresh` and `isRejected` in `init`. Never take a URL from a user.
   *
   * A one-shot body (a stream, or a `Request` with a body) is not sent a second time: then the rejection is returned. Small
   * JSON answers with 200, 400 or 403 are looked into for the same words: a clone of their first chunk, at most 64 KiB.
   * Others are returned unread, and so is one whose body has not come after a second. An answer of another origin, to which
   * a redirect led, is no rejection.
   */
  fetch(
    owner: ConnectionOwner,
    slug: Slug,
    input: string | URL | Request,
    init?: RequestInit,
  ): Promise<Response>

  /**
   * The owner's connection to a service, bound: for a job or an SDK that gets this one and nothing more, such as
   * `ky.create({ fetch: xkit.for('some-user-id', 'github').fetch })`.
   * @throws {TypeError} for wrong arguments
   */
  for<Bound extends Slug>(owner: ConnectionOwner, slug: Bound): ConnectionHandle<Bound>

  /**
   * Waits until a connection is `active`, for "connect, then go on". Resolves with it, or with the last state at
   * `timeoutMs`: no other state ends the wait, since an old `needs_reauthorization` is what the owner is about to mend.
   *
   * It polls past the cache, at once and then 1 s to 5 s apart; waits for one connection share the polls. A webhook about
   * the connection that `handleWebhook` of any client in this process reads makes it poll at once. Failures that may pass
   * (`retryable`) are waited out; any other rejects. If there was no state at the limit, it rejects with the last failure.
   */
  waitForConnection(owner: ConnectionOwner, slug: Slug, options?: WaitOptions): Promise<Connection>

  /**
   * Reads a webhook of the platform, as text, bytes or parsed JSON, and drops what is cached of the connection that it
   * names. The platform signs nothing, so a webhook is a hint: it grants nothing and marks nothing. Protect the route.
   * @throws {TypeError} `ERR_INVALID_ARG_VALUE` for what is no such event, `ERR_INVALID_ARG_TYPE` for a wrong type
   */
  handleWebhook(body: string | Uint8Array | object): WebhookEvent

  /**
   * Drops the cached token, and calls off what is under way: the next call asks the platform. With the token that a
   * service rejected, nothing happens if another one is cached by now.
   * @throws {TypeError} for wrong arguments
   */
  invalidate(owner: ConnectionOwner, slug: Slug, rejectedToken?: string): void

  /**
   * The catalog's page of a connector: `<catalogUrl>/connectors/<slug>`, or what the template makes of the slug;
   * `undefined` without a `catalogUrl`.
   * @throws {TypeError} for a slug that is none
   */
  connectorUrl(slug: Slug): string | undefined

  /** Counters since construction, for metrics. */
  stats(): ClientStats

  /** Later calls reject with `ERR_XKIT_CLOSED`; calls under way end by themselves, or at `timeoutMs`. Resolves when they have. */
  close(options?: CloseOptions): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * `XkitClient.getAccessToken` on a default client, built from the environment (`XKIT_PUBLISHABLE_KEY`,
 * `XKIT_SECRET_KEY`, `XKIT_BASE_URL`, `XKIT_CATALOG_URL`, `XKIT_USER_PATH`, `XKIT_GROUP_PATH`, `XKIT_CONTEXT_PATH`,
 * `XKIT_HTTP2`, a proxy) at the first call. What the constructor would throw is a
 * rejection here, and the next call tries again.
 */
export function getAccessToken(owner: ConnectionOwner, slug: string, options?: CallOptions): Promise<string>

/** `XkitClient.getGroupAccessToken` on the default client. */
export function getGroupAccessToken(groupId: string, slug: string, options?: CallOptions): Promise<string>

/** `XkitClient.getConnection` on the default client. */
export function getConnection(
  owner: ConnectionOwner,
  slug: string,
  options?: CallOptions,
): Promise<Connection>

/** `XkitClient.withAccessToken` on the default client. */
export function withAccessToken<Result>(
  owner: ConnectionOwner,
  slug: string,
  use: (accessToken: string) => Result,
  options?: WithAccessTokenOptions,
): Promise<Awaited<Result>>

/**
 * Closes the default client, as `XkitClient.close` does; does nothing if there is none. The next call of a function builds
 * another one, from the environment as it is then.
 */
export function closeDefaultClient(options?: CloseOptions): Promise<void>

/** Codes of {@link ConnectionUnavailableError}, one per state. */
export type ConnectionUnavailableErrorCode =
  | 'ERR_XKIT_NOT_PROVISIONED'
  | 'ERR_XKIT_NOT_ENABLED'
  | 'ERR_XKIT_PENDING'
  | 'ERR_XKIT_NEEDS_REAUTHORIZATION'

/** Codes of {@link XkitApiError}. */
export type XkitApiErrorCode =
  /** 401: the platform refuses the keys. */
  | 'ERR_XKIT_INVALID_API_KEY'
  /** 403: the keys may not do this. */
  | 'ERR_XKIT_FORBIDDEN'
  /** 429, after the retries. */
  | 'ERR_XKIT_RATE_LIMITED'
  /** 5xx, after the retries where one makes sense. */
  | 'ERR_XKIT_SERVER'
  /** Any other status. */
  | 'ERR_XKIT_HTTP'
  /** A 3xx: redirects are never followed. */
  | 'ERR_XKIT_REDIRECT'
  /** A success that is not an answer of the platform, or an active connection without a usable token. */
  | 'ERR_XKIT_INVALID_RESPONSE'
  /** More than 256 KiB of body, or too many headers. */
  | 'ERR_XKIT_RESPONSE_TOO_LARGE'

/** Codes of {@link XkitNetworkError}. */
export type XkitNetworkErrorCode = 'ERR_XKIT_TIMEOUT' | 'ERR_XKIT_CONNECT' | 'ERR_XKIT_TLS' | 'ERR_XKIT_PROXY'

/** Codes of an {@link XkitError} that is none of its subclasses. */
export type XkitClientErrorCode =
  | 'ERR_XKIT_MISSING_CREDENTIALS'
  | 'ERR_XKIT_OVERLOADED'
  | 'ERR_XKIT_CLOSED'
  | 'ERR_XKIT_INTERNAL'

/** Every code. They are stable: what they mean does not change within a major version. */
export type XkitErrorCode =
  | ConnectionUnavailableErrorCode
  | XkitApiErrorCode
  | XkitNetworkErrorCode
  | XkitClientErrorCode

/**
 * What an error of this package is made of. Calls make their errors themselves; the constructors are for the tests of
 * code that handles them. What is no such thing throws a `TypeError` (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`).
 */
export interface XkitErrorInit<Code extends XkitErrorCode = XkitErrorCode> {
  message: string
  /** One of the class's own codes; any code for an {@link XkitError}. */
  code: Code
  /** @default false */
  retryable?: boolean | undefined
  /** An integer from 0. @default 0 */
  attempts?: number | undefined
  /** A string becomes an `Error` with it as its message. @default none */
  cause?: unknown
}

/** What an {@link XkitApiError} is made of. */
export interface XkitApiErrorInit extends XkitErrorInit<XkitApiErrorCode> {
  /** @default none */
  status?: number | undefined
  /** @default none */
  requestId?: string | undefined
  /** @default none */
  retryAfterMs?: number | undefined
}

/**
 * Base of every failure of this package. Messages say what happened and what to do; they never hold a key, a token,
 * an owner's id or a body.
 */
export class XkitError extends Error {
  /** @throws {TypeError} for what no error of this class is made of */
  constructor(failure: XkitErrorInit)
  readonly code: XkitErrorCode
  /** Whether the same call may succeed later, unchanged. */
  readonly retryable: boolean
  /** Requests that this call sent, or tried to send. */
  readonly attempts: number
}

/**
 * The platform answered, and there is no token. Retryable only while an authorization is under way
 * (`ERR_XKIT_PENDING`); otherwise the owner has to act, at `connectUrl`.
 */
export class ConnectionUnavailableError extends XkitError {
  /**
   * `connectUrl` is that of the connection.
   * @throws {TypeError} for what no error of this class is made of
   */
  constructor(failure: XkitErrorInit<ConnectionUnavailableErrorCode>, connection: UnavailableConnection)
  readonly name: 'ConnectionUnavailableError'
  readonly code: ConnectionUnavailableErrorCode
  /** The state as `getConnection` returns it. Not enumerable. */
  readonly connection: UnavailableConnection
  /** Where to send the owner. Present when the client has a `catalogUrl`. */
  readonly connectUrl?: string
}

/** The platform, or something in its place, answered with what is no connection. */
export class XkitApiError extends XkitError {
  /** @throws {TypeError} for what no error of this class is made of */
  constructor(failure: XkitApiErrorInit)
  readonly name: 'XkitApiError'
  readonly code: XkitApiErrorCode
  /** HTTP status of the last answer. Absent where what came was no proper HTTP. */
  readonly status?: number
  /** The answer's `X-Request-Id`, to quote to the platform's support. */
  readonly requestId?: string
  /** How long the platform asks to wait, in milliseconds. */
  readonly retryAfterMs?: number
}

/** No answer was received. */
export class XkitNetworkError extends XkitError {
  /** @throws {TypeError} for what no error of this class is made of */
  constructor(failure: XkitErrorInit<XkitNetworkErrorCode>)
  readonly name: 'XkitNetworkError'
  readonly code: XkitNetworkErrorCode
}

/** An {@link XkitError} that is none of its subclasses. */
export interface XkitClientError extends XkitError {
  readonly code: XkitClientErrorCode
}

/**
 * Any error of this package. Its `code` tells which, and so which fields there are:
 * `error.code === 'ERR_XKIT_RATE_LIMITED'` is an {@link XkitApiError} with `retryAfterMs`.
 */
export type AnyXkitError = ConnectionUnavailableError | XkitApiError | XkitNetworkError | XkitClientError

/**
 * Whether a value is an error of this package, also across realms and duplicate installations. An error with which a
 * worker thread ended is known too: it has lost its class (so `instanceof` does not know it) and its prototype, and is
 * told by its fields, one of the codes with a boolean `retryable` and a number `attempts`. What `postMessage` makes of an
 * error has lost these as well, and is not known: post the fields that you need.
 */
export function isXkitError(value: unknown): value is AnyXkitError

/**
 * The error of this package that a value is or holds: where an SDK was given `fetch`, `getAccessToken` or a handle, it wraps
 * what that rejects with into an error of its own (`cause`, `detail`, `original`, `errors[]` and the like). The outermost
 * one, across realms and duplicate installations; `undefined` where there is none, and where an SDK has kept the message
 * alone. Never throws.
 */
export function xkitErrorOf(error: unknown): AnyXkitError | undefined
