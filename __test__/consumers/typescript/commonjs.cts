// A CommonJS module: owners, options and errors, with `require` in every setting.

import assert = require('node:assert/strict')
import nodeTest = require('node:test')
import xkitNode = require('xkit-node')
import xkitEmulator = require('xkit-node/emulator')

const owner: xkitNode.ConnectionOwner = { group: 'acme' }
const options: xkitNode.CallOptions = { timeoutMs: 5000, fresh: true }

nodeTest.test('gives the token of a group', async () => {
  const groups: xkitEmulator.ConnectionSeeds = { acme: { slack: { accessToken: 'xoxb-team' } } }
  const emulator: xkitEmulator.Emulator = await xkitEmulator.startEmulator({ groups })
  const { baseUrl, publishableKey, secretKey } = emulator
  const xkit = new xkitNode.XkitClient({ baseUrl, publishableKey, secretKey, cache: { ttlMs: 1000 } })

  assert.equal(await xkit.getAccessToken(owner, 'slack', options), 'xoxb-team')
  assert.equal(await xkit.getGroupAccessToken('acme', 'slack'), 'xoxb-team')
  emulator.failNext({ status: 401 })
  await assert.rejects(xkit.getAccessToken(owner, 'slack', options), error => {
    return xkitNode.isXkitError(error) && error.code === 'ERR_XKIT_INVALID_API_KEY' && !error.retryable
  })

  await xkit.close()
  await emulator.close()
})
