// Owns the way into native code: starts, settles and cancels calls, leases cached tokens, and finds keys that were missing. The
// only module that uses the binding.
'use strict'

const { requireText } = require('./checks.js')
const { Credentials } = require('./credentials.js')
const { toConnection, toError } = require('./errors.js')
const { Leases } = require('./leases.js')
const { after, follow, reasonOf } = require('./limits.js')
const { binding } = require('./native.js')
const { readCallOptions, readClientOptions } = require('./options.js')

const { User, Group, Context } = binding.BindingOwnerKind
const KINDS = { __proto__: null, user: User, group: Group, context: Context }

/** The default of native code. */
const DEFAULT_TIMEOUT_MS = 20_000

/** How a call ended. It has all fields of its own, so that none of a polluted `Object.prototype` counts. */
class Outcome {
  accessToken
  validForMs
  connection
  error
  fleet
  attempts = 0
  coalesced = false
}

/** By the id of a call: the functions that settle its outcome, and the native client that makes it. */
const pending = new Map()

const outcomeOf = (call, native) =>
  new Promise((resolve, reject) => pending.set(call, { resolve, reject, native }))

/** Native code calls this with four values for each result. It must not throw. */
function settled(...results) {
  for (let at = 0; at < results.length; at += 4) {
    const value = results[at + 1]
    const outcome = new Outcome()
    if (typeof value === 'string') outcome.accessToken = value
    else Object.assign(outcome, value)
    outcome.attempts = results[at + 2]
    outcome.coalesced = results[at + 3]
    take(results[at]).resolve(outcome)
  }
}

/** The functions that settle a call, which no other result settles then. */
function take(call) {
  const settle = pending.get(call)
  pending.delete(call)
  return settle
}

/** The outcome of a call that `close` ended or that came after it. Its requests are not counted. */
const closedOutcome = () =>
  Object.assign(new Outcome(), {
    error: {
      className: 'XkitError',
      code: 'ERR_XKIT_CLOSED',
      message: 'This client was closed: make the call on a client that is open',
      retryable: false,
      attempts: 0,
    },
  })

class NativeClient {
  #native
  #leases
  /** The options of the constructor, from which a client with other keys is made. */
  #options
  #secretKey
  #isKeyless
  /** Undefined for a client that has keys of its own. */
  #credentials
  /** Each native client that takes no more calls, with the promise of its end. */
  #ending = new Map()
  #leaseHits = 0

  /** `nativeOptions` is what `readClientOptions` makes of the options. */
  constructor(options, nativeOptions) {
    this.#options = { __proto__: null, ...options }
    this.#use(nativeOptions)
    const { credentials } = nativeOptions
    if (credentials === undefined) return
    const withKeys = keys => readClientOptions({ ...this.#options, credentials: undefined, ...keys })
    this.#credentials = new Credentials(credentials, keys => this.#use(withKeys(keys)))
  }

  /** Creates a native client, which replaces the present one and continues its counters. */
  #use(nativeOptions) {
    const replaced = this.#native
    const native = binding.createClient(nativeOptions, settled, replaced)
    if (isFailure(native)) throw toError(native)
    if (replaced !== undefined) this.#end(replaced)
    this.#native = native
    this.#secretKey = nativeOptions.secretKey
    this.#isKeyless = !hasKeys(nativeOptions)
    const discards = nativeOptions.cache && binding.discards(native)
    this.#leases = discards && new Leases(discards)
  }

  /** A module may create its client before the keys are there: until they are, each call reads the environment again. */
  #findKeys() {
    const nativeOptions = readClientOptions(this.#options)
    if (hasKeys(nativeOptions)) this.#use(nativeOptions)
  }

  /**
   * The token, or a rejection that says why there is none. Not async: for a cached token, the fastest answer is a promise that
   * exists. `facts`, if given, takes note of how the call went.
   */
  getAccessToken(owner, slug, options, facts, rejectedToken) {
    const isLeasable = options === undefined && rejectedToken === undefined
    const leased = isLeasable ? this.#leases?.get(owner.kind, owner.id, slug) : undefined
    if (leased === undefined) return this.#getAccessToken(owner, slug, options, facts, rejectedToken)
    this.#leaseHits++
    facts?.noteLease(binding.stats(this.#native))
    return leased
  }

  async #getAccessToken(owner, slug, options, facts, rejectedToken) {
    // Those of the native client that answers: another may replace it meanwhile.
    const leases = this.#leases
    const isReplacing = facts !== undefined && rejectedToken !== undefined
    if (isReplacing) facts.rejectedFingerprint = this.#fingerprint(rejectedToken)
    const wanted = rejectedToken === undefined ? undefined : { __proto__: null, rejectedToken }
    const outcome = await this.#call(owner, slug, options, wanted, facts)
    facts?.note(outcome)
    const { accessToken, validForMs } = outcome
    if (accessToken === undefined) throw failureOf(outcome)
    if (isReplacing) facts.tokenFingerprint = this.#fingerprint(accessToken)
    if (validForMs !== undefined && options === undefined) {
      leases?.put(owner.kind, owner.id, slug, accessToken, validForMs)
    }
    return accessToken
  }

  #fingerprint(token) {
    return binding.fingerprint(this.#secretKey, token)
  }

  async getConnection(owner, slug, options, facts) {
    const wanted = { __proto__: null, wantsConnection: true }
    const outcome = await this.#call(owner, slug, options, wanted, facts)
    facts?.note(outcome)
    if (outcome.connection === undefined) throw failureOf(outcome)
    return toConnection(outcome.connection)
  }

  /** Without a kind, invalidates the connections of every owner with this id. */
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

  /** Resolves when the calls under way have ended; ends the remaining ones after `timeoutMs`. */
  async close(timeoutMs) {
    this.#isKeyless = false
    this.#leases?.clear()
    this.#leases = undefined
    const ended = this.#ended()
    if (timeoutMs === 0) this.#endCalls()
    const cancel = timeoutMs === undefined ? undefined : after(timeoutMs, () => this.#endCalls())
    await ended
    cancel?.()
  }

  async #ended() {
    // Calls that wait for keys may need a native client that does not exist yet.
    if (this.#credentials !== undefined) await this.#credentials.close()
    this.#credentials = undefined
    this.#end(this.#native)
    await Promise.all(this.#ending.values())
  }

  #end(native) {
    const call = binding.close(native)
    const ended = call === null ? Promise.resolve() : outcomeOf(call)
    this.#ending.set(
      native,
      ended.then(() => this.#ending.delete(native)),
    )
  }

  #endCalls() {
    this.#credentials?.endCalls()
    for (const [call, { native }] of [...pending]) {
      const isOwn = native === this.#native || this.#ending.has(native)
      if (isOwn && binding.cancel(native, call)) take(call).resolve(closedOutcome())
    }
  }

  /**
   * Starts a call. Returns its outcome or a promise of it, which rejects with the reason of the signal once that aborts. Not
   * async, since each async function costs every call time on the event loop.
   */
  #call({ kind, id }, slug, options, wanted, facts) {
    if (this.#isKeyless && this.#credentials === undefined) this.#findKeys()
    requireText('owner', id)
    requireText('slug', slug)
    const callOptions = options === undefined ? wanted : Object.assign(readCallOptions(options), wanted)
    return this.#credentials === undefined
      ? this.#outcome(KINDS[kind], id, slug, callOptions, facts)
      : this.#outcomeWithKeys(KINDS[kind], id, slug, callOptions, facts)
  }

  /** As `#outcome`, with keys that a function provides. */
  async #outcomeWithKeys(kind, id, slug, callOptions, facts) {
    const { signal, timeoutMs = this.#options.timeoutMs ?? DEFAULT_TIMEOUT_MS } = { ...callOptions }
    const attempt = leftMs =>
      this.#outcome(kind, id, slug, { __proto__: null, ...callOptions, timeoutMs: leftMs }, facts)
    const outcome = await this.#credentials.call(attempt, timeoutMs, signal)
    if (outcome !== undefined) return outcome
    if (signal?.aborted) throw abortReason(signal, facts)
    return closedOutcome()
  }

  /** The outcome of a native call, or a promise of it. */
  #outcome(kind, id, slug, callOptions, facts) {
    const signal = callOptions?.signal
    if (signal?.aborted) throw abortReason(signal, facts)
    const native = this.#native
    const call = binding.call(native, kind, id, slug, callOptions)
    if (typeof call !== 'number') return Object.assign(new Outcome(), call)
    const outcome = outcomeOf(call, native)
    if (signal === undefined) return outcome
    const unfollow = follow(signal, () => {
      if (binding.cancel(native, call)) take(call).reject(abortReason(signal, facts))
    })
    return outcome.finally(unfollow)
  }
}

function abortReason(signal, facts) {
  facts?.noteAbort()
  return reasonOf(signal)
}

const hasKeys = ({ publishableKey, secretKey }) => publishableKey !== undefined && secretKey !== undefined

const isFailure = result => typeof result === 'object' && result !== null && Object.hasOwn(result, 'code')

/** The reason why an outcome holds no token. */
function failureOf({ connection, error }) {
  return toError(error, connection && toConnection(connection))
}

module.exports = { NativeClient }
