// Owns the second try after a rejected token: when it is worth another call, and what its failure says.
'use strict'

const { inspect } = require('node:util')
const { get, invalidType, ownFields } = require('./checks.js')
const { copyError, isXkitError } = require('./errors.js')
const { USE_OPTIONS } = require('./options.js')
const { isRejection } = require('./rejection/index.js')
const { isError } = require('./rejection/parts.js')

const TRIAL = { __proto__: null, isRepeatable: true, judge: isRejection }
const MAX_SHOWN = 300

class Recovery {
  #getToken
  #invalidate

  /**
   * `getToken(owner, slug, options, rejectedToken)` gives a token; with a rejected one another, or that again if the platform
   * has no other.
   */
  constructor({ getToken, invalidate }) {
    this.#getToken = getToken
    this.#invalidate = invalidate
  }

  /**
   * Resolves with what `use(accessToken)` gives. If that is a rejection of the token, calls it once more, with a new one.
   * Without `isRepeatable` it only drops the rejected token, for the sake of the next call. `judge` says what a rejection
   * is, by what was returned or thrown and by which of both; the caller's `isRejected` replaces it.
   */
  // Every promise is awaited here, so that the stack of an error names the caller.
  async run(owner, slug, use, options, { isRepeatable, judge } = TRIAL) {
    const { isRejected, signal, timeoutMs, fresh } = readOptions(use, options)
    // Without options a cached token costs next to nothing.
    const limits = options === undefined ? undefined : { __proto__: null, signal, timeoutMs, fresh }
    const token = await this.#getToken(owner, slug, limits)
    const first = await attempt(use, token)
    const verdict = isRejected === undefined ? judge(first.value, first.isThrown) : isRejected(first.value)
    // A plain answer costs no turn of the microtask queue.
    const isRefused = typeof verdict === 'boolean' ? verdict : await verdict
    if (!isRefused) return settle(first)
    if (!isRepeatable) {
      this.#invalidate(owner, slug, token)
      return settle(first)
    }
    let replacement
    try {
      replacement = await this.#getToken(owner, slug, { __proto__: null, signal, timeoutMs }, token)
    } catch (error) {
      if (error === signal?.reason || !isXkitError(error)) throw error
      // The client was closed meanwhile: then the first outcome is the last.
      if (error.code === 'ERR_XKIT_CLOSED') return settle(first)
      throw withCause(error, first.value, token)
    }
    if (replacement === token) return settle(first)
    discard(first.value)
    return await use(replacement)
  }
}

function readOptions(use, options) {
  if (typeof use !== 'function') throw invalidType('use must be a function that takes an access token')
  const fields = options === undefined ? Object.create(null) : ownFields('options', options, USE_OPTIONS)
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
 * The failure of a re-fetch as this caller's own error, with the rejection as its cause where it has none that says more.
 * A rejection often holds the request with its `Authorization`: it is there to be read, and is not printed.
 */
function withCause(error, rejection, token) {
  const own = copyError(error, error.cause)
  if (error.cause !== undefined) return own
  // Loggers and `inspect` run no getter.
  Object.defineProperty(own, 'cause', { __proto__: null, get: () => rejection, configurable: true })
  const print = (_depth, options) => {
    const shown = copyError(own)
    Object.defineProperties(shown, { stack: hidden(own.stack), cause: hidden(censored(rejection, token)) })
    return inspect(shown, options)
  }
  return Object.defineProperty(own, inspect.custom, hidden(print))
}

const hidden = value => ({ __proto__: null, value, configurable: true, writable: true })

/** A rejection by its name and message, or by its status. */
function censored(rejection, token) {
  const text = isError(rejection)
    ? `${String(get(rejection, 'name'))}: ${get(rejection, 'message')}`
    : `an answer with status ${String(get(rejection, 'status') ?? get(rejection, 'statusCode'))}`
  const shown = text.replaceAll(token, '[token]').slice(0, MAX_SHOWN)
  return Object.defineProperty(new Error(shown), 'stack', hidden(shown))
}

module.exports = { Recovery }
