// Owns the second try after a rejected token: when it is made, and the error of one that fails.
'use strict'

const { inspect } = require('node:util')
const { get, invalidType } = require('./checks.js')
const { copyError, hidden, isXkitError } = require('./errors.js')
const { readUseOptions } = require('./options.js')
const { isRejection } = require('./rejection/index.js')
const { isError } = require('./rejection/parts.js')

const TRIAL = { __proto__: null, isRepeatable: true, judge: isRejection }
const MAX_SHOWN = 300

/**
 * Settles as `use(accessToken)` does. If its outcome is a rejection of the token, calls `use` a second time, with a new token;
 * without `isRepeatable`, only invalidates the rejected one. `judge(value, isThrown)` recognises a rejection, unless the
 * caller's `isRejected` replaces it.
 */
// Every promise is awaited here, so that the stack of an error names the caller.
async function recover(tokens, use, options, { isRepeatable, judge } = TRIAL) {
  if (typeof use !== 'function') throw invalidType('use must be a function that takes an access token')
  const { isRejected, signal, timeoutMs, fresh } = readUseOptions(options)
  // Only a call without options can be served from a lease.
  const token = await tokens.get(options && { __proto__: null, signal, timeoutMs, fresh })
  const first = await attempt(use, token)
  const verdict = isRejected === undefined ? judge(first.value, first.isThrown) : isRejected(first.value)
  // Awaiting a boolean would cost a turn of the microtask queue.
  const isTokenRejected = typeof verdict === 'boolean' ? verdict : await verdict
  if (!isTokenRejected) return unwrap(first)
  if (!isRepeatable) {
    tokens.invalidate(token)
    return unwrap(first)
  }
  let replacement
  try {
    replacement = await tokens.get({ __proto__: null, signal, timeoutMs }, token)
  } catch (error) {
    if (error === signal?.reason || !isXkitError(error)) throw error
    // The client was closed meanwhile, so that the first outcome is the last.
    if (error.code === 'ERR_XKIT_CLOSED') return unwrap(first)
    throw withCause(error, first.value, token)
  }
  if (replacement === token) return unwrap(first)
  discard(first.value)
  return await use(replacement)
}

async function attempt(use, token) {
  try {
    return { value: await use(token), isThrown: false }
  } catch (error) {
    return { value: error, isThrown: true }
  }
}

/** The returned value of an outcome; throws the thrown one. */
function unwrap({ value, isThrown }) {
  if (isThrown) throw value
  return value
}

/** Releases the connection of the first answer, which an unread body would occupy. */
function discard(rejection) {
  try {
    const body = rejection.body ?? rejection.response.body
    // Some streams emit an error when they are destroyed, which ends the process if nothing listens.
    body.on?.('error', () => {})
    const cancelled = body.cancel?.() ?? body.destroy()
    cancelled.catch(() => {})
  } catch {
    // There is no body, or it is being read, or is no stream.
  }
}

/**
 * The failure to get a new token, as an error of this caller. Its cause is the rejection, unless it has one already. A rejection
 * often holds the request with its `Authorization`: it can be read, but is not printed.
 */
function withCause(error, rejection, token) {
  const own = copyError(error, error.cause)
  if (error.cause !== undefined) return own
  // Neither loggers nor `inspect` call a getter.
  Object.defineProperty(own, 'cause', { __proto__: null, get: () => rejection, configurable: true })
  const print = (_depth, options) => {
    const shown = copyError(own)
    Object.defineProperties(shown, { stack: hidden(own.stack), cause: hidden(censored(rejection, token)) })
    return inspect(shown, options)
  }
  return Object.defineProperty(own, inspect.custom, hidden(print))
}

/** An error with the name and message of a rejection, or with its status, in place of the rejection itself. */
function censored(rejection, token) {
  const text = isError(rejection)
    ? `${String(get(rejection, 'name'))}: ${get(rejection, 'message')}`
    : `an answer with status ${String(get(rejection, 'status') ?? get(rejection, 'statusCode'))}`
  const shown = text.replaceAll(token, '[token]').slice(0, MAX_SHOWN)
  return Object.defineProperty(new Error(shown), 'stack', hidden(shown))
}

module.exports = { recover }
