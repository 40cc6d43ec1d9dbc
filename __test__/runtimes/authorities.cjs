// Owns what `tls.setDefaultCACertificates` means: it counts for clients that are made later, and for no other.
'use strict'

const assert = require('node:assert')
const { once } = require('node:events')
const https = require('node:https')
const tls = require('node:tls')
const { XkitClient } = require('xkit-node')

const { authority, identity, stranger } = JSON.parse(process.env.TEST_CERTIFICATES)
const BODY = JSON.stringify({
  connection: { enabled: true },
  connector: { slug: 'slack' },
  authorization: { status: 'active', access_token: 'xoxb-user' },
})

async function authorities() {
  const server = https.createServer(identity, (_request, response) => {
    response.setHeader('content-type', 'application/json')
    response.end(BODY)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const baseUrl = `https://127.0.0.1:${server.address().port}`
  const newClient = () => new XkitClient({ baseUrl, publishableKey: 'pk', secretKey: 'sk', proxy: false })
  const call = client => client.getAccessToken('u1', 'slack').catch(error => error.code)

  const first = newClient()
  tls.setDefaultCACertificates([...tls.getCACertificates('default'), authority])
  const second = newClient()
  tls.setDefaultCACertificates([stranger])
  const third = newClient()

  try {
    assert.strictEqual(await call(first), 'ERR_XKIT_TLS')
    assert.strictEqual(await call(second), 'xoxb-user')
    assert.strictEqual(await call(third), 'ERR_XKIT_TLS')
  } finally {
    server.close()
    server.closeAllConnections()
  }
  console.log('smoke test passed')
}

authorities()
