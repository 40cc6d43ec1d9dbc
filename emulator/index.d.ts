// Owns the typings of `xkit-node/emulator`; written by hand, and the reference for what it does.

/// <reference lib="esnext.disposable" />

/** Whose connection it is. A plain string is a user's id. Ids of different kinds never meet. */
export type Owner =
  | string
  | { user: string; group?: undefined; context?: undefined }
  | { user?: undefined; group: string; context?: undefined }
  | { user?: undefined; group?: undefined; context: string }

/** What one owner has set up for one connector. Every field is optional; `{}` is a healthy connection. */
export interface ConnectionState {
  /** Whether the owner has the connection enabled. With `false` the answer holds no authorization. @default true */
  enabled?: boolean | undefined
  /** Any status but `'active'` is answered with an empty token. @default 'active' */
  status?: 'active' | 'awaiting_callback' | 'retrieving_tokens' | 'error' | undefined
  /** The token to answer while enabled and active; may be `''`. @default a made-up, unique one */
  accessToken?: string | undefined
  /** Answered as `authorization.error_code`. @default null on the wire */
  errorCode?: string | undefined
  /** Answered as `authorization.error_message`. @default null on the wire */
  errorMessage?: string | undefined
  /**
   * Life of a token in seconds, above 0; fractions are allowed. Answers then carry `expires_in` (whole seconds that
   * are left, rounded down) and `expires_at` (ISO 8601). Once it is over, the next request gets a new made-up token
   * with a life of its own. The clock is the system's, as the client's is: a faked `Date`
   * moves neither.
   * @default no expiry, and neither field in the answer
   */
  expiresIn?: number | undefined
}

/** Connections by owner id, then by connector slug. An owner with `{}` is known, but has nothing set up. */
export type ConnectionSeeds = Record<string, Record<string, ConnectionState>>

/** Unknown fields are refused; inherited ones are ignored. */
export interface EmulatorOptions {
  /** Port, 0 to 65535; 0 takes a free one. @default 0 */
  port?: number | undefined
  /**
   * Address or name to listen on. `'0.0.0.0'` (or `'::'`) is for the emulator in another container: anyone who reaches the
   * port and has the keys then gets its tokens. `baseUrl` names the loopback then.
   * `startEmulator` rejects with Node's own error (`ENOTFOUND`, `EADDRNOTAVAIL`) where the host is none of this machine.
   * @default '127.0.0.1'
   */
  host?: string | undefined
  /**
   * Names under which it is reached, such as a container's, without a port. Requests for any other host than these, the
   * name of `host`, `localhost`, names below it and IP addresses are answered 421, so that a web page cannot reach the
   * emulator under a name that it lets lead here (DNS rebinding). The first request for a host that is refused emits a
   * process warning (`XKIT_EMULATOR_HOST`) with its name.
   * @default none
   */
  allowedHosts?: readonly string[] | undefined
  /** The user name that Basic authentication must carry; without a colon. @default a random one */
  publishableKey?: string | undefined
  /** The password that Basic authentication must carry. @default a random one */
  secretKey?: string | undefined
  /** Users that are known from the start. @default none */
  users?: ConnectionSeeds | undefined
  /** Groups that are known from the start. @default none */
  groups?: ConnectionSeeds | undefined
  /** Contexts that are known from the start. @default none */
  contexts?: ConnectionSeeds | undefined
  /**
   * One shape for every answer. `'flat'`: connection, connector and authorization side by side, token in
   * `access_token`. `'nested'`: both others inside of connection, token in `credential`.
   * @default flat for users and groups, nested for contexts
   */
  shape?: 'flat' | 'nested' | undefined
  /** Delay of each API answer in milliseconds, from 0 to 2147483647. @default 0 */
  latencyMs?: number | undefined
  /**
   * Where the catalog has the page of a connector, for an application that hosts the catalog itself: a path that holds
   * `{slug}` once, as a whole segment, as a whole value of the query, or in the fragment, such as
   * `/integrations/{slug}` or `/settings#/connectors/{slug}`. A fragment reaches no server: its path then shows the
   * catalog's first page.
   * @default '/connectors/{slug}', as the hosted catalog has it
   */
  catalogPath?: string | undefined
}

/** What the next API requests get in place of their answer: a status or a fault, not both. */
export interface FaultPlan {
  /** Only requests for this owner. @default those for any owner, and for paths that the API does not have */
  owner?: Owner | undefined
  /** Only requests for this connector. @default those for any connector, and for paths that the API does not have */
  slug?: string | undefined
  /** Status to answer, 200 to 599, with a JSON body `{ "error": … }`. @default 503 */
  status?: number | undefined
  /** A value for `Retry-After`: whole seconds, or any text, such as a date or garbage. Not with `fault`. @default none */
  retryAfter?: number | string | undefined
  /**
   * `'reset'`: the connection is reset (TCP RST) without an answer. `'stall'`: no answer ever comes, until the client
   * leaves or `close()`. `'truncate'`: the headers and half of the regular body, then the connection ends.
   * @default none, `status` applies
   */
  fault?: 'reset' | 'stall' | 'truncate' | undefined
  /** How many requests it lasts, at least 1. @default 1 */
  times?: number | undefined
}

/** One request that arrived at the API or at the service. */
export interface RecordedRequest {
  readonly method: string
  /** Path and query exactly as on the wire, with the `/api/platform` or the `/service` in front. */
  readonly path: string
  /**
   * The status that was sent. 0 where no status line was sent: the answer is still delayed, the request was reset or
   * stalled, or the client left before its answer. A truncated answer has its status.
   */
  readonly status: number
}

/** How a token is revoked. Unknown fields are refused. */
export interface RevocationOptions {
  /**
   * Whether the platform does not notice, and answers with the revoked token until `rotateToken`, `setConnection` or
   * its expiry brings another. @default false
   */
  keepHandingOut?: boolean | undefined
}

/** How a webhook is delivered. Unknown fields are refused. */
export interface DeliveryOptions {
  /** How often it is sent at most, 1 to 10, until an answer is a 2xx. @default 1 */
  attempts?: number | undefined
}

/** How the delivery of a webhook ended. */
export interface Delivery {
  /** Status of the last answer, whatever it is. */
  status: number
  /** How often it was sent. */
  attempts: number
}

/** A webhook to send. */
export interface WebhookEvent {
  /** Sent as `event_type`, for example `'connection.enabled'`; any text but an empty one. */
  type: string
  /** Its id is sent as `payload.context.external_id`; need not be known to the emulator. */
  owner: Owner
  /** Sent as `payload.connector.slug`. */
  slug: string
  /** Sent as `payload.connection.external_id`. @default no `connection` in the payload */
  connectionId?: string | undefined
}

/** A running emulator. It keeps the process alive until `close()`. */
export interface Emulator {
  /** For `XKIT_BASE_URL`, or a client's `baseUrl`: `http://127.0.0.1:<port>/api/platform`. */
  readonly baseUrl: string
  /**
   * For `XKIT_CATALOG_URL`, or a client's `catalogUrl`: `http://127.0.0.1:<port>`, a page for the browser. With a
   * `catalogPath`, the template `http://127.0.0.1:<port><catalogPath>`.
   */
  readonly catalogUrl: string
  /**
   * A pretended third-party API, `http://127.0.0.1:<port>/service`. Below `/<slug>/`, with any path, query, method and
   * body, it answers 200 with `{ slug, owner: { kind, id } }` to the bearer token of a connection to that connector
   * that is enabled, active, not expired and not revoked, and 401 with `{ error: 'invalid_token' }` to all else.
   * `/github/` also takes `Authorization: token …`, which GitHub's SDK sends. `/slack/` answers 200 to everything, as
   * Slack does: `{ ok: true, slug, owner }`, or `{ ok: false, error: 'invalid_auth' }` (`'not_authed'` without a token).
   * `failNext` and `latencyMs` do not affect it.
   */
  readonly serviceUrl: string
  readonly publishableKey: string
  readonly secretKey: string
  /**
   * API requests in the order of their arrival; those of the catalog page are left out. It is the live array: empty
   * it with `requests.length = 0`. Beyond 100,000 the oldest go.
   */
  readonly requests: RecordedRequest[]
  /** Requests to the service in the order of their arrival, kept as `requests` are, which they are not part of. */
  readonly serviceRequests: RecordedRequest[]
  /**
   * Delay of the answer to each API request that arrives from now on, in milliseconds, from 0 to 2147483647.
   * @throws TypeError `ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`
   */
  latencyMs: number
  /**
   * Sets a connection, and makes its owner known. Replaces the whole earlier state: a field that is left out gets its
   * default, so an active connection without `accessToken` gets a new token. The connection's id stays.
   * @throws TypeError `ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`
   */
  setConnection(owner: Owner, slug: string, state?: ConnectionState): void
  /**
   * Gives the connection a new made-up token, with a full life if it has `expiresIn`, and returns it. The service
   * refuses the old one from then on.
   * @throws TypeError `ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`
   * @throws Error `ERR_EMULATOR_NO_ACTIVE_TOKEN` if the owner has no enabled, active connection to that connector
   */
  rotateToken(owner: Owner, slug: string): string
  /**
   * Makes the service refuse the connection's token from now on. The next API request gets a new made-up one, with a
   * full life if it has `expiresIn`.
   * @throws TypeError `ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`
   * @throws Error `ERR_EMULATOR_NO_ACTIVE_TOKEN` if the owner has no enabled, active connection to that connector
   */
  revokeToken(owner: Owner, slug: string, options?: RevocationOptions): void
  /**
   * Plans a failure of the next API requests, counted as they arrive. Each request meets the oldest plan that is for it,
   * so that a plan for one owner or slug waits for its request while others are met.
   * @throws TypeError `ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`
   */
  failNext(plan?: FaultPlan): void
  /**
   * Back to the start: the seed's owners, connections and tokens (new made-up ones where it names none) and the
   * `latencyMs` of the options; planned failures are dropped, and `requests` and `serviceRequests` are emptied. Requests
   * and webhooks under way go on.
   */
  reset(): void
  /**
   * Posts one webhook to an absolute http or https URL, as the platform would, without a proxy; redirects are not
   * followed. It is sent again, after 20 ms and then twice as long each time (500 ms at most), until an answer is a
   * 2xx or it was sent `attempts` times.
   *
   * Rejects with a TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`), or with an Error
   * (`ERR_EMULATOR_WEBHOOK`, with `cause` where there is one) if the last attempt got no answer: the network failed,
   * 10 s went by, or the emulator was closed, which also ends the waits.
   */
  sendWebhook(
    url: string | { readonly href: string },
    event: WebhookEvent,
    options?: DeliveryOptions,
  ): Promise<Delivery>
  /** Ends every connection, idle, delayed or stalled, and each webhook under way. May be called again. */
  close(): Promise<void>
  /** The same as `close()`, for `await using`. Needs Node 20.4. */
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Starts a local stand-in for the Platform API on 127.0.0.1.
 *
 * Rejects with a TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`) for wrong options, and with Node's own
 * error (`EADDRINUSE`, `EACCES`) if the port cannot be had.
 */
export function startEmulator(options?: EmulatorOptions): Promise<Emulator>
