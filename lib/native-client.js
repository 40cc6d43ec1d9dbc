// Owns the way into native code: starts a call, settles or cancels it, keeps leases on cached tokens, and looks for keys that
// were missing. The one user of the binding.
'use strict'

// Not the globals, which tests replace by fakes.
const { clearTimeout, setTimeout } = require('node:timers')
const { follow, reasonOf } = require('./abort.js')
const { Leases } = require('./leases.js')
const { requireText } = require('./checks.js')
const { toConnection } = require('./connection.js')
const { toError } = require('./errors.js')
const binding = require('./native.js')
const { hasKeys, readCallOptions, readClientOptions } = require('./options.js')

const { User, Group, Context } = binding.BindingOwnerKind
const KINDS = { __proto__: null, user: User, group: Group, context: Context }

const NO_OPTIONS = Object.freeze(Object.create(null))

/** By the call's id: what resolves its outcome, and the native client that it was made on. */
const waiting = new Map()

/** The outcome of a call that `close` ended. Native code does not count its requests any more. */
const CLOSED = {
  __proto__: null,
  error: {
    className: 'XkitError',
    code: 'ERR_XKIT_CLOSED',
    message: 'This client was closed before the call had ended: make the call on a client that is open',
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

class NativeClient {
  #native
  #leases
  /** What the client was made with, as long as a key is missing. */
  #keyless
  #leaseHits = 0

  /** `nativeOptions` are the options as they were read. */
  constructor(options, nativeOptions) {
    this.#create(options, nativeOptions)
  }

  #create(options, nativeOptions) {
    const native = binding.createClient(nativeOptions, settled)
    if (isFailure(native)) throw toError(native)
    this.#native = native
    this.#keyless = hasKeys(nativeOptions) ? undefined : { ...options }
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
    facts?.noteLease(binding.stats(this.#native).fleet)
    return leased
  }

  async #getAccessToken(owner, slug, options, facts, rejectedToken) {
    const callOptions = { __proto__: null, rejectedToken }
    const outcome = await this.#call(owner, slug, options, callOptions, facts)
    const { accessToken, validForMs } = outcome
    if (accessToken === undefined) throw failureOf(outcome)
    if (validForMs !== undefined && options === undefined) {
      this.#leases?.put(owner.kind, owner.id, slug, accessToken, validForMs)
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
    this.#keyless = undefined
    this.#leases?.clear()
    this.#leases = undefined
    const call = binding.close(this.#native)
    if (call === null) return
    const ended = outcomeOf(call)
    if (timeoutMs === undefined) return await ended
    if (timeoutMs === 0) this.#endCalls()
    const timer = setTimeout(() => this.#endCalls(), timeoutMs)
    await ended
    clearTimeout(timer)
  }

  #endCalls() {
    for (const [call, { native }] of [...waiting]) {
      if (native === this.#native && binding.cancel(native, call)) settle(call, CLOSED)
    }
  }

  /** How a call ended. It begins at once; once its signal aborts, it rejects with the signal's reason. */
  async #call(owner, slug, options, callOptions, facts) {
    if (this.#keyless !== undefined) this.#lookForKeys()
    const { kind, id } = owner
    requireText('owner', id)
    requireText('slug', slug)
    const { signal, timeoutMs, fresh } = options === undefined ? NO_OPTIONS : readCallOptions(options)
    facts?.begin(binding.stats(this.#native).fleet)
    const nativeOptions = { ...callOptions, __proto__: null, timeoutMs, fresh }
    const outcome = await this.#outcome(KINDS[kind], id, slug, nativeOptions, signal)
    if (outcome === undefined) {
      facts?.noteAbort()
      throw reasonOf(signal)
    }
    facts?.note(outcome, binding.stats(this.#native).fleet)
    return outcome
  }

  /** The outcome of a call; nothing once its signal has aborted. */
  async #outcome(kind, id, slug, options, signal) {
    if (signal?.aborted) return undefined
    const call = binding.call(this.#native, kind, id, slug, options)
    if (typeof call !== 'number') return { __proto__: null, ...call }
    const outcome = outcomeOf(call, this.#native)
    if (signal === undefined) return outcome
    const unfollow = follow(signal, () => {
      if (binding.cancel(this.#native, call)) settle(call)
    })
    try {
      return await outcome
    } finally {
      unfollow()
    }
  }

  /** Keys that were not there when the client was made may be by now: a module can be evaluated before they are. */
  #lookForKeys() {
    const nativeOptions = readClientOptions(this.#keyless)
    if (hasKeys(nativeOptions)) this.#create(this.#keyless, nativeOptions)
  }
}

const isFailure = result => typeof result === 'object' && result !== null && Object.hasOwn(result, 'code')

/** Why an outcome holds no token. */
function failureOf({ connection, error }) {
  return toError(error, connection && toConnection(connection))
}

module.exports = { NativeClient }
