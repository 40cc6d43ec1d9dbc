// Owns leases: tokens that the native cache has just served, so that the next call for one needs no native call.
'use strict'

// Not the globals, which fake timers replace.
const { clearInterval, setInterval } = require('node:timers')

// Read when the package is loaded: a jest environment that was torn down has none.
const wallClock = Date.now

const SWEEP_MS = 100

/**
 * The leases of one client by owner and slug. Native code ends them all at once through the counter `discards[0]`: it changes when
 * the cache discards a token, and when the first lease expires by a clock that no test replaces. Including the time to the
 * next sweep, no lease lives longer than a second. JavaScript only adds a check for a wall clock that was set, or a machine
 * that was suspended.
 */
class Leases {
  #discards
  /** The counter when it was last read. */
  #seen
  /** By the owner's kind, then by slug, then by id. */
  #kinds = { user: new Map(), group: new Map(), context: new Map() }
  #sweeper

  constructor(discards) {
    this.#discards = discards
    this.#seen = discards[0]
  }

  /** The promise of the token; `undefined` without a valid lease. */
  get(kind, id, slug) {
    if (this.#seen !== this.#discards[0]) {
      this.clear()
      this.#seen = this.#discards[0]
      return undefined
    }
    const lease = this.#kinds[kind].get(slug)?.get(id)
    return lease !== undefined && isValid(lease) ? lease.promise : undefined
  }

  /**
   * Adds a lease on a token that native code has just served. The call has used `get` before: a token discarded since then ends
   * this lease at the next `get`.
   */
  put(kind, id, slug, token, validForMs) {
    const bySlug = this.#kinds[kind]
    let byId = bySlug.get(slug)
    if (byId === undefined) {
      byId = new Map()
      bySlug.set(slug, byId)
    }
    const from = wallClock()
    byId.set(id, { promise: Promise.resolve(token), from, until: from + validForMs })
    // One timer for all leases, and none without leases: an idle client costs nothing.
    this.#sweeper ??= setInterval(() => this.#sweep(), SWEEP_MS).unref()
  }

  clear() {
    for (const bySlug of Object.values(this.#kinds)) bySlug.clear()
    clearInterval(this.#sweeper)
    this.#sweeper = undefined
  }

  #sweep() {
    if (this.#seen !== this.#discards[0]) this.clear()
  }
}

/** Setting the wall clock in either direction ends a lease. */
function isValid({ from, until }) {
  const now = wallClock()
  return now >= from && now < until
}

module.exports = { Leases }
