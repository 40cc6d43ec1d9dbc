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
  enabled?: boolean
  /** Any status but `'active'` is answered with an empty token. @default 'active' */
  status?: 'active' | 'awaiting_callback' | 'retrieving_tokens' | 'error'
  /** The token to answer while enabled and active; may be `''`. @default a made-up, unique one */
  accessToken?: string
  /** Answered as `authorization.error_code`. @default null on the wire */
  errorCode?: string
  /** Answered as `authorization.error_message`. @default null on the wire */
  errorMessage?: string
  /**
   * Life of a token in seconds, above 0; fractions are allowed. Answers then carry `expires_in` (whole seconds that
   * are left, rounded down) and `expires_at` (ISO 8601). Once it is over, the next request gets a new made-up token
   * with a life of its own. The clock is `Date.now()`, so a faked clock moves it.
   * @default no expiry, and neither field in the answer
   */
  expiresIn?: number
}

/** Connections by owner id, then by connector slug. An owner with `{}` is known, but has nothing set up. */
export type ConnectionSeeds = Record<string, Record<string, ConnectionState>>

/** Unknown fields are refused; inherited ones are ignored. */
export interface EmulatorOptions {
  /** Port on 127.0.0.1, 0 to 65535; 0 takes a free one. @default 0 */
  port?: number
  /** The user name that Basic authentication must carry; without a colon. @default 'pk_emulator' */
  publishableKey?: string
  /** The password that Basic authentication must carry. @default 'sk_emulator' */
  secretKey?: string
  /** Users that are known from the start. @default none */
  users?: ConnectionSeeds
  /** Groups that are known from the start. @default none */
  groups?: ConnectionSeeds
  /** Contexts that are known from the start. @default none */
  contexts?: ConnectionSeeds
  /**
   * One shape for every answer. `'flat'`: connection, connector and authorization side by side, token in
   * `access_token`. `'nested'`: both others inside of connection, token in `credential`.
   * @default flat for users and groups, nested for contexts
   */
  shape?: 'flat' | 'nested'
  /** Delay of each API answer in milliseconds, from 0 to 2147483647. @default 0 */
  latencyMs?: number
}

/** What the next API requests get in place of their answer: a status or a fault, not both. */
export interface FaultPlan {
  /** Status to answer, 200 to 599, with a JSON body `{ "error": … }`. @default 503 */
  status?: number
  /** A value for `Retry-After`: whole seconds, or any text, such as a date or garbage. Not with `fault`. @default none */
  retryAfter?: number | string
  /**
   * `'reset'`: the connection is reset (TCP RST) without an answer. `'stall'`: no answer ever comes, until the client
   * leaves or `close()`. `'truncate'`: the headers and half of the regular body, then the connection ends.
   * @default none, `status` applies
   */
  fault?: 'reset' | 'stall' | 'truncate'
  /** How many requests it lasts, at least 1. @default 1 */
  times?: number
}

/** One API request that arrived. */
export interface RecordedRequest {
  readonly method: string
  /** Path and query exactly as on the wire, with the `/api/platform` in front. */
  readonly path: string
  /**
   * The status that was sent. 0 where no status line was sent: the answer is still delayed, the request was reset or
   * stalled, or the client left before its answer. A truncated answer has its status.
   */
  readonly status: number
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
  connectionId?: string
}

/** A running emulator. It keeps the process alive until `close()`. */
export interface Emulator {
  /** For `XKIT_BASE_URL`, or a client's `baseUrl`: `http://127.0.0.1:<port>/api/platform`. */
  readonly baseUrl: string
  /** For `XKIT_CATALOG_URL`, or a client's `catalogUrl`: `http://127.0.0.1:<port>`, a page for the browser. */
  readonly catalogUrl: string
  readonly publishableKey: string
  readonly secretKey: string
  /**
   * API requests in the order of their arrival; those of the catalog page are left out. It is the live array: empty
   * it with `requests.length = 0`. Beyond 100,000 the oldest go.
   */
  readonly requests: RecordedRequest[]
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
   * Gives the connection a new made-up token, with a full life if it has `expiresIn`, and returns it.
   * @throws TypeError `ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`
   * @throws Error `ERR_EMULATOR_NO_ACTIVE_TOKEN` if the owner has no enabled, active connection to that connector
   */
  rotateToken(owner: Owner, slug: string): string
  /**
   * Plans a failure of the next API requests, counted as they arrive. Several calls queue up in order.
   * @throws TypeError `ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`
   */
  failNext(plan?: FaultPlan): void
  /**
   * Posts one webhook to an absolute http or https URL, as the platform would, and resolves to the status of the
   * answer, whatever it is; redirects are not followed. It is sent once, without a proxy.
   *
   * Rejects with a TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`), or with an Error
   * (`ERR_EMULATOR_WEBHOOK`, with `cause` where there is one) if no answer came: the network failed, 10 s went by, or
   * the emulator was closed.
   */
  sendWebhook(url: string | { readonly href: string }, event: WebhookEvent): Promise<{ status: number }>
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
