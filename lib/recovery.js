// Owns the second try after a rejected token: when it is worth another call, and what its failure tells.
'use strict'

const { invalidType, ownFields } = require('./checks.js')
const { copyError, isXkitError } = require('./errors.js')
const { namedOwner } = require('./owner.js')
const { isRejection } = require('./rejection/index.js')

const OPTIONS = ['signal', 'timeoutMs', 'fresh', 'isRejected']

class Recovery {
  #client
  #replace

  /** `replace(rejectedToken, owner, slug, limits)` gives another token, or the rejected one if there is no other. */
  constructor(client, replace) {
    this.#client = client
    this.#replace = replace
  }

  /**
   * Gives what `use(accessToken)` gives. If that is a rejection of the token, it is called once more, with a new one.
   * Without `isRepeatable` the rejected token is dropped all the same, for the sake of the next call. `judge` tells what
   * a rejection is, by what was returned or thrown and by which of both; the caller's `isRejected` replaces it.
   */
  async run(owner, slug, use, options, { isRepeatable = true, judge = isRejection } = {}) {
    const { isRejected, ...limits } = readOptions(use, options)
    const { kind, id } = namedOwner('owner', owner)
    // What the caller does to an object later changes nothing.
    const same = typeof owner === 'string' ? owner : { [kind]: id }

    // Without options a cached token costs next to nothing.
    const token = await this.#client.getAccessToken(same, slug, options === undefined ? undefined : limits)
    const first = await attempt(use, token)
    const verdict = isRejected === undefined ? judge(first.value, first.isThrown) : isRejected(first.value)
    // What is plain is not waited for.
    const isRefused = typeof verdict === 'boolean' ? verdict : await verdict
    if (!isRefused) return settle(first)
    if (!isRepeatable) {
      this.#client.invalidate(same, slug, token)
      return settle(first)
    }
    const { signal, timeoutMs } = limits
    const replacement = await this.#replace(token, same, slug, { signal, timeoutMs }).catch(error => {
      throw withCause(error, signal, first.value)
    })
    if (replacement === token) return settle(first)
    discard(first.value)
    return use(replacement)
  }
}

function readOptions(use, options) {
  if (typeof use !== 'function') throw invalidType('use must be a function that takes an access token')
  const fields = options === undefined ? {} : ownFields('options', options, OPTIONS)
  if ('isRejected' in fields && typeof fields.isRejected !== 'function') {
    throw invalidType('options.isRejected must be a function')
  }
  return fields
}

async function attempt(use, token) {
  try {
    return { value: await use(token), isThrown: false }
  } catch (error) {
    return { value: error, isThrown: true }
  }
}

function settle({ value, isThrown }) {
  if (isThrown) throw value
  return value
}

/** Gives the connection back that an unread body would hold: nobody will read the first answer any more. */
function discard(rejection) {
  try {
    const body = rejection.body ?? rejection.response?.body
    // Some streams of Node are destroyed with an error, which without a listener ends the process.
    body?.on?.('error', () => {})
    const cancelled = body?.cancel?.() ?? body?.destroy?.()
    cancelled?.catch?.(() => {})
  } catch {
    // It is being read, or no stream: then there is nothing to give back.
  }
}

/**
 * The failure of a re-fetch as this caller's own error, since others may have got the same one and were refused in
 * another way. A signal's reason is handed out untouched: it is the caller's, and others may hold it too.
 */
function withCause(error, signal, rejection) {
  if (!isXkitError(error) || error === signal?.reason) return error
  const cause = error.cause ?? rejection
  return Object.defineProperty(copyError(error), 'cause', {
    value: cause,
    configurable: true,
    writable: true,
  })
}

module.exports = { Recovery }
