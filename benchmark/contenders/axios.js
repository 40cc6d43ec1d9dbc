// Owns the contender that the platform documents: one axios instance with the keys, one get per token.
'use strict'

const axios = require('axios')

function open({ baseUrl, publishableKey, secretKey }) {
  // As documented, but for two slips that keep the printed example from working: the option is baseURL, and the
  // answer is the response's data. The agent is the default one, which keeps connections alive.
  const xkit = axios.create({
    baseURL: baseUrl,
    auth: { username: publishableKey, password: secretKey },
  })

  async function getAccessToken(id, slug) {
    const { data } = await xkit.get(`/connections/${id}/${slug}`)
    const { connection, authorization } = data
    if (!connection.enabled || authorization.status !== 'active') throw new Error('No active connection')
    return authorization.access_token
  }

  return { getAccessToken, close: async () => {} }
}

module.exports = { open }
