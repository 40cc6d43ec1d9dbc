// Owns waiting until an owner has connected: when the platform is polled, which callers share a poll, and what ends a wait.
'use strict'

const { XkitNetworkError, copyError, isXkitError } = require('./errors.js')
const { ABORTED, LATE, after, reasonOf, within } = require('./limits.js')

const DEFAULT_TIMEOUT_MS = 300_000
const MIN_PAUSE_MS = 1000
const MAX_PAUSE_MS = 5000
const PAUSE_GROWTH = 1.5

/** The polls for one connection. There is at most one at a time, however many callers wait. */
class Wait {
  #poll
  #startTimer
  /** For each caller, the function that ends its wait. */
  #waiters = new Set()
  /** The AbortController of the poll under way. */
  #underWay
  #polls = 0
  #cancelPause
  #pauseMs = MIN_PAUSE_MS
  /** Whether a webhook may start a poll at once: one per pause, so that many webhooks cause no flood of requests. */
  #mayHurry = true
  /** Whether a webhook has arrived since the last poll began. */
  #isWoken = false
  #connection
  #error

  /** `poll(signal)` resolves with the connection as it is now. */
  constructor(id, slug, poll, startTimer) {
    this.id = id
    this.slug = slug
    this.#poll = poll
    this.#startTimer = startTimer
  }

  get isIdle() {
    return this.#waiters.size === 0
  }

  /** Resolves with `{ connection }` or `{ error }`; rejects with the reason of the signal. */
  async join(signal, timeoutMs) {
    let end
    const ended = new Promise(resolve => {
      end = resolve
    })
    this.#waiters.add(end)
    if (this.#underWay === undefined && this.#cancelPause === undefined) this.#pollAgain()
    else this.wake()
    const outcome = await within(ended, timeoutMs, signal ? [signal] : [], this.#startTimer)
    this.#waiters.delete(end)
    if (this.isIdle) this.#stop()
    if (outcome === ABORTED) throw reasonOf(signal)
    return outcome === LATE ? this.#lastOutcome(timeoutMs) : outcome
  }

  /** The connection may have changed: polls at once, or as soon as that is fair. */
  wake() {
    if (this.#underWay === undefined && this.#mayHurry) this.#hurry()
    else this.#isWoken = true
  }

  /** Polls at once, whatever came before. */
  pollNow() {
    if (this.#underWay === undefined) this.#pollAgain()
  }

  #hurry() {
    this.#mayHurry = false
    this.#pauseMs = MIN_PAUSE_MS
    this.#pollAgain()
  }

  async #pollAgain() {
    this.#cancelPause?.()
    this.#cancelPause = undefined
    const controller = new AbortController()
    this.#underWay = controller
    this.#isWoken = false
    this.#polls += 1
    const outcome = await this.#poll(controller.signal).then(
      connection => ({ connection }),
      error => ({ error }),
    )
    // Nobody waits any more, or a later caller has started another poll.
    if (this.#underWay !== controller) return
    this.#underWay = undefined
    this.#proceed(outcome)
  }

  #proceed({ connection, error }) {
    if (connection !== undefined) this.#connection = connection
    this.#error = error
    if (connection?.status === 'active' || (error !== undefined && !isTransient(error))) {
      for (const end of this.#waiters) end({ connection, error })
    } else if (this.#isWoken && this.#mayHurry) this.#hurry()
    else this.#pause(error?.retryAfterMs ?? 0)
  }

  #pause(minimumMs) {
    const ms = Math.max(this.#isWoken ? MIN_PAUSE_MS : this.#pauseMs, minimumMs)
    this.#pauseMs = Math.min(this.#pauseMs * PAUSE_GROWTH, MAX_PAUSE_MS)
    this.#cancelPause = this.#startTimer(ms, () => {
      this.#mayHurry = true
      this.#pollAgain()
    })
  }

  /** The last state of the connection, or the reason why none is known. */
  #lastOutcome(timeoutMs) {
    if (this.#connection !== undefined) return { connection: this.#connection }
    if (this.#error !== undefined) return { error: this.#error }
    const message = `The platform did not answer within ${timeoutMs} ms: wait again, or raise timeoutMs`
    const failure = { message, code: 'ERR_XKIT_TIMEOUT', retryable: true, attempts: this.#polls }
    return { error: new XkitNetworkError(failure) }
  }

  #stop() {
    this.#cancelPause?.()
    this.#cancelPause = undefined
    this.#underWay?.abort()
    this.#underWay = undefined
  }
}

/** During an outage, callers go on waiting. */
function isTransient(error) {
  return isXkitError(error) && error.retryable
}

/** Those of all clients: a webhook that one client receives is news to each of them. */
const waitsUnderWay = new Set()

/** The waits of one client. */
class Waits {
  #byConnection = new Map()
  #startTimer

  constructor(startTimer = after) {
    this.#startTimer = startTimer
  }

  /** Resolves with the connection once it is active, or with its last state at the limit. `poll(signal)` asks for it. */
  async until({ kind, id }, slug, { signal, timeoutMs = DEFAULT_TIMEOUT_MS }, poll) {
    if (signal?.aborted) throw reasonOf(signal)
    const key = JSON.stringify([kind, id, slug])
    const wait = this.#byConnection.get(key) ?? new Wait(id, slug, poll, this.#startTimer)
    this.#byConnection.set(key, wait)
    waitsUnderWay.add(wait)
    try {
      const { connection, error } = await wait.join(signal, timeoutMs)
      if (connection !== undefined) return connection
      // Callers that share a poll each get an error with a stack of their own.
      throw isXkitError(error) ? copyError(error, error.cause) : error
    } finally {
      if (wait.isIdle) {
        waitsUnderWay.delete(wait)
        if (this.#byConnection.get(key) === wait) this.#byConnection.delete(key)
      }
    }
  }

  /** Polls for every wait: on a closed client, each of them then rejects. */
  end() {
    for (const wait of this.#byConnection.values()) wait.pollNow()
  }
}

/** Wakes the waits for this connection. A webhook does not say of which kind the owner is. */
function wakeWaits(id, slug) {
  for (const wait of waitsUnderWay) if (wait.id === id && wait.slug === slug) wait.wake()
}

module.exports = { Waits, wakeWaits }
