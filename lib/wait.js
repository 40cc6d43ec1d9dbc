// Owns waiting until an owner has connected: when to poll the platform, who shares a poll, and what ends a wait.
'use strict'

// Not the globals, which tests replace by fakes.
const { clearTimeout, setTimeout } = require('node:timers')
const { follow, reasonOf } = require('./abort.js')
const { XkitNetworkError, isXkitError } = require('./errors.js')

const DEFAULT_TIMEOUT_MS = 300_000
const MIN_PAUSE_MS = 1000
const MAX_PAUSE_MS = 5000
const PAUSE_GROWTH = 1.5

/** Calls back after `ms`; returns a function that cancels it. */
function after(ms, callback) {
  const timer = setTimeout(callback, ms)
  return () => clearTimeout(timer)
}

/** The polls for one connection. There is at most one at a time, however many callers wait. */
class Wait {
  #ask
  #after
  #waiters = new Set()
  #pauseMs = MIN_PAUSE_MS
  /** The AbortController of the poll under way. */
  #poll
  #polls = 0
  #cancelPause
  /** Whether a webhook may start a poll at once: one per pause, so that many of them are no flood of requests. */
  #mayHurry = true
  #isWoken = false
  #connection
  #error

  /** `ask(signal)` resolves with the connection as it is now. */
  constructor(ask, after) {
    this.#ask = ask
    this.#after = after
  }

  get isIdle() {
    return this.#waiters.size === 0
  }

  /** Resolves with `{ connection }`, `{ error }` or the `{ reason }` of the signal; never rejects. */
  join(signal, timeoutMs) {
    return new Promise(resolve => {
      const waiter = {}
      const leave = outcome => {
        cancelLimit()
        unwatch?.()
        this.#waiters.delete(waiter)
        if (this.isIdle) this.#stop()
        resolve(outcome)
      }
      waiter.leave = leave
      const cancelLimit = this.#after(timeoutMs, () => leave(this.#last(timeoutMs)))
      const unwatch = signal && follow(signal, () => leave({ reason: reasonOf(signal) }))
      this.#waiters.add(waiter)
      if (this.#poll === undefined && this.#cancelPause === undefined) this.#askAgain()
      else this.wake()
    })
  }

  /** Something may have changed: asks now, or as soon as that is fair. */
  wake() {
    if (this.#poll === undefined && this.#mayHurry) this.#hurry()
    else this.#isWoken = true
  }

  /** Asks now, whatever was before. */
  askNow() {
    if (this.#poll === undefined) this.#askAgain()
  }

  #hurry() {
    this.#mayHurry = false
    this.#pauseMs = MIN_PAUSE_MS
    this.#askAgain()
  }

  async #askAgain() {
    this.#cancelPause?.()
    this.#cancelPause = undefined
    const poll = new AbortController()
    this.#poll = poll
    this.#isWoken = false
    this.#polls += 1
    const outcome = await this.#ask(poll.signal).then(
      connection => ({ connection }),
      error => ({ error }),
    )
    // Nobody waits any more, or another poll was begun since for those who came later.
    if (this.#poll !== poll) return
    this.#poll = undefined
    this.#take(outcome)
  }

  #take({ connection, error }) {
    if (connection !== undefined) this.#connection = connection
    this.#error = error
    const isOver = connection?.status === 'active' || (error !== undefined && !isPassing(error))
    if (isOver) {
      for (const { leave } of [...this.#waiters]) leave({ connection, error })
      return
    }
    if (this.#isWoken && this.#mayHurry) this.#hurry()
    else this.#pause(error?.retryAfterMs ?? 0)
  }

  #pause(leastMs) {
    const ms = Math.max(this.#isWoken ? MIN_PAUSE_MS : this.#pauseMs, leastMs)
    this.#pauseMs = Math.min(this.#pauseMs * PAUSE_GROWTH, MAX_PAUSE_MS)
    this.#cancelPause = this.#after(ms, () => {
      this.#mayHurry = true
      this.#askAgain()
    })
  }

  /** What is known at the limit: the last state, or why there is none. */
  #last(timeoutMs) {
    if (this.#connection !== undefined) return { connection: this.#connection }
    if (this.#error !== undefined) return { error: this.#error }
    const message = `The platform did not answer within ${timeoutMs} ms: wait again, or raise timeoutMs`
    const failure = { message, code: 'ERR_XKIT_TIMEOUT', retryable: true, attempts: this.#polls }
    return { error: new XkitNetworkError(failure) }
  }

  #stop() {
    this.#cancelPause?.()
    this.#cancelPause = undefined
    this.#poll?.abort()
    this.#poll = undefined
  }
}

/** An outage is no answer: whoever waits goes on waiting. */
function isPassing(error) {
  return isXkitError(error) && error.retryable
}

/** Clients with somebody who waits. A webhook reaches one of them, and is news to all. */
const waitingClients = new Set()

/** The waits of one client. */
class Waits {
  /** By the owner's id, then by slug and kind: a webhook names no kind. */
  #byKey = new Map()
  #after

  constructor(afterMs = after) {
    this.#after = afterMs
  }

  /** Resolves once the connection is active, or with its last state when the time is over. `ask(signal)` polls it. */
  async until({ kind, id }, slug, { signal, timeoutMs = DEFAULT_TIMEOUT_MS }, ask) {
    if (signal?.aborted) throw reasonOf(signal)
    const key = JSON.stringify([kind, id, slug])
    let wait = this.#byKey.get(key)?.wait
    if (wait === undefined) {
      wait = new Wait(ask, this.#after)
      this.#byKey.set(key, { id, slug, wait })
      waitingClients.add(this)
    }
    const outcome = await wait.join(signal, timeoutMs)
    if (wait.isIdle && this.#byKey.get(key)?.wait === wait) this.#byKey.delete(key)
    if (this.#byKey.size === 0) waitingClients.delete(this)
    if (outcome.connection !== undefined) return outcome.connection
    throw 'reason' in outcome ? outcome.reason : renewed(outcome.error)
  }

  wake(id, slug) {
    for (const entry of this.#byKey.values()) if (entry.id === id && entry.slug === slug) entry.wait.wake()
  }

  /** Has everybody hear at once that the client was closed. */
  end() {
    for (const { wait } of this.#byKey.values()) wait.askNow()
  }
}

/** The same failure with the caller's own stack, since several callers may share a poll. */
function renewed(error) {
  if (!isXkitError(error)) return error
  const { message, code, retryable, attempts, cause, status, requestId, retryAfterMs } = error
  return new error.constructor({ message, code, retryable, attempts, cause, status, requestId, retryAfterMs })
}

/** A webhook told that something happened to this connection. */
function wakeWaits(id, slug) {
  for (const waits of waitingClients) waits.wake(id, slug)
}

module.exports = { Waits, wakeWaits }
