// Owns the public client: one method for each thing that users do, a few lines each.
'use strict'

const { bearerFetch } = require('./bearer-fetch.js')
const { requireText } = require('./checks.js')
const { observe } = require('./diagnostics.js')
const { bindConnection } = require('./handle.js')
const { NativeClient } = require('./native-client.js')
const { readClientOptions, readCloseOptions, readWaitOptions } = require('./options.js')
const { readGroup, readOwner } = require('./owner.js')
const { Recovery } = require('./recovery.js')
const { Waits, wakeWaits } = require('./wait.js')
const { readWebhook } = require('./webhook.js')

const asIs = owner => owner

// Part of Node 22.10 and newer. Older versions have none, and would load this module for nothing, which takes milliseconds.
const [major, minor] = process.versions.node.split('.').map(Number)
const canMark = major > 22 || (major === 22 && minor >= 10)
const { markAsUncloneable } = canMark ? require('node:worker_threads') : {}

class XkitClient {
  #native
  #recovery
  #waits = new Waits()
  /** Where `fetch` may send a token. */
  #fetchLimits

  constructor(options) {
    // Node 22.10 and newer: `structuredClone` and `postMessage` throw, rather than give an object without a client in it.
    markAsUncloneable?.(this)
    const nativeOptions = readClientOptions(options)
    const { hosts, allowHttp } = nativeOptions
    this.#fetchLimits = { __proto__: null, hosts, allowHttp }
    this.#native = new NativeClient(options, nativeOptions)
    this.#recovery = new Recovery({
      getToken: (owner, slug, options, rejectedToken) =>
        observe('getAccessToken', asIs, owner, slug, (_, facts) =>
          this.#native.getAccessToken(owner, slug, options, facts, rejectedToken),
        ),
      invalidate: (owner, slug, rejectedToken) => this.#native.invalidate(owner, slug, rejectedToken),
    })
  }

  // Neither is async, so that a promise that exists answers for a cached token.
  getAccessToken(owner, slug, options) {
    return observe('getAccessToken', readOwner, owner, slug, (parsed, facts) =>
      XkitClient.#of(this).#native.getAccessToken(parsed, slug, options, facts),
    )
  }

  getGroupAccessToken(groupId, slug, options) {
    return observe('getGroupAccessToken', readGroup, groupId, slug, (group, facts) =>
      XkitClient.#of(this).#native.getAccessToken(group, slug, options, facts),
    )
  }

  getConnection(owner, slug, options) {
    return observe('getConnection', readOwner, owner, slug, (parsed, facts) =>
      XkitClient.#of(this).#native.getConnection(parsed, slug, options, facts),
    )
  }

  async withAccessToken(owner, slug, use, options) {
    return await XkitClient.#of(this).#recovery.run(readOwner(owner), slug, use, options)
  }

  async fetch(owner, slug, input, init) {
    const { use, options, ...trial } = bearerFetch(slug, input, init, XkitClient.#of(this).#fetchLimits)
    return await XkitClient.#of(this).#recovery.run(readOwner(owner), slug, use, options, trial)
  }

  for(owner, slug) {
    return bindConnection(XkitClient.#of(this), owner, slug)
  }

  async waitForConnection(owner, slug, options) {
    const { kind, id } = readOwner(owner)
    requireText('owner', id)
    requireText('slug', slug)
    const ask = signal => this.getConnection({ [kind]: id }, slug, { signal, fresh: true })
    return await XkitClient.#of(this).#waits.until({ kind, id }, slug, readWaitOptions(options), ask)
  }

  invalidate(owner, slug, rejectedToken) {
    const parsed = readOwner(owner)
    if (rejectedToken !== undefined) requireText('rejectedToken', rejectedToken)
    XkitClient.#of(this).#native.invalidate(parsed, slug, rejectedToken)
  }

  handleWebhook(body) {
    const event = readWebhook(body)
    // The payload does not tell a user from a group.
    XkitClient.#of(this).#native.invalidate({ id: event.ownerId }, event.slug)
    wakeWaits(event.ownerId, event.slug)
    return event
  }

  connectorUrl(slug) {
    return XkitClient.#of(this).#native.connectorUrl(requireText('slug', slug))
  }

  stats() {
    return XkitClient.#of(this).#native.stats()
  }

  async close(options) {
    const client = XkitClient.#of(this)
    const { timeoutMs } = readCloseOptions(options)
    const closed = client.#native.close(timeoutMs)
    client.#waits.end()
    await closed
  }

  /** The client of a method; throws where the method was taken off it. */
  static #of(client) {
    if (typeof client === 'object' && client !== null && #native in client) return client
    const message =
      'A method of XkitClient was called without its client: write client.getAccessToken(…), or use the handle ' +
      'client.for(owner, slug), whose methods work by themselves'
    throw Object.assign(new TypeError(message), { code: 'ERR_INVALID_THIS' })
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
