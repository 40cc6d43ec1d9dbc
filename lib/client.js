// Owns the public client: checks arguments, calls the native side once per operation, unwraps or throws.
'use strict'

const binding = require('../binding.js')
const { watch } = require('./abort.js')
const { requireText } = require('./checks.js')
const { toConnection } = require('./connection.js')
const { toError, toUnavailableError } = require('./errors.js')
const { readCallOptions, readClientOptions } = require('./options.js')
const { namedOwner } = require('./owner.js')

const { call, callCancellable, cancel, close, connectorUrl, createClient, stats } = binding

const OWNER_KINDS = {
  __proto__: null,
  user: binding.BindingOwnerKind.User,
  group: binding.BindingOwnerKind.Group,
  context: binding.BindingOwnerKind.Context,
}

const isFailure = result => typeof result === 'object' && Object.hasOwn(result, 'code')

class XkitClient {
  #native

  constructor(options) {
    const native = createClient(readClientOptions(options))
    if (isFailure(native)) throw toError(native)
    this.#native = native
  }

  async getAccessToken(owner, slug, options) {
    const outcome = await this.#call(owner, slug, options, false)
    if (typeof outcome === 'string') return outcome
    const { connection, attempts } = this.#answer(outcome)
    throw toUnavailableError(connection, slug, attempts)
  }

  async getGroupAccessToken(groupId, slug, options) {
    requireText('groupId', groupId)
    return this.getAccessToken({ group: groupId }, slug, options)
  }

  async getConnection(owner, slug, options) {
    return this.#answer(await this.#call(owner, slug, options, true)).connection
  }

  connectorUrl(slug) {
    const url = connectorUrl(this.#native, requireText('slug', slug))
    if (isFailure(url)) throw toError(url)
    return url
  }

  stats() {
    return stats(this.#native)
  }

  async close() {
    await close(this.#native)
  }

  #call(owner, slug, options, wholeConnection) {
    let kind = OWNER_KINDS.user
    let id = owner
    if (typeof owner !== 'string') {
      const named = namedOwner('owner', owner)
      kind = OWNER_KINDS[named.kind]
      id = named.id
    }
    requireText('owner', id)
    requireText('slug', slug)
    if (options === undefined) return call(this.#native, kind, id, slug, undefined, wholeConnection)
    const { signal, timeoutMs } = readCallOptions(options)
    const request = [this.#native, kind, id, slug, timeoutMs, wholeConnection]
    return signal === undefined ? call(...request) : this.#callWithSignal(signal, request)
  }

  async #callWithSignal(signal, request) {
    if (signal.aborted) throw signal.reason
    const started = callCancellable(...request)
    if (!Object.hasOwn(started, 'promise')) return started
    const unwatch = watch(signal, () => cancel(this.#native, started.key))
    try {
      const outcome = await started.promise
      if (outcome === undefined && signal.aborted) throw signal.reason
      return outcome
    } finally {
      unwatch()
    }
  }

  /** The connection that an outcome holds; throws the failure that it holds instead. */
  #answer(outcome) {
    const { connection, error, attempts } = { __proto__: null, ...outcome }
    if (connection !== undefined) return { connection: toConnection(connection), attempts }
    throw toError(error)
  }
}

// Absent before Node 20.4.
if (Symbol.asyncDispose) {
  Object.defineProperty(XkitClient.prototype, Symbol.asyncDispose, {
    value: XkitClient.prototype.close,
    configurable: true,
    writable: true,
  })
}

module.exports = { XkitClient }
