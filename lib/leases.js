// Owns the tokens that were handed out a moment ago, so that a cached one costs no way into native code.
'use strict'

// The native cache decides what is valid, by clocks that JavaScript does not have. What it hands out is taken as
// valid for so long, and asked for again then.
const MAX_LEASE_MS = 1000
const MAX_LEASES = 10_000

class Leases {
  #bySlug = new Map()
  #size = 0
  /** The lease that was asked for last, which often is the one that is asked for next. */
  #latest

  /** The promise of the token, if there is a lease. A wall clock that was set in either direction ends it. */
  get(id, slug) {
    let lease = this.#latest
    if (lease === undefined || lease.id !== id || lease.slug !== slug) {
      lease = this.#bySlug.get(slug)?.get(id)
      if (lease === undefined) return undefined
      this.#latest = lease
    }
    const now = Date.now()
    return now >= lease.from && now < lease.until ? lease.promise : undefined
  }

  put(id, slug, token, validForMs) {
    if (this.#size >= MAX_LEASES) {
      this.#bySlug.clear()
      this.#size = 0
    }
    let byId = this.#bySlug.get(slug)
    if (byId === undefined) {
      byId = new Map()
      this.#bySlug.set(slug, byId)
    }
    if (!byId.has(id)) this.#size++
    const from = Date.now()
    const until = from + Math.min(validForMs, MAX_LEASE_MS)
    const lease = { id, slug, promise: Promise.resolve(token), from, until }
    byId.set(id, lease)
    this.#latest = lease
  }

  drop(id, slug) {
    this.#latest = undefined
    if (this.#bySlug.get(slug)?.delete(id)) this.#size--
  }
}

module.exports = { Leases }
