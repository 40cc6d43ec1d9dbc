// Owns the way into native code: starts a call, settles or cancels it, keeps leases on cached tokens, and looks for keys that
// were missing. The one user of the binding.
'use strict'

// Not the globals, which tests replace by fakes.
const { clearTimeout, setTimeout } = require('node:timers')
const { follow, reasonOf } = require('./abort.js')
const { Leases } = require('./leases.js')
const { requireText } = require('./checks.js')
const { toConnection } = require('./connection.js')
const { Credentials, waitForKeys } = require('./credentials.js')
const { toError } = require('./errors.js')
const binding = require('./native.js')
const { hasKeys, readCallOptions, readClientOptions } = require('./options.js')

const { User, Group, Context } = binding.BindingOwnerKind
const KINDS = { __proto__: null, user: User, group: Group, context: Context }

const NO_OPTIONS = Object.freeze(Object.create(null))

/** By the call's id: what resolves its outcome, and the native client that it was made on. */
const waiting = new Map()

/** The outcome of a call that `close` ended or that came after it. Native code does not count its requests any more. */
const CLOSED = {
  __proto__: null,
  error: {
    className: 'XkitError',
    code: 'ERR_XKIT_CLOSED',
    message: 'This client was closed: make the call on a client that is open',
    retryable: false,
    attempts: 0,
  },
  attempts: 0,
  coalesced: false,
}

/** Called from native code, with four values for each result. It must not throw. */
function settled(...results) {
  for (let at = 0; at < results.length; at += 4) {
    const [call, value, attempts, coalesced] = results.slice(at, at + 4)
    const outcome = typeof value === 'string' ? { accessToken: value } : value
    settle(call, { __proto__: null, ...outcome, attempts, coalesced })
  }
}

function settle(call, outcome) {
  const { resolve } = waiting.get(call)
  waiting.delete(call)
  resolve(outcome)
}

const outcomeOf = (call, native) => new Promise(resolve => waiting.set(call, { resolve, native }))

/** The limit of a call, as native code has it. */
const DEFAULT_TIMEOUT_MS = 20_000

class NativeClient {
  #native
  #leases
  /** What the client was made with. */
  #options
  #isKeyless
  /** Where keys come from that may change; undefined for a client with keys of its own. */
  #credentials
  /** The end of clients with keys that were replaced. */
  #replaced
  /** The one in use, and those whose last calls are under way. */
  #natives = new Set()
  #leaseHits = 0
  #isClosed = false
  /** Calls with keys that a function gives. */
  #keyedCalls = new Set()
  /** What ends each wait for those keys; undefined once `close` has ended them all. */
  #keyWaits = new Set()

  /** `nativeOptions` are the options as they were read. */
  constructor(options, nativeOptions) {
    this.#options = { __proto__: null, ...options }
    this.#use(nativeOptions)
    const { credentials } = nativeOptions
    if (credentials !== undefined)
      this.#credentials = new Credentials(credentials, keys => this.#useKeys(keys))
  }

  /** Makes a native client of these options, in the place of the one that there is. */
  #use(nativeOptions) {
    const replaced = this.#native
    const native =
      replaced === undefined
        ? binding.createClient(nativeOptions, settled)
        : binding.createSuccessor(replaced, nativeOptions)
    if (isFailure(native)) throw toError(native)
    if (replaced !== undefined) this.#replaced = Promise.all([this.#replaced, this.#end(replaced)])
    this.#natives.add(native)
    this.#native = native
    this.#isKeyless = !hasKeys(nativeOptions)
    const discards = nativeOptions.cache && binding.discards(native)
    this.#leases = discards && new Leases(discards)
  }

  /**
   * The token, or a rejection that says why there is none. Not async, since a promise that exists is the cheapest answer to a
   * cached token. Notes in `facts`, if there are any, how the call went.
   */
  getAccessToken(owner, slug, options, facts, rejectedToken) {
    if (options !== undefined || rejectedToken !== undefined) {
      return this.#getAccessToken(owner, slug, options, facts, rejectedToken)
    }
    const leased = this.#leases?.get(owner.kind, owner.id, slug)
    if (leased === undefined) return this.#getAccessToken(owner, slug, options, facts)
    this.#leaseHits++
    facts?.noteLease(binding.stats(this.#native))
    return leased
  }

  async #getAccessToken(owner, slug, options, facts, rejectedToken) {
    const callOptions = { __proto__: null, rejectedToken }
    // Those of the client that answers.
    const leases = this.#leases
    const outcome = await this.#call(owner, slug, options, callOptions, facts)
    const { accessToken, validForMs } = outcome
    if (accessToken === undefined) throw failureOf(outcome)
    if (validForMs !== undefined && options === undefined) {
      leases?.put(owner.kind, owner.id, slug, accessToken, validForMs)
    }
    return accessToken
  }

  async getConnection(owner, slug, options, facts) {
    const outcome = await this.#call(owner, slug, options, { __proto__: null, wantsConnection: true }, facts)
    if (outcome.connection === undefined) throw failureOf(outcome)
    return toConnection(outcome.connection)
  }

  /** Without a kind, of whatever owner has this id. */
  invalidate({ kind, id }, slug, rejectedToken) {
    requireText('owner', id)
    requireText('slug', slug)
    const failure = binding.invalidate(this.#native, KINDS[kind], id, slug, rejectedToken)
    if (isFailure(failure)) throw toError(failure)
  }

  connectorUrl(slug) {
    const url = binding.connectorUrl(this.#native, slug)
    if (isFailure(url)) throw toError(url)
    return url
  }

  stats() {
    const stats = binding.stats(this.#native)
    stats.calls += this.#leaseHits
    stats.cacheHits += this.#leaseHits
    const { fleet } = stats
    if (fleet?.lastErrorAt !== undefined) fleet.lastErrorAt = new Date(fleet.lastErrorAt)
    return stats
  }

  /** Resolves when the calls under way have ended; ends those that are left after `timeoutMs`. */
  async close(timeoutMs) {
    this.#isKeyless = false
    this.#isClosed = true
    this.#leases?.clear()
    this.#leases = undefined
    const ended = this.#ended()
    if (timeoutMs === 0) this.#endCalls()
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => this.#endCalls(), timeoutMs)
    await ended
    clearTimeout(timer)
  }

  async #ended() {
    // They may need a native client that does not exist yet. Others are refused at once.
    if (this.#keyedCalls.size > 0) await Promise.allSettled(this.#keyedCalls)
    this.#credentials = undefined
    await Promise.all([this.#replaced, closed(this.#native)])
  }

  async #end(replaced) {
    await closed(replaced)
    this.#natives.delete(replaced)
  }

  #endCalls() {
    const waits = this.#keyWaits ?? []
    this.#keyWaits = undefined
    for (const end of waits) end()
    for (const [call, { native }] of [...waiting]) {
      if (this.#natives.has(native) && binding.cancel(native, call)) settle(call, CLOSED)
    }
  }

  /** How a call ended. It begins at once; once its signal aborts, it rejects with the signal's reason. */
  async #call(owner, slug, options, callOptions, facts) {
    if (this.#isKeyless && this.#credentials === undefined) this.#lookForKeys()
    const { kind, id } = owner
    requireText('owner', id)
    requireText('slug', slug)
    const { signal, timeoutMs, fresh } = options === undefined ? NO_OPTIONS : readCallOptions(options)
    const nativeOptions = { ...callOptions, __proto__: null, timeoutMs, fresh }
    const outcome =
      this.#credentials === undefined
        ? await this.#outcome(KINDS[kind], id, slug, nativeOptions, signal)
        : await this.#outcomeWithKeys(KINDS[kind], id, slug, nativeOptions, signal)
    if (outcome === undefined) {
      facts?.noteAbort()
      throw reasonOf(signal)
    }
    facts?.note(outcome)
    return outcome
  }

  /** The outcome of a call; nothing once its signal has aborted. */
  async #outcome(kind, id, slug, options, signal) {
    if (signal?.aborted) return undefined
    const native = this.#native
    const call = binding.call(native, kind, id, slug, options)
    if (typeof call !== 'number') return { __proto__: null, ...call }
    const outcome = outcomeOf(call, native)
    if (signal === undefined) return outcome
    const unfollow = follow(signal, () => {
      if (binding.cancel(native, call)) settle(call)
    })
    try {
      return await outcome
    } finally {
      unfollow()
    }
  }

  /** Keys that were not there when the client was made may be by now: a module can be evaluated before they are. */
  #lookForKeys() {
    const nativeOptions = readClientOptions(this.#options)
    if (hasKeys(nativeOptions)) this.#use(nativeOptions)
  }

  #useKeys(keys) {
    // All calls have ended, and the client is closed.
    if (this.#credentials === undefined) return
    this.#use(readClientOptions({ ...this.#options, credentials: undefined, ...keys }))
  }

  /** As `#outcome`, with keys that a function gives; `close` waits for the call, and ends it at its limit. */
  async #outcomeWithKeys(kind, id, slug, options, signal) {
    if (this.#isClosed) return CLOSED
    const call = this.#askWithKeys(kind, id, slug, options, signal)
    this.#keyedCalls.add(call)
    try {
      return (await call) ?? (signal?.aborted ? undefined : CLOSED)
    } finally {
      this.#keyedCalls.delete(call)
    }
  }

  /** Makes the call once more with other keys, if the platform refuses the first ones. Nothing where it was ended. */
  async #askWithKeys(kind, id, slug, options, signal) {
    const credentials = this.#credentials
    const until = performance.now() + (options.timeoutMs ?? this.#options.timeoutMs ?? DEFAULT_TIMEOUT_MS)
    const left = () => Math.max(1, Math.ceil(until - performance.now()))
    const isEnded = () => signal?.aborted || this.#keyWaits === undefined
    const keysAfter = async refused => {
      if (isEnded()) return undefined
      const keys = credentials.keysAfter(refused)
      return isPromise(keys) ? waitForKeys(keys, left(), end => this.#onEnd(signal, end)) : keys
    }
    const ask = () => this.#outcome(kind, id, slug, { ...options, timeoutMs: left() }, signal)

    const keys = await keysAfter(undefined).catch(async error => {
      // The native client has no keys yet. It counts the call, as a failure.
      if (!isEnded()) await ask()
      throw error
    })
    if (isEnded()) return undefined
    const first = await ask()
    if (first?.error?.code !== 'ERR_XKIT_INVALID_API_KEY') return first
    try {
      const others = await keysAfter(keys)
      if (others === keys) return first
      return isEnded() ? undefined : addAttempts(await ask(), first.attempts)
    } catch (cause) {
      first.error.cause = cause
      return first
    }
  }

  /** Calls back when the signal aborts or `close` ends the calls. */
  #onEnd(signal, end) {
    const waits = this.#keyWaits
    waits.add(end)
    const unfollow = signal && follow(signal, end)
    return () => {
      waits.delete(end)
      unfollow?.()
    }
  }
}

const isPromise = value => typeof value.then === 'function'

/** When the calls of a native client have ended, which takes no more of them. */
async function closed(native) {
  const call = binding.close(native)
  if (call !== null) await outcomeOf(call)
}

function addAttempts(outcome, attempts) {
  if (outcome === undefined) return undefined
  const error = outcome.error && { ...outcome.error, attempts: outcome.error.attempts + attempts }
  return { __proto__: null, ...outcome, error, attempts: (outcome.attempts ?? 0) + attempts }
}

const isFailure = result => typeof result === 'object' && result !== null && Object.hasOwn(result, 'code')

/** Why an outcome holds no token. */
function failureOf({ connection, error }) {
  return toError(error, connection && toConnection(connection))
}

module.exports = { NativeClient }
