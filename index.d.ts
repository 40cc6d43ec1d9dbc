/// <reference lib="esnext.disposable" />

/**
 * Valid third-party access tokens for your users and groups, through the Xkit Platform API.
 *
 * If the native binary cannot be loaded, importing the package throws a plain `Error` with one of these codes:
 * `ERR_XKIT_UNSUPPORTED_PLATFORM` (there is no binary for this platform), `ERR_XKIT_BINARY_MISSING` (the package with the
 * binary is not installed) or `ERR_XKIT_BINARY_NOT_LOADED` (the system refuses the binary). The message names the platform
 * and the remedy; `cause` is the error of the loader.
 *
 * @packageDocumentation
 */

/**
 * The owner of a connection. A plain string is a user, by the id with which you provisioned that user. Pass an id that is a
 * number in your database as `String(id)`.
 *
 * Ids are sent unchanged, percent-encoded as one path segment: they are never trimmed or normalised. An id that is empty,
 * blank, `.` or `..`, is longer than 1,024 bytes of UTF-8, or has control characters or lone surrogates is refused with
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
   * Returns the keys, for keys that rotate. Replaces `publishableKey` and `secretKey`, which must not be given too, and their
   * variables. It is called before the first request, and after `ERR_XKIT_INVALID_API_KEY`, once for all calls that wait: if it
   * then returns other keys, each of these calls is made a second time. Calls wait for it within their own `timeoutMs` and
   * `signal`. If it fails, they reject with `ERR_XKIT_MISSING_CREDENTIALS`, and the next call runs it again. Tokens cached under
   * replaced keys are discarded.
   */
  credentials?: (() => XkitCredentials | PromiseLike<XkitCredentials>) | undefined
  /**
   * Root of the Platform API: `https:`, or `http:` for a loopback host (for any host with `allowHttp`). It may have a path prefix
   * and a trailing slash, but no user name, query or fragment.
   * @default process.env.XKIT_BASE_URL, else 'https://app.xkit.co/api/platform'
   */
  baseUrl?: string | undefined
  /**
   * Whether `baseUrl` and the URLs of `fetch` may be `http:` for any host: for the sidecar of a service mesh that encrypts, or for
   * the emulator in another container. Everyone on that network can then read the keys and the tokens.
   * @default false
   */
  allowHttp?: boolean | undefined
  /**
   * Whether HTTP/2 is offered. `false` offers HTTP/1.1 alone, for a proxy or a middlebox that negotiates HTTP/2 but does not
   * speak it.
   * @default process.env.XKIT_HTTP2 (0 or 1), else true
   */
  http2?: boolean | undefined
  /**
   * By slug, the hosts that `fetch` may send a token to, for URLs that you do not write yourself but a model, for example:
   * `{ github: ['api.github.com'] }`, each by its whole name (no `*`), with a port or without one. `fetch` then refuses every
   * other host before it fetches a token, also for a slug that is not listed; accepts `http:` for loopback alone; and returns a
   * redirect to another host instead of following it.
   * @default none: any `https:` URL
   */
  hosts?: Readonly<Record<string, readonly string[]>> | undefined
  /**
   * The catalog where your users set up and repair connections. Without it there is no `connectUrl`. Either
   * - the root of a hosted one, `https://acme.xkit.co`: a connector's page is `<root>/connectors/<slug>`, as the platform documents;
   * - or, for one that you host yourself, a template that holds `{slug}` once, in its path, query or fragment:
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
   * Age in milliseconds from which a connection gets no new request, so that a busy client follows a name that moves to another
   * address. Requests under way on it still end there. 1 to 2147483647. @default 300000
   */
  maxConnectionAgeMs?: number | undefined
  /** Retries of a call after transient faults. 0 to 10. @default 2 */
  maxRetries?: number | undefined
  /** Requests at once; further requests wait. 1 to 10000. @default 100 */
  maxConcurrency?: number | undefined
  /**
   * Caches active tokens in memory, so that a cached call sends no request. Off by default, since the platform names no expiry:
   * a token that is revoked early is noticed only when the service rejects it.
   * @default false; `true` for the defaults of {@link CacheOptions}
   */
  cache?: boolean | CacheOptions | undefined
  /**
   * URL of an HTTP proxy (`http:` or `https:`, with user name and password in the URL), or `false` for none. It needs an `https:`
   * base URL, and always gets a CONNECT tunnel: the proxy never sees a key.
   * @default process.env.HTTPS_PROXY or ALL_PROXY (either case), unless NO_PROXY names the host
   */
  proxy?: string | false | undefined
  /** PEM certificates to trust besides the built-in roots and Node's own additions (`NODE_EXTRA_CA_CERTS`). */
  ca?: string | Uint8Array | ReadonlyArray<string | Uint8Array> | undefined
  /**
   * The client's own certificate as PEM, followed by its intermediate certificates, for a gateway that requires one. Needs `key`.
   * Only the platform gets it, neither Redis nor a proxy; a proxy with an `https:` URL is therefore refused beside it.
   * @default none
   */
  cert?: string | Uint8Array | undefined
  /**
   * The private key of `cert` as PEM, without a passphrase: RSA of 2048 to 4096 bits, P-256, P-384 or Ed25519. The constructor
   * throws if the two do not match.
   * @default none
   */
  key?: string | Uint8Array | undefined
}

/**
 * A token is cached for at most `ttlMs`. If the platform names an expiry, or the token is a JSON Web Token with one, it is
 * discarded 60 s earlier (20 % of the remaining time if that is less than 5 minutes), so that the caller has time to use it.
 * A token that is used late in its life is fetched again in the background.
 */
export interface CacheOptions {
  /** Longest life of an entry in milliseconds. 1 to 2147483647. @default 60000 */
  ttlMs?: number | undefined
  /** Maximum of entries; the least recently used ones are evicted first. 1 to 10000000. @default 10000 */
  maxEntries?: number | undefined
  /**
   * A second level that the processes of a fleet share: a Redis (7.0 or newer), by its URL. `redis://` or `rediss://` (TLS) for
   * one Redis, `redis-sentinel://host?master=name` or `redis-cluster://host`, both also with `rediss-`, and with more nodes as
   * `&node=host:port`. Entries are encrypted. No call fails because of Redis. See docs/fleet.md.
   * @default process.env.XKIT_REDIS_URL, else none
   */
  redis?: string | RedisOptions | undefined
  /**
   * At least 32 random bytes, the same in every process, from which the keys for the entries in Redis are derived. A string is
   * encoded as UTF-8.
   * @default the secret key
   */
  encryptionKey?: string | Uint8Array | undefined
}

export interface RedisOptions {
  /** A URL as for `redis`, with percent-encoded user name and password. The path is the number of the database. */
  url: string
  /** User name of the Sentinels, if it differs from that of the Redis; needs `sentinelPassword`. @default none, then that of `url` */
  sentinelUsername?: string | undefined
  /** Password of the Sentinels, if it differs from that of the Redis. @default none, then that of `url` */
  sentinelPassword?: string | undefined
  /** The beginning of the names of all keys and of the channel. 1 to 256 bytes. @default 'xkit:' */
  keyPrefix?: string | undefined
  /**
   * Limit of one command in milliseconds, connecting included. Then the call continues without Redis, which gets no command for
   * 5 seconds. 1 to 60000. @default 50
   */
  commandTimeoutMs?: number | undefined
}

/** Each template starts with `/` and holds `{id}` and `{slug}` once each, as whole path segments. */
export interface ConnectionPaths {
  /** The path that the platform documents. @default process.env.XKIT_USER_PATH, else '/connections/{id}/{slug}' */
  user?: string | undefined
  /**
   * The platform does not document this path: check it once with `npx --no xkit doctor --group ID`.
   * @default process.env.XKIT_GROUP_PATH, else '/groups/{id}/connections/{slug}'
   */
  group?: string | undefined
  /**
   * The path in the platform's newer pages.
   * @default process.env.XKIT_CONTEXT_PATH, else '/contexts/{id}/connections/{slug}'
   */
  context?: string | undefined
}

export interface CallOptions {
  /** Cancels the call, which rejects with `signal.reason` itself. Other calls that share its request go on. */
  signal?: AbortSignal | undefined
  /** Limit of this call in milliseconds. 1 to 2147483647. @default the `timeoutMs` of the client */
  timeoutMs?: number | undefined
  /** Skips the cache, and shares no request that began earlier. @default false */
  fresh?: boolean | undefined
}

/** Options of `close`. */
export interface CloseOptions {
  /**
   * How long calls under way may go on, in milliseconds, 0 to 2147483647. The remaining ones then reject with `ERR_XKIT_CLOSED` and
   * 0 `attempts`; 0 ends all at once. @default none: every call ends by itself
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
   * Whether an outcome is a rejection of the token. Replaces the test of {@link XkitClient.withAccessToken}; return `true` for a
   * 403 to try again after any 403. Gets the value that `use` resolved with or threw; may be asynchronous. It is called once per
   * call, and an error that it throws is the outcome of the call.
   * @default goes by the shape of the outcome, see {@link XkitClient.withAccessToken}
   */
  // biome-ignore lint/suspicious/noExplicitAny: the values that services return and throw have no common type.
  isRejected?: ((outcome: any) => boolean | PromiseLike<boolean>) | undefined
}

/**
 * A webhook. The platform documents three events: a connection is enabled (`connection.enabled`), is disabled, or enters an
 * error state. It does not document the names of the last two, so that any name is accepted.
 */
export interface WebhookEvent {
  /** The platform's `event_type`. */
  type: 'connection.enabled' | 'connection.disabled' | (string & {})
  /** The owner's id; a number becomes its digits. The payload does not say whether the owner is a user or a group. */
  ownerId: string
  slug: string
  /** Absent if the event has no valid one. */
  connectionId?: string
}

/** Details of a connection, each present if the platform returned it. */
export interface ConnectionDetails {
  /** The connector's slug, as the platform returned it. */
  slug?: string
  connectionId?: string
  /** The connector's display name, such as `Slack`. */
  connectorName?: string
  authorizationId?: string
  /** The platform's word: `awaiting_callback`, `retrieving_tokens`, `active`, `error`, or one not yet known. */
  authorizationStatus?: string
  /** The account's display name. */
  displayLabel?: string
}

/** An enabled connection with a usable token. */
export interface ActiveConnection extends ConnectionDetails {
  status: 'active'
  /**
   * The token for the third-party service: never empty, without control characters. It is readable but not enumerable: a copy or
   * a log of the connection (spread, `Object.assign`, `JSON.stringify`, `structuredClone`, `console.log`, `console.table`, a
   * logger) does not hold it. The type of a copy still has it, so pass it on by name:
   * `{ ...connection, accessToken: connection.accessToken }`.
   */
  accessToken: string
  /** When the token expires, if the platform returned it (its docs do not promise it). */
  expiresAt?: Date
  connectUrl?: undefined
  errorCode?: undefined
  errorMessage?: undefined
}

/** An ordinary state without a token: send the person to `connectUrl`. */
export interface UnavailableConnection extends ConnectionDetails {
  /**
   * - `not_provisioned`: the platform does not know this owner
   * - `not_enabled`: the owner has not enabled this connection
   * - `pending`: the authorization is under way; call again later
   * - `needs_reauthorization`: the authorization failed; the owner has to connect again
   */
  status: 'not_provisioned' | 'not_enabled' | 'pending' | 'needs_reauthorization'
  accessToken?: undefined
  expiresAt?: undefined
  /** Where the owner sets up or repairs the connection. Present when the client has a `catalogUrl`. */
  connectUrl?: string
  /** The platform's code for the error. */
  errorCode?: string
  /** The platform's message for the error. */
  errorMessage?: string
}

/** Discriminated by `status`. */
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
  /** Calls that the cache could not answer; 0 without a cache. */
  cacheMisses: number
  /** Calls and background refreshes that ended in an error. Neither an unavailable connection nor an abort is a failure. */
  failures: number
  /** Tokens that services rejected. A token that several callers report counts once. */
  rejections: number
  /** Calls that got a new token in place of a rejected one. */
  repairs: number
  /** Requests under way now. */
  inFlight: number
  /** Requests that wait now because of `maxConcurrency`, or for another process of the fleet. */
  queued: number
  /** The second level of the cache; absent without one. */
  fleet?: FleetStats
}

export interface FleetStats {
  /** Fetches that Redis answered, without a request to the platform. */
  hits: number
  /** Fetches that Redis could not answer. */
  misses: number
  /** Commands that failed or timed out. */
  errors: number
  /** Whether Redis gets no commands now, after too many errors, or after one that would repeat. */
  isBypassed: boolean
  /**
   * The last error of a command or of the subscription: the code of Redis's reply, such as `WRONGPASS` or `NOPERM`, or the
   * system's message. It holds no address and no secret. Absent once a probe after a pause, the last ten commands, or a new
   * subscription have succeeded.
   */
  lastError?: string
  /** The time of `lastError`. */
  lastErrorAt?: Date
}

/**
 * The message of the tracing channel `xkit-node:call` of `node:diagnostics_channel`, for calls of `getAccessToken`,
 * `getGroupAccessToken` and `getConnection`, and those that `withAccessToken`, `fetch` and `waitForConnection` make. All events
 * of a call publish the same object. It never holds an owner's id, a key, a token or the result. Its type is applied by
 * `tracingChannel<unknown, CallTrace>('xkit-node:call')`.
 */
export interface CallTrace {
  operation: 'getAccessToken' | 'getGroupAccessToken' | 'getConnection'
  /** Absent when the argument is wrong. */
  ownerKind?: 'user' | 'group' | 'context'
  /** The slug that was passed. Absent when the argument is wrong. */
  slug?: string
  /**
   * The state of the connection, the code of the failure, or `'aborted'`. This field and all below are set in the events `error`,
   * `asyncStart` and `asyncEnd` only.
   */
  outcome?:
    | Connection['status']
    | XkitErrorCode
    | 'ERR_INVALID_ARG_TYPE'
    | 'ERR_INVALID_ARG_VALUE'
    | 'aborted'
  /** Requests that this call sent, or the call whose request it shared. Absent when aborted. */
  attempts?: number
  /** Whether the cache answered. */
  cached?: boolean
  /** Whether it shared the request of an identical call under way. Absent when aborted. */
  coalesced?: boolean
  /** Whether Redis got no commands when the call ended. Absent without a Redis, and when aborted. */
  isFleetBypassed?: boolean
  /**
   * Why Redis gets no commands, or why it did not answer this call, in the form of `lastError` of {@link FleetStats}. Absent
   * otherwise.
   */
  fleetError?: string
  /**
   * Identifies the token that a service rejected, where this call asks for another one: the first 12 hex digits of its
   * HMAC-SHA-256 under the secret key. The same token has the same fingerprint in every process.
   */
  rejectedFingerprint?: string
  /** Identifies the token that came in its place, likewise. The same fingerprint means that the platform had no other. */
  tokenFingerprint?: string
  /** Duration of the call in milliseconds. */
  durationMs?: number
  /** The error of a failed call. Absent for an unavailable connection and for an abort. */
  error?: XkitError | TypeError
}

/**
 * One owner's connection to one service, made by {@link XkitClient.for}. It holds no token and sends no request by itself. Its
 * methods are those of the client, but need no `this`, so that an SDK can call them, and ignore arguments of an SDK that are no
 * options of theirs.
 */
export interface ConnectionHandle<Slug extends string = string> {
  readonly owner: ConnectionOwner
  readonly slug: Slug
  /** {@link XkitClient.getAccessToken} */
  getAccessToken(options?: CallOptions): Promise<string>
  /** For SDKs that pass other arguments: these are ignored. */
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
  /** {@link XkitClient.invalidate}. Any argument that is no string counts as no token. */
  invalidate(rejectedToken?: string): void
}

/**
 * A client serves every user and group of a backend. It holds the keys and the connection pool, so create one and keep it. An
 * idle client never keeps the process alive.
 *
 * @typeParam Slug the connectors you use, such as `'slack' | 'github'`, so that a mistyped slug does not compile.
 */
export class XkitClient<Slug extends string = string> {
  /**
   * Opens no connection and starts no thread. Reads the environment. If a key is missing, each call reads the environment again,
   * and rejects with `ERR_XKIT_MISSING_CREDENTIALS` until the key is set: a module that holds a client can be evaluated without
   * secrets, as in the build of an application.
   * @throws {XkitError} `ERR_XKIT_MISSING_CREDENTIALS` for a key that is given and empty
   * @throws {TypeError} `ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE` for a wrong or unknown option
   */
  constructor(options?: XkitClientOptions)

  /**
   * Resolves with a valid access token for the owner's connection. Rejects with a {@link ConnectionUnavailableError} if the
   * connection has none, with another {@link XkitError} if the platform gave no usable answer, with `signal.reason` when aborted,
   * and with a `TypeError` for wrong arguments. Never throws synchronously.
   */
  getAccessToken(owner: ConnectionOwner, slug: Slug, options?: CallOptions): Promise<string>

  /** `getAccessToken({ group: groupId }, slug, options)`. Two calls may return tokens of two members. */
  getGroupAccessToken(groupId: string, slug: Slug, options?: CallOptions): Promise<string>

  /**
   * Resolves with the owner's connection: a union in which the ordinary states without a token are values, not errors. Otherwise
   * rejects like `getAccessToken`.
   */
  getConnection(owner: ConnectionOwner, slug: Slug, options?: CallOptions): Promise<Connection>

  /**
   * Calls `use` with an access token, and settles as `use` does. If the outcome of `use` is a rejection of the token by the
   * service, the token is discarded, one new token is fetched, shared by all callers that hold the rejected one, and `use` is
   * called a second time, whose outcome is final. If the platform has no other token, or the client was closed meanwhile, the
   * first outcome is final.
   *
   * A rejection is recognised by its shape, for HTTP clients and the SDKs of services: a 401 as a status of the thrown value, of
   * its `response` or its `cause`, or of a returned answer; `UNAUTHENTICATED` of gRPC; a word such as `token_expired` or
   * `invalid_auth` as the code of an error, in `{ ok: false, error }`, in GraphQL `errors` without data, or in an error body with
   * 400 or 403; the words of a message only if there is no status. An outcome that names a scope or a permission, a 403 by itself,
   * 404, 429, 5xx, `invalid_grant` and the errors of this package are no rejections. `isRejected` replaces this test.
   *
   * Rejects like `getAccessToken`; if no new token can be fetched, the rejection is the `cause` of the error.
   */
  withAccessToken<Result>(
    owner: ConnectionOwner,
    slug: Slug,
    use: (accessToken: string) => Result,
    options?: WithAccessTokenOptions,
  ): Promise<Awaited<Result>>

  /**
   * Global `fetch` with the bearer token, on top of {@link withAccessToken}. `init.signal` cancels the fetch of a token too. The
   * URL must be `https:`, or `http:` for loopback (see `allowHttp` and `hosts`); any other rejects with a `TypeError` before a
   * token is fetched, and so do the options of other methods in `init`, such as `timeoutMs`. Never take a URL from a user.
   *
   * A body that can be read only once (a stream, or a `Request` with a body) is not sent a second time: the rejection is returned.
   * Small JSON answers with 200, 400 or 403 are read for the same words, in a clone of their first chunk, at most 64 KiB. All
   * others are returned unread, and so is an answer whose body takes more than a second. An answer from another origin, after a
   * redirect, is no rejection.
   */
  fetch(
    owner: ConnectionOwner,
    slug: Slug,
    input: string | URL | Request,
    init?: RequestInit,
  ): Promise<Response>

  /**
   * A handle bound to the owner's connection to a service, for a job or an SDK that may use this connection and no other, such as
   * `ky.create({ fetch: xkit.for('some-user-id', 'github').fetch })`.
   * @throws {TypeError} for wrong arguments
   */
  for<Bound extends Slug>(owner: ConnectionOwner, slug: Bound): ConnectionHandle<Bound>

  /**
   * Waits until a connection is `active`, while the owner connects. Resolves with it, or with the last state at `timeoutMs`. No
   * other state ends the wait, since the owner may be about to repair an old `needs_reauthorization`.
   *
   * Polls the platform without the cache, at once and then 1 s to 5 s apart; all waits for one connection share the polls. Polls at
   * once when `handleWebhook` of any client in this process reads a webhook about the connection. Goes on after `retryable`
   * failures, and rejects with any other. If no state is known at the limit, rejects with the last failure.
   */
  waitForConnection(owner: ConnectionOwner, slug: Slug, options?: WaitOptions): Promise<Connection>

  /**
   * Reads a webhook of the platform, as text or bytes (at most 64 KiB) or as parsed JSON, and discards the cached tokens of the
   * connection that it names. The platform signs no webhooks, so that a webhook is only a hint, and grants nothing. Protect the
   * route.
   * @throws {TypeError} `ERR_INVALID_ARG_VALUE` for anything but an event (respond with 400), `ERR_INVALID_ARG_TYPE` for a wrong
   *   type
   */
  handleWebhook(body: string | Uint8Array | object): WebhookEvent

  /**
   * Discards the cached token, and keeps fetches under way from caching theirs: the next call asks the platform. With
   * `rejectedToken`, does nothing if another token is cached by now.
   * @throws {TypeError} for wrong arguments
   */
  invalidate(owner: ConnectionOwner, slug: Slug, rejectedToken?: string): void

  /**
   * The catalog's page of a connector: `<catalogUrl>/connectors/<slug>`, or the template with the slug; `undefined` without a
   * `catalogUrl`.
   * @throws {TypeError} for an invalid slug
   */
  connectorUrl(slug: Slug): string | undefined

  /** Counters since construction, for metrics. */
  stats(): ClientStats

  /**
   * Closes the client: later calls reject with `ERR_XKIT_CLOSED`. Resolves when all calls under way have ended, by themselves or at
   * `timeoutMs`. May be called more than once.
   */
  close(options?: CloseOptions): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * `XkitClient.getAccessToken` on a default client, built from the environment (`XKIT_PUBLISHABLE_KEY`,
 * `XKIT_SECRET_KEY`, `XKIT_BASE_URL`, `XKIT_CATALOG_URL`, `XKIT_USER_PATH`, `XKIT_GROUP_PATH`, `XKIT_CONTEXT_PATH`,
 * `XKIT_HTTP2`, a proxy) at the first call. An error of the constructor is a rejection here, and the next call tries again.
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
 * Closes the default client, as `XkitClient.close` does; does nothing if there is none. The next call of a function creates
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
  /** 401: the platform rejects the keys. */
  | 'ERR_XKIT_INVALID_API_KEY'
  /** 403: the keys lack the permission. */
  | 'ERR_XKIT_FORBIDDEN'
  /** 429, after the retries. */
  | 'ERR_XKIT_RATE_LIMITED'
  /** 5xx, after the retries of a transient status. */
  | 'ERR_XKIT_SERVER'
  /** Any other status. */
  | 'ERR_XKIT_HTTP'
  /** A 3xx: redirects are never followed. */
  | 'ERR_XKIT_REDIRECT'
  /** A success that is no answer of the platform, or an active connection without a usable token. */
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

/** Every code. Codes are stable: their meaning does not change within a major version. */
export type XkitErrorCode =
  | ConnectionUnavailableErrorCode
  | XkitApiErrorCode
  | XkitNetworkErrorCode
  | XkitClientErrorCode

/**
 * The argument of the error classes. The package creates its errors itself; the constructors are for tests of code that handles
 * errors. They throw a `TypeError` (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`) for wrong fields.
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

/** The argument of {@link XkitApiError}. */
export interface XkitApiErrorInit extends XkitErrorInit<XkitApiErrorCode> {
  /** @default none */
  status?: number | undefined
  /** @default none */
  requestId?: string | undefined
  /** @default none */
  retryAfterMs?: number | undefined
}

/**
 * Base class of all errors of this package. Messages say what happened and what to do. They never hold a key, a token, an owner's
 * id or a body.
 */
export class XkitError extends Error {
  /** @throws {TypeError} for wrong fields */
  constructor(failure: XkitErrorInit)
  readonly code: XkitErrorCode
  /** Whether the same call may succeed later. */
  readonly retryable: boolean
  /** Requests that this call sent, or tried to send. */
  readonly attempts: number
}

/**
 * The platform answered that the connection has no token. Retryable only while an authorization is under way
 * (`ERR_XKIT_PENDING`); otherwise the owner has to act, at `connectUrl`.
 */
export class ConnectionUnavailableError extends XkitError {
  /**
   * `connectUrl` is that of the connection.
   * @throws {TypeError} for wrong fields
   */
  constructor(failure: XkitErrorInit<ConnectionUnavailableErrorCode>, connection: UnavailableConnection)
  readonly name: 'ConnectionUnavailableError'
  readonly code: ConnectionUnavailableErrorCode
  /** The state as `getConnection` returns it. Not enumerable. */
  readonly connection: UnavailableConnection
  /** Where to send the owner. Present when the client has a `catalogUrl`. */
  readonly connectUrl?: string
}

/** The platform, or a server in its place, answered with something else than a connection. */
export class XkitApiError extends XkitError {
  /** @throws {TypeError} for wrong fields */
  constructor(failure: XkitApiErrorInit)
  readonly name: 'XkitApiError'
  readonly code: XkitApiErrorCode
  /** HTTP status of the last answer. Absent if the answer was no valid HTTP. */
  readonly status?: number
  /** The answer's `X-Request-Id`, to quote to the platform's support. */
  readonly requestId?: string
  /** The wait that the platform asks for, in milliseconds. */
  readonly retryAfterMs?: number
}

/** No answer was received. */
export class XkitNetworkError extends XkitError {
  /** @throws {TypeError} for wrong fields */
  constructor(failure: XkitErrorInit<XkitNetworkErrorCode>)
  readonly name: 'XkitNetworkError'
  readonly code: XkitNetworkErrorCode
}

/** An {@link XkitError} that is none of its subclasses. */
export interface XkitClientError extends XkitError {
  readonly code: XkitClientErrorCode
}

/**
 * Any error of this package. Its `code` narrows the type, and so gives the fields: with
 * `error.code === 'ERR_XKIT_RATE_LIMITED'` it is an {@link XkitApiError}, which has `retryAfterMs`.
 */
export type AnyXkitError = ConnectionUnavailableError | XkitApiError | XkitNetworkError | XkitClientError

/**
 * Whether a value is an error of this package, also across realms and duplicate installations. This includes an error with which
 * a worker thread ended: it has lost its class, so that `instanceof` is false, and is recognised by its fields, one of the codes
 * with a boolean `retryable` and a number `attempts`. `postMessage` removes these fields too: post the fields that you need.
 */
export function isXkitError(value: unknown): value is AnyXkitError

/**
 * The error of this package that a value is or holds: SDKs that call `fetch`, `getAccessToken` or a handle wrap its error into one
 * of their own (`cause`, `detail`, `original`, `errors[]` and the like). Returns the outermost one, across realms and duplicate
 * installations; `undefined` if there is none, or if the SDK has kept the message alone. Never throws.
 */
export function xkitErrorOf(error: unknown): AnyXkitError | undefined
