// Owns keys that a function provides: when it is called, how long a call waits for it, and the second attempt with new keys.
'use strict'

const { ownFields, requireText } = require('./checks.js')
const { toError } = require('./errors.js')
const { ABORTED, LATE, within } = require('./limits.js')

const KEYS = ['publishableKey', 'secretKey']

class Credentials {
  #provide
  #use
  /** The keys in use. */
  #keys
  /** The promise of other keys, while the function runs. */
  #pending
  /** The promises of the calls under way. */
  #calls = new Set()
  #isClosed = false
  /** Aborts when no call may wait for keys any more. */
  #end = new AbortController()

  /** `provide` returns keys or a promise of them; `use` is called with new keys, and throws if they are unusable. */
  constructor(provide, use) {
    this.#provide = provide
    this.#use = use
  }

  /**
   * The outcome of `attempt(timeoutMs)`, which is made with the keys in use. If the platform refuses these and the function
   * provides others, a second attempt is made with those. `undefined` where the signal or `close` ended the call.
   */
  async call(attempt, timeoutMs, signal) {
    if (this.#isClosed) return undefined
    const outcome = this.#attemptTwice(attempt, timeoutMs, signal ? [signal] : [])
    this.#calls.add(outcome)
    try {
      return await outcome
    } finally {
      this.#calls.delete(outcome)
    }
  }

  /** Takes no more calls; resolves when those under way have ended. */
  async close() {
    this.#isClosed = true
    await Promise.allSettled(this.#calls)
    this.endCalls()
  }

  /** Ends every wait for keys, and uses no others. */
  endCalls() {
    this.#end.abort()
  }

  async #attemptTwice(attempt, timeoutMs, signals) {
    const deadline = performance.now() + timeoutMs
    const left = () => Math.max(1, Math.ceil(deadline - performance.now()))
    const keys = await this.#keysOtherThan(undefined, left(), signals).catch(async error => {
      // The native client has no keys yet, and counts the call as a failure.
      await attempt(left())
      throw error
    })
    if (keys === ABORTED) return undefined
    const first = await attempt(left())
    if (first.error?.code !== 'ERR_XKIT_INVALID_API_KEY') return first
    let others
    try {
      others = await this.#keysOtherThan(keys, left(), signals)
    } catch (cause) {
      first.error.cause = cause
      return first
    }
    if (others === keys) return first
    return others === ABORTED ? undefined : addAttempts(await attempt(left()), first.attempts)
  }

  /** Keys other than `refused`, or these again if the function provides no others. Rejects with an error of this caller. */
  async #keysOtherThan(refused, ms, signals) {
    const ends = [...signals, this.#end.signal]
    if (ends.some(({ aborted }) => aborted)) return ABORTED
    if (this.#keys !== refused) return this.#keys
    // All callers share one run of the function.
    this.#pending ??= this.#replaceKeys().finally(() => {
      this.#pending = undefined
    })
    const keys = await within(this.#pending, ms, ends).catch(cause => {
      throw noKeys(cause)
    })
    if (keys === LATE) throw lateKeys(ms)
    return keys
  }

  async #replaceKeys() {
    const provided = ownFields('credentials()', await this.#provide(), KEYS)
    const keys = { __proto__: null }
    for (const name of KEYS) keys[name] = requireText(`credentials().${name}`, provided[name])
    const isNew = KEYS.some(name => this.#keys?.[name] !== keys[name])
    if (isNew && !this.#end.signal.aborted) {
      this.#use(keys)
      this.#keys = keys
    }
    return this.#keys
  }
}

/** Adds those of an earlier attempt. */
function addAttempts(outcome, attempts) {
  outcome.attempts += attempts
  if (outcome.error !== undefined) outcome.error.attempts += attempts
  return outcome
}

function lateKeys(ms) {
  return toError({
    className: 'XkitNetworkError',
    code: 'ERR_XKIT_TIMEOUT',
    message: `The function credentials provided no keys within ${Math.round(ms)} ms`,
    retryable: true,
    attempts: 0,
  })
}

function noKeys(cause) {
  return toError({
    className: 'XkitError',
    code: 'ERR_XKIT_MISSING_CREDENTIALS',
    message: 'The function credentials provided no usable keys: the cause says why',
    // A TypeError reports a wrong pair of keys, which the same function would return again.
    retryable: cause?.name !== 'TypeError',
    attempts: 0,
    cause,
  })
}

module.exports = { Credentials }
