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

class XkitClient {
  #native
  #recovery
  #waits = new Waits()
  /** Where `fetch` may send a token. */
  #fetchLimits

  constructor(options) {
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
      this.#native.getAccessToken(parsed, slug, options, facts),
    )
  }

  getGroupAccessToken(groupId, slug, options) {
    return observe('getGroupAccessToken', readGroup, groupId, slug, (group, facts) =>
      this.#native.getAccessToken(group, slug, options, facts),
    )
  }

  getConnection(owner, slug, options) {
    return observe('getConnection', readOwner, owner, slug, (parsed, facts) =>
      this.#native.getConnection(parsed, slug, options, facts),
    )
  }

  async withAccessToken(owner, slug, use, options) {
    return await this.#recovery.run(readOwner(owner), slug, use, options)
  }

  async fetch(owner, slug, input, init) {
    const { use, options, ...trial } = bearerFetch(slug, input, init, this.#fetchLimits)
    return await this.#recovery.run(readOwner(owner), slug, use, options, trial)
  }

  for(owner, slug) {
    return bindConnection(this, owner, slug)
  }

  async waitForConnection(owner, slug, options) {
    const { kind, id } = readOwner(owner)
    requireText('owner', id)
    requireText('slug', slug)
    const ask = signal => this.getConnection({ [kind]: id }, slug, { signal, fresh: true })
    return await this.#waits.until({ kind, id }, slug, readWaitOptions(options), ask)
  }

  invalidate(owner, slug, rejectedToken) {
    const parsed = readOwner(owner)
    if (rejectedToken !== undefined) requireText('rejectedToken', rejectedToken)
    this.#native.invalidate(parsed, slug, rejectedToken)
  }

  handleWebhook(body) {
    const event = readWebhook(body)
    // The payload does not tell a user from a group.
    this.#native.invalidate({ id: event.ownerId }, event.slug)
    wakeWaits(event.ownerId, event.slug)
    return event
  }

  connectorUrl(slug) {
    return this.#native.connectorUrl(requireText('slug', slug))
  }

  stats() {
    return this.#native.stats()
  }

  async close(options) {
    const { timeoutMs } = readCloseOptions(options)
    const closed = this.#native.close(timeoutMs)
    this.#waits.end()
    await closed
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
