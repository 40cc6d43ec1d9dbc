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
  /** By the owner's id, the lease that was added last. Each one knows an earlier one of the same id. */
  #byId = new Map()
  #sweeper

  constructor(discards) {
    this.#discards = discards
    this.#seen = discards[0]
  }

  /** The promise of the token; `undefined` without a valid lease. */
  get(kind, id, slug) {
    if (this.#seen !== this.#discards[0]) this.clear()
    const lease = find(this.#byId.get(id), kind, slug)
    if (lease === undefined) return undefined
    // Setting the wall clock in either direction ends a lease.
    const now = wallClock()
    return now >= lease.from && now < lease.until ? lease.promise : undefined
  }

  /**
   * Adds a lease on a token that native code has just served. The call has used `get` before: a token discarded since then ends
   * this lease at the next `get`.
   */
  put(kind, id, slug, token, validForMs) {
    const promise = Promise.resolve(token)
    const from = wallClock()
    const until = from + validForMs
    const earlier = this.#byId.get(id)
    const lease = find(earlier, kind, slug)
    if (lease === undefined) this.#byId.set(id, { kind, slug, promise, from, until, earlier })
    else Object.assign(lease, { promise, from, until })
    // One timer for all leases, and none without leases: an idle client costs nothing.
    this.#sweeper ??= setInterval(() => this.#sweep(), SWEEP_MS).unref()
  }

  clear() {
    this.#seen = this.#discards[0]
    this.#byId.clear()
    clearInterval(this.#sweeper)
    this.#sweeper = undefined
  }

  #sweep() {
    if (this.#seen !== this.#discards[0]) this.clear()
  }
}

function find(lease, kind, slug) {
  while (lease !== undefined && (lease.slug !== slug || lease.kind !== kind)) lease = lease.earlier
  return lease
}

module.exports = { Leases }
