// Owns the smallest cache that one could write: an lru-cache that holds the token strings and nothing else. It asks nobody.
'use strict'

const { LRUCache } = require('lru-cache')

const { token } = require('../platform.js')

function open({ cache: { maxEntries, ttlMs } }) {
  const tokens = new LRUCache({ max: maxEntries, ttl: ttlMs })

  async function getAccessToken(id, slug) {
    // A string of its own each time, as if it had just been read.
    const fetched = Buffer.from(token).toString('latin1')
    tokens.set(`${slug}/${id}`, fetched)
    return fetched
  }

  return { getAccessToken, close: async () => tokens.clear(), requests: () => 0 }
}

module.exports = { open }
