// Owns the careful memo that one would write by hand: promises in an lru-cache, failures dropped, undici behind it.
'use strict'

const { LRUCache } = require('lru-cache')

const undici = require('./undici.js')

// The limits of this package's own cache.
const TTL_MS = 60_000
const MAX_ENTRIES = 10_000

function open(settings) {
  const { getAccessToken: ask, close } = undici.open(settings)
  const tokens = new LRUCache({ max: MAX_ENTRIES, ttl: TTL_MS })

  // Not async, so that a hit costs no second promise.
  function getAccessToken(id, slug) {
    const key = `${slug}/${id}`
    const known = tokens.get(key)
    if (known !== undefined) return known
    const promise = ask(id, slug)
    tokens.set(key, promise)
    promise.catch(() => {
      if (tokens.peek(key) === promise) tokens.delete(key)
    })
    return promise
  }

  return { getAccessToken, close }
}

module.exports = { open }
