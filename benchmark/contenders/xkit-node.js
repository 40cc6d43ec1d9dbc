// Owns this package as a contender, as it is published and with its defaults: time limits, retries and the sharing of
// requests are on.
'use strict'

const { XkitClient } = require('xkit-node')

function open({ baseUrl, publishableKey, secretKey, ca, cache }) {
  const client = new XkitClient({ baseUrl, publishableKey, secretKey, ca, cache })
  return {
    getAccessToken: (id, slug) => client.getAccessToken(id, slug),
    close: () => client.close(),
  }
}

module.exports = { open }
