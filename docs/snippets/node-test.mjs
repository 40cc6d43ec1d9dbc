import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { XkitClient } from 'xkit-node'
import { startEmulator } from 'xkit-node/emulator'

let emulator
let xkit

before(async () => {
  emulator = await startEmulator({ users: { u1: { slack: { accessToken: 'xoxb-test' } } } })
  const { baseUrl, catalogUrl, publishableKey, secretKey } = emulator
  xkit = new XkitClient({ baseUrl, catalogUrl, publishableKey, secretKey })
})
after(async () => {
  await xkit.close()
  await emulator.close()
})
beforeEach(() => emulator.reset()) // to the seed: no state, failure or request of another test is left

test('gives the token of a user who is connected', async () => {
  assert.equal(await xkit.getAccessToken('u1', 'slack'), 'xoxb-test')
  assert.deepEqual(emulator.requests, [
    { method: 'GET', path: '/api/platform/connections/u1/slack', status: 200 },
  ])
})

test('says where to connect', async () => {
  emulator.setConnection('u1', 'slack', { enabled: false })
  const connection = await xkit.getConnection('u1', 'slack')
  assert.equal(connection.connectUrl, `${emulator.catalogUrl}/connectors/slack`)
})
