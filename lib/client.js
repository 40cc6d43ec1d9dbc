// Owns the public client: checks arguments, calls the native side once per operation, unwraps or throws. What a first
// token does not need is loaded when it is needed, since the start of a process counts.
'use strict'

// Not the global one, which tests replace by a fake.
const { setImmediate } = require('node:timers')
const { Calls, TokenCall, cancel, resultOf, settled, whenSettled } = require('./calls.js')
const binding = require('./native.js')
const { refuseNumber, requireText } = require('./checks.js')
const { follow, isFollowed, noteAbort, noteOutcome } = require('./diagnostics.js')
const { toError } = require('./errors.js')
const { bindConnection } = require('./handle.js')
const { hasKeys, readCallOptions, readClientOptions, readWaitOptions } = require('./options.js')
const { namedOwner } = require('./owner.js')
const { Waits, wakeWaits } = require('./wait.js')

const { User, Group, Context } = binding.BindingOwnerKind
const { Fresh, WholeConnection } = binding.BindingCallFlag
const NATIVE_KINDS = { __proto__: null, user: User, group: Group, context: Context }

let toConnection
let watch

const isFailure = result => typeof result === 'object' && result !== null && Object.hasOwn(result, 'code')

const isHit = result => Object.hasOwn(result, 'validForMs')

function createCalls(options) {
  const native = binding.createClient(options, settled, setImmediate, binding.settle)
  if (isFailure(native)) throw toError(native)
  return new Calls(native)
}

/** A call that has started rejects with the reason of its signal, and with nothing else. */
async function untilAborted(started, facts) {
  try {
    return await started
  } catch (reason) {
    noteAbort(facts)
    throw reason
  }
}

class XkitClient {
  #calls
  /** What the client was made with, as long as a key is missing. */
  #keyless
  /** Leases on cached tokens; undefined without a cache. */
  #leases
  #leaseHits = 0
  #recovery
  #waits = new Waits()
  /** Where `fetch` may send a token. */
  #fetchLimits

  constructor(options) {
    const nativeOptions = readClientOptions(options)
    const { hosts, allowHttp } = nativeOptions
    this.#fetchLimits = { __proto__: null, hosts, allowHttp }
    this.#calls = createCalls(nativeOptions)
    if (!hasKeys(nativeOptions)) this.#keyless = { ...options }
    if (nativeOptions.cache !== undefined) {
      const { Leases } = require('./leases.js')
      this.#leases = new Leases(nativeOptions.cache.maxEntries)
    }
  }

  // Not async, since a promise that exists already is the cheapest answer to a cached token.
  getAccessToken(owner, slug, options) {
    try {
      if (isFollowed()) return this.#follow('getAccessToken', owner, slug, options)
      if (options === undefined && typeof owner === 'string') {
        return this.#leased(User, owner, slug) ?? this.#getAccessToken(User, owner, slug)
      }
      const { kind, id } = namedOwner('owner', owner)
      return this.#getAccessToken(NATIVE_KINDS[kind], id, slug, options)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  getGroupAccessToken(groupId, slug, options) {
    try {
      refuseNumber('groupId', groupId)
      if (isFollowed()) return this.#follow('getGroupAccessToken', { group: groupId }, slug, options)
      requireText('groupId', groupId)
      if (options !== undefined) return this.#getAccessToken(Group, groupId, slug, options)
      return this.#leased(Group, groupId, slug) ?? this.#getAccessToken(Group, groupId, slug)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  async getConnection(owner, slug, options) {
    if (isFollowed()) return this.#follow('getConnection', owner, slug, options)
    const { kind, id } = namedOwner('owner', owner)
    const outcome = await resultOf(this.#call(NATIVE_KINDS[kind], id, slug, options, WholeConnection))
    const { connection } = this.#answer(outcome)
    this.#leases?.countFetch()
    return connection
  }

  async withAccessToken(owner, slug, use, options) {
    return await this.#recover().run(owner, slug, use, options)
  }

  async fetch(owner, slug, input, init) {
    const { bearerFetch } = require('./bearer-fetch.js')
    const { use, options, ...trial } = bearerFetch(slug, input, init, this.#fetchLimits)
    return await this.#recover().run(owner, slug, use, options, trial)
  }

  for(owner, slug) {
    return bindConnection(this, owner, slug)
  }

  async waitForConnection(owner, slug, options) {
    const { kind, id } = namedOwner('owner', owner)
    requireText('owner', id)
    requireText('slug', slug)
    const ask = signal => this.getConnection({ [kind]: id }, slug, { signal, fresh: true })
    return this.#waits.until({ kind, id }, slug, readWaitOptions(options), ask)
  }

  invalidate(owner, slug, rejectedToken) {
    const { kind, id } = namedOwner('owner', owner)
    requireText('owner', id)
    requireText('slug', slug)
    if (rejectedToken !== undefined) requireText('rejectedToken', rejectedToken)
    this.#invalidate(NATIVE_KINDS[kind], id, slug, rejectedToken)
  }

  handleWebhook(body) {
    const { readWebhook } = require('./webhook.js')
    const event = readWebhook(body)
    // The payload does not tell a user from a group.
    this.#invalidate(undefined, event.ownerId, event.slug)
    wakeWaits(event.ownerId, event.slug)
    return event
  }

  connectorUrl(slug) {
    const url = binding.connectorUrl(this.#calls.native, requireText('slug', slug))
    if (isFailure(url)) throw toError(url)
    return url
  }

  stats() {
    const stats = binding.stats(this.#calls.native)
    stats.calls += this.#leaseHits
    stats.cacheHits += this.#leaseHits
    return stats
  }

  async close() {
    this.#leases?.clear()
    this.#leases = undefined
    this.#keyless = undefined
    const closed = resultOf(binding.close(this.#calls.native))
    this.#waits.end()
    await closed
  }

  #recover() {
    if (this.#recovery === undefined) {
      const { Recovery } = require('./recovery.js')
      this.#recovery = new Recovery(this, (...call) => this.#replace(...call))
    }
    return this.#recovery
  }

  #leased(kind, id, slug) {
    const promise = this.#leases?.get(kind, id, slug)
    if (promise !== undefined) this.#leaseHits++
    return promise
  }

  #dropLease(kind, id, slug) {
    if (this.#leases === undefined) return
    // One that has yet to begin could bring one.
    this.#calls.beginAll()
    this.#leases.drop(kind, id, slug)
  }

  /** A token in the place of a rejected one; that one again if the platform has no other. */
  async #replace(rejectedToken, owner, slug, options) {
    const { kind, id } = namedOwner('owner', owner)
    this.#dropLease(NATIVE_KINDS[kind], id, slug)
    if (isFollowed()) return this.#follow('getAccessToken', owner, slug, options, rejectedToken)
    return this.#getAccessToken(NATIVE_KINDS[kind], id, slug, options, rejectedToken)
  }

  // Not async either: two promises fewer for each token.
  #getAccessToken(kind, id, slug, options, rejectedToken) {
    if (options === undefined && rejectedToken === undefined) {
      this.#check(id, slug)
      const call = new TokenCall(this.#settle, kind, id, slug)
      this.#calls.begin(call)
      return call.promise
    }
    const started = this.#call(kind, id, slug, options, 0, rejectedToken)
    const call = new TokenCall(this.#settle, kind, id, slug)
    if (typeof started.then === 'function') started.then(result => call.take(result), call.reject)
    else whenSettled(started, call)
    return call.promise
  }

  #settle = (result, { kind, id, slug, resolve, reject }) => {
    if (typeof result === 'string') {
      this.#leases?.countFetch()
      return resolve(result)
    }
    if (result !== undefined && isHit(result)) {
      // At once: later, the token may have been invalidated.
      this.#leases?.put(kind, id, slug, result.accessToken, result.validForMs)
      return resolve(result.accessToken)
    }
    this.#leases?.countFetch()
    reject(this.#failure(result))
  }

  /** Those three for whoever follows. The whole outcome crosses, since a token does not tell how it was come by. */
  #follow(operation, owner, slug, options, rejectedToken) {
    return follow(operation, owner, slug, async facts => {
      if (operation === 'getGroupAccessToken') {
        refuseNumber('groupId', owner.group)
        requireText('groupId', owner.group)
      }
      const { kind, id } = namedOwner('owner', owner)
      const { fleet } = binding.stats(this.#calls.native)
      const started = this.#call(NATIVE_KINDS[kind], id, slug, options, WholeConnection, rejectedToken)
      const outcome = await untilAborted(resultOf(started), facts)
      noteOutcome(facts, outcome, binding.stats(this.#calls.native).fleet, fleet)
      const { connection, error } = this.#answer(outcome)
      this.#leases?.countFetch()
      if (operation === 'getConnection') return connection
      if (connection.status === 'active') return connection.accessToken
      throw toError(error, connection)
    })
  }

  /** Keys that were not there when the client was made may be by now: a module can be evaluated before they are. */
  #lookForKeys() {
    const options = readClientOptions(this.#keyless)
    if (!hasKeys(options)) return
    this.#calls = createCalls(options)
    this.#keyless = undefined
  }

  #check(id, slug) {
    if (this.#keyless !== undefined) this.#lookForKeys()
    requireText('owner', id)
    requireText('slug', slug)
  }

  /** The number of a call, a promise of its result, or at once what is known. */
  #call(kind, id, slug, options, flags, rejectedToken) {
    this.#check(id, slug)
    if (options === undefined) {
      return binding.call(this.#calls.native, kind | flags, id, slug, undefined, rejectedToken)
    }
    const { signal, timeoutMs, fresh = false } = readCallOptions(options)
    if (signal?.aborted) return Promise.reject(signal.reason)
    const allFlags = kind | flags | (fresh ? Fresh : 0)
    const started = binding.call(this.#calls.native, allFlags, id, slug, timeoutMs, rejectedToken)
    if (typeof started !== 'number') return started
    const result = signal === undefined ? resultOf(started) : this.#untilAborted(signal, started)
    return fresh ? this.#endLease(kind, id, slug, result) : result
  }

  /** What is older than a fresh answer is not handed out after it. */
  async #endLease(kind, id, slug, result) {
    try {
      return await result
    } finally {
      this.#leases?.drop(kind, id, slug)
    }
  }

  async #untilAborted(signal, call) {
    watch ??= require('./abort.js').watch
    const unwatch = watch(signal, () => cancel(this.#calls.native, call))
    try {
      const result = await resultOf(call)
      if (result === undefined && signal.aborted) throw signal.reason
      return result
    } finally {
      unwatch()
    }
  }

  /** Why an outcome holds no token. */
  #failure(outcome) {
    try {
      const { connection, error } = this.#answer(outcome)
      return toError(error, connection)
    } catch (error) {
      return error
    }
  }

  /** The connection that an outcome holds, with the error of one that has no token; throws what it holds instead. */
  #answer(outcome) {
    const { connection, error } = { __proto__: null, ...outcome }
    if (connection === undefined) throw toError(error)
    toConnection ??= require('./connection.js').toConnection
    return { connection: toConnection(connection), error }
  }

  /** Without a kind, whatever owner has this id. */
  #invalidate(kind, id, slug, rejectedToken) {
    for (const each of kind === undefined ? [User, Group, Context] : [kind]) this.#dropLease(each, id, slug)
    const failure = binding.invalidate(this.#calls.native, kind, id, slug, rejectedToken)
    if (isFailure(failure)) throw toError(failure)
  }
}

// Absent before Node 20.4.
if (Symbol.asyncDispose) {
  Object.defineProperty(XkitClient.prototype, Symbol.asyncDispose, {
    async value() {
      await this.close()
    },
    configurable: true,
    writable: true,
  })
}

module.exports = { XkitClient }
