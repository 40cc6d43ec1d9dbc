// Owns keys that a function gives: who calls it, and for how long a call waits for it.
'use strict'

// Not the globals, which tests replace by fakes.
const { clearTimeout, setTimeout } = require('node:timers')
const { ownFields, requireText } = require('./checks.js')
const { toError } = require('./errors.js')

class Credentials {
  #ask
  #use
  /** The keys in use. */
  #keys
  #asking

  /** `ask` gives keys, now or later; `use` is called with keys that are new, and throws if they cannot be used. */
  constructor(ask, use) {
    this.#ask = ask
    this.#use = use
  }

  /**
   * Keys other than `refused`, or those again if there are no others; a promise of them where the function has to be called,
   * once for all who wait.
   */
  keysAfter(refused) {
    if (this.#keys !== refused) return this.#keys
    this.#asking ??= this.#askAnew().finally(() => {
      this.#asking = undefined
    })
    return this.#asking
  }

  async #askAnew() {
    const given = ownFields('credentials()', await this.#ask(), ['publishableKey', 'secretKey'])
    const publishableKey = requireText('credentials().publishableKey', given.publishableKey)
    const secretKey = requireText('credentials().secretKey', given.secretKey)
    const isSame = this.#keys?.publishableKey === publishableKey && this.#keys?.secretKey === secretKey
    if (!isSame) {
      const keys = { __proto__: null, publishableKey, secretKey }
      this.#use(keys)
      this.#keys = keys
    }
    return this.#keys
  }
}

/** Resolves with the keys, or with nothing when `watch` calls back. Rejects with this caller's own error. */
function waitForKeys(keys, ms, watch) {
  return new Promise((resolve, reject) => {
    const end = settle => value => {
      clearTimeout(timer)
      unwatch?.()
      settle(value)
    }
    const fail = end(reject)
    const timer = setTimeout(() => fail(lateKeys(ms)), ms)
    const unwatch = watch(() => end(resolve)())
    keys.then(end(resolve), cause => fail(noKeys(cause)))
  })
}

function lateKeys(ms) {
  return toError({
    className: 'XkitNetworkError',
    code: 'ERR_XKIT_TIMEOUT',
    message: `The function credentials gave no keys within ${Math.round(ms)} ms`,
    retryable: true,
    attempts: 0,
  })
}

function noKeys(cause) {
  return toError({
    className: 'XkitError',
    code: 'ERR_XKIT_MISSING_CREDENTIALS',
    message: 'The function credentials gave no keys that can be used: the cause says why',
    // What is no pair of keys now will be none later.
    retryable: cause?.name !== 'TypeError',
    attempts: 0,
    cause,
  })
}

module.exports = { Credentials, waitForKeys }
