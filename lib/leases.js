// Owns the tokens that were handed out a moment ago, so that a cached one costs no way into native code.
'use strict'

// Not the globals, which tests replace by fakes.
const { clearInterval, setInterval } = require('node:timers')

// The native cache decides what is valid, by clocks that JavaScript does not have. What it hands out is taken as
// valid for so long, and asked for again then. With the time to the next sweep, no token is held for over a second.
const MAX_LEASE_MS = 900
const SWEEP_MS = 100
const MAX_LEASES = 10_000

const isOver = ({ from, until }, now) => now < from || now >= until

/**
 * Leases by owner and slug, of one client. They are of tokens that the native cache still has: it puts out what was asked
 * for longest ago, so that this is sure as long as no more connections than it has room for were leased or fetched since
 * the oldest lease began. When there are more, all leases end.
 */
class Leases {
  #maxEntries
  /** By the owner's kind, then by slug, then by id. */
  #kinds = [new Map(), new Map(), new Map()]
  #size = 0
  /** Connections that were fetched since there are leases. */
  #fetched = 0
  /** The lease that was asked for last, which often is the one that is asked for next. */
  #latest
  #sweeper

  constructor(maxEntries = MAX_LEASES) {
    this.#maxEntries = Math.min(maxEntries, MAX_LEASES)
  }

  /** The promise of the token, if there is a lease. A wall clock that was set in either direction ends it. */
  get(kind, id, slug) {
    let lease = this.#latest
    if (lease === undefined || lease.id !== id || lease.slug !== slug || lease.kind !== kind) {
      lease = this.#kinds[kind].get(slug)?.get(id)
      if (lease === undefined) return undefined
      this.#latest = lease
    }
    return isOver(lease, Date.now()) ? undefined : lease.promise
  }

  /** Begins a lease on a token that came from the native cache. */
  put(kind, id, slug, token, validForMs) {
    this.drop(kind, id, slug)
    if (this.#size + this.#fetched >= this.#maxEntries) this.clear()
    const bySlug = this.#kinds[kind]
    let byId = bySlug.get(slug)
    if (byId === undefined) {
      byId = new Map()
      bySlug.set(slug, byId)
    }
    const from = Date.now()
    const until = from + Math.min(validForMs, MAX_LEASE_MS)
    const lease = { kind, id, slug, promise: Promise.resolve(token), from, until }
    byId.set(id, lease)
    this.#size++
    this.#latest = lease
    // One for all, and only while there are any, so that an idle client costs nothing.
    this.#sweeper ??= setInterval(() => this.#sweep(), SWEEP_MS).unref()
  }

  /** A connection was fetched: it may have put another one out of the native cache. */
  countFetch() {
    if (this.#size > 0 && this.#size + ++this.#fetched > this.#maxEntries) this.clear()
  }

  drop(kind, id, slug) {
    this.#latest = undefined
    if (this.#kinds[kind].get(slug)?.delete(id)) this.#size--
  }

  clear() {
    this.#latest = undefined
    for (const bySlug of this.#kinds) bySlug.clear()
    this.#size = 0
    this.#fetched = 0
    clearInterval(this.#sweeper)
    this.#sweeper = undefined
  }

  #sweep() {
    const now = Date.now()
    for (const bySlug of this.#kinds) {
      for (const [slug, byId] of bySlug) {
        for (const [id, lease] of byId) if (isOver(lease, now) && byId.delete(id)) this.#size--
        if (byId.size === 0) bySlug.delete(slug)
      }
    }
    this.#latest = undefined
    if (this.#size === 0) this.clear()
  }
}

module.exports = { Leases }
