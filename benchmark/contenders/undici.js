// Owns the hand-tuned contender: an undici pool sized for the load, with everything that can be made once made once.
'use strict'

const { Pool } = require('undici')

/** As many as this package's own limit of requests at once: more sockets only cost more. */
const MAX_CONNECTIONS = 100

function open({ baseUrl, authorization, concurrency, http2 }) {
  const { origin, pathname } = new URL(baseUrl)
  // Over HTTP/2 undici sends as many streams at once as its pipelining allows.
  const tuning = http2
    ? { allowH2: true, connections: 1, pipelining: concurrency }
    : { connections: Math.min(concurrency, MAX_CONNECTIONS), pipelining: 1 }
  const pool = new Pool(origin, tuning)
  const headers = { authorization, accept: 'application/json' }

  async function getAccessToken(id, slug) {
    const path = `${pathname}/connections/${encodeURIComponent(id)}/${encodeURIComponent(slug)}`
    const { statusCode, body } = await pool.request({ method: 'GET', path, headers })
    const answer = await body.json()
    if (statusCode !== 200) throw new Error(`The platform answered ${statusCode}`)
    const { connection, authorization } = answer
    if (!connection.enabled || authorization.status !== 'active') throw new Error('No active connection')
    return authorization.access_token
  }

  return { getAccessToken, close: () => pool.close() }
}

module.exports = { open }
