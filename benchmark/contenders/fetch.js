// Owns the contender without any dependency: Node's global fetch, with the header and the prefix made once.
'use strict'

function open({ baseUrl, authorization }) {
  const options = { headers: { authorization, accept: 'application/json' } }

  async function getAccessToken(id, slug) {
    const url = `${baseUrl}/connections/${encodeURIComponent(id)}/${encodeURIComponent(slug)}`
    const response = await fetch(url, options)
    const answer = await response.json()
    if (!response.ok) throw new Error(`The platform answered ${response.status}`)
    const { connection, authorization } = answer
    if (!connection.enabled || authorization.status !== 'active') throw new Error('No active connection')
    return authorization.access_token
  }

  return { getAccessToken, close: async () => {} }
}

module.exports = { open }
