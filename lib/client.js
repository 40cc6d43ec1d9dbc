// Owns the public client with one method per operation, the handles bound to one connection, and the default client behind the
// module's functions.
'use strict'

const { bearerFetch } = require('./bearer-fetch.js')
const { isObject, readOwner, refuseNumber, requireId, requireOwner, requireText } = require('./checks.js')
const { observe } = require('./diagnostics.js')
const { isNodeFrom } = require('./environment.js')
const { NativeClient } = require('./native-client.js')
const {
  CALL_OPTIONS,
  USE_OPTIONS,
  readClientOptions,
  readCloseOptions,
  readWaitOptions,
} = require('./options.js')
const { recover } = require('./recovery.js')
const { Waits, wakeWaits } = require('./wait.js')
const { readWebhook } = require('./webhook.js')

// Older versions do not have it, and loading the module for nothing takes milliseconds.
const { markAsUncloneable } = isNodeFrom(22, 10) ? require('node:worker_threads') : {}

/** The client that a method was called on; throws if the method was detached from it. */
let clientOf
/** Its native client. */
let nativeOf

class XkitClient {
  #native
  #waits = new Waits()
  /** The options that say where `fetch` may send a token. */
  #destinations

  constructor(options) {
    // From now on `structuredClone` and `postMessage` throw, instead of making an object without the private fields.
    markAsUncloneable?.(this)
    const nativeOptions = readClientOptions(options)
    const { hosts, allowHttp } = nativeOptions
    this.#destinations = { __proto__: null, hosts, allowHttp }
    this.#native = new NativeClient(options, nativeOptions)
  }

  // Neither is async: for a cached token they return the promise of its lease.
  getAccessToken(owner, slug, options) {
    return observe(GET_ACCESS_TOKEN, this, owner, slug, options)
  }

  getGroupAccessToken(groupId, slug, options) {
    return observe(GET_GROUP_ACCESS_TOKEN, this, groupId, slug, options)
  }

  getConnection(owner, slug, options) {
    return observe(GET_CONNECTION, this, owner, slug, options)
  }

  async withAccessToken(owner, slug, use, options) {
    return await recover(clientOf(this).#tokens(readOwner(owner), slug), use, options)
  }

  async fetch(owner, slug, input, init) {
    const client = clientOf(this)
    const { use, options, ...trial } = bearerFetch(slug, input, init, client.#destinations)
    return await recover(client.#tokens(readOwner(owner), slug), use, options, trial)
  }

  for(owner, slug) {
    return bind(clientOf(this), owner, slug)
  }

  async waitForConnection(owner, slug, options) {
    const client = clientOf(this)
    const { kind, id } = readOwner(owner)
    const ask = signal => client.getConnection({ [kind]: id }, slug, { signal, fresh: true })
    return await client.#waits.until({ kind, id }, slug, readWaitOptions(options), ask)
  }

  invalidate(owner, slug, rejectedToken) {
    const parsed = readOwner(owner)
    if (rejectedToken !== undefined) requireText('rejectedToken', rejectedToken)
    clientOf(this).#native.invalidate(parsed, slug, rejectedToken)
  }

  handleWebhook(body) {
    const event = readWebhook(body)
    // The payload does not say whether the owner is a user or a group.
    clientOf(this).#native.invalidate({ id: event.ownerId }, event.slug)
    wakeWaits(event.ownerId, event.slug)
    return event
  }

  connectorUrl(slug) {
    return clientOf(this).#native.connectorUrl(requireText('slug', slug))
  }

  stats() {
    return clientOf(this).#native.stats()
  }

  async close(options) {
    const client = clientOf(this)
    const { timeoutMs } = readCloseOptions(options)
    const closed = client.#native.close(timeoutMs)
    client.#waits.end()
    await closed
  }

  /** The tokens of one connection. With a rejected token, `get` resolves with another one, unless the platform has no other. */
  #tokens(owner, slug) {
    const get = rejectedToken => ({
      name: 'getAccessToken',
      readOwner: asIs,
      run: (client, _, __, options, facts) =>
        client.#native.getAccessToken(owner, slug, options, facts, rejectedToken),
    })
    return {
      get: (options, rejectedToken) => observe(get(rejectedToken), this, owner, slug, options),
      invalidate: rejectedToken => this.#native.invalidate(owner, slug, rejectedToken),
    }
  }

  static {
    clientOf = client => {
      if (isObject(client) && #native in client) return client
      const message =
        'A method of XkitClient was called without its client: write client.getAccessToken(…), or use the handle ' +
        'client.for(owner, slug), whose methods work by themselves'
      throw Object.assign(new TypeError(message), { code: 'ERR_INVALID_THIS' })
    }
    nativeOf = client => clientOf(client).#native
  }
}

const asIs = owner => owner

const readGroup = id => ({ kind: 'group', id: requireText('groupId', refuseNumber('groupId', id)) })

const getTokenOf = (client, owner, slug, options, facts) =>
  nativeOf(client).getAccessToken(owner, slug, options, facts)

const getConnectionOf = (client, owner, slug, options, facts) =>
  nativeOf(client).getConnection(owner, slug, options, facts)

// Made once: a cached token is served too fast to make a function for each call.
const GET_ACCESS_TOKEN = { name: 'getAccessToken', readOwner, run: getTokenOf }
const GET_GROUP_ACCESS_TOKEN = { name: 'getGroupAccessToken', readOwner: readGroup, run: getTokenOf }
const GET_CONNECTION = { name: 'getConnection', readOwner, run: getConnectionOf }

// Node has this symbol from 20.4 on.
if (Symbol.asyncDispose) {
  XkitClient.prototype[Symbol.asyncDispose] = async function () {
    await this.close()
  }
}

/** The handle of a connection. Its methods need no `this`, and ignore arguments of an SDK that are no option of theirs. */
function bind(client, owner, slug) {
  const { kind, id } = requireOwner('owner', owner)
  requireId('slug', slug)
  const own = typeof owner === 'string' ? owner : Object.freeze({ [kind]: id })
  return Object.freeze({
    owner: own,
    slug,
    getAccessToken: options => client.getAccessToken(own, slug, pick(options, CALL_OPTIONS)),
    getConnection: options => client.getConnection(own, slug, pick(options, CALL_OPTIONS)),
    withAccessToken: (use, options) => client.withAccessToken(own, slug, use, pick(options, USE_OPTIONS)),
    fetch: (input, init) => client.fetch(own, slug, input, init),
    invalidate: token => client.invalidate(own, slug, typeof token === 'string' ? token : undefined),
  })
}

function pick(options, names) {
  if (typeof options !== 'object' || options === null) return undefined
  const own = names.filter(name => Object.hasOwn(options, name))
  return own.length === 0 ? undefined : Object.fromEntries(own.map(name => [name, options[name]]))
}

// The module's functions are async, so that an error of the constructor is a rejection too.

let shared

/** Built from the environment at the first call. */
function defaultClient() {
  shared ??= new XkitClient()
  return shared
}

async function getAccessToken(owner, slug, options) {
  return await defaultClient().getAccessToken(owner, slug, options)
}

async function getGroupAccessToken(groupId, slug, options) {
  return await defaultClient().getGroupAccessToken(groupId, slug, options)
}

async function getConnection(owner, slug, options) {
  return await defaultClient().getConnection(owner, slug, options)
}

async function withAccessToken(owner, slug, use, options) {
  return await defaultClient().withAccessToken(owner, slug, use, options)
}

/** The next call builds another client, from the environment as it is then. */
async function closeDefaultClient(options) {
  const client = shared
  shared = undefined
  await client?.close(options)
}

module.exports = {
  XkitClient,
  closeDefaultClient,
  getAccessToken,
  getConnection,
  getGroupAccessToken,
  withAccessToken,
}
