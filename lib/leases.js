// Owns tokens that were served from the native cache a moment ago, so that the next call for one needs no native call.
'use strict'

// Not the globals, which tests replace by fakes.
const { clearInterval, setInterval } = require('node:timers')

// As it was when the package was loaded: a torn-down jest environment has none.
const wallClock = Date.now

const SWEEP_MS = 100

/**
 * Leases of one client by owner and slug. Native code ends them, all at once: `discards[0]` is a counter that changes when its
 * cache discards a token, and when the first lease reaches its end, by a clock that no test replaces. With the time to the next
 * sweep, no token is held for more than a second. What JavaScript looks at besides is whether the wall clock was set, or the
 * machine suspended.
 */
class Leases {
  #discards
  /** The counter at the last look. */
  #seen
  /** By the owner's kind, then by slug, then by id. */
  #kinds = { user: new Map(), group: new Map(), context: new Map() }
  #sweeper

  constructor(discards) {
    this.#discards = discards
    this.#seen = discards[0]
  }

  /** The promise of the token, if there is a lease. */
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
   * Begins a lease on a token that native code has just served, to a call that followed a `get`: what was discarded since
   * that `get` ends the lease.
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
    // One for all, and only while there are any, so that an idle client costs nothing.
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

/** A wall clock that was set in either direction ends a lease. */
function isValid({ from, until }) {
  const now = wallClock()
  return now >= from && now < until
}

module.exports = { Leases }
