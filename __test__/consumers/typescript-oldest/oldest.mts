// The least TypeScript that the typings compile with, every library checked: both modules, and a test that is run.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Connection, ConnectionUnavailableError, isXkitError, XkitClient } from 'xkit-node'
import { type EmulatorOptions, startEmulator } from 'xkit-node/emulator'

const options: EmulatorOptions = {
  users: { u1: { slack: { accessToken: 'xoxb-test', expiresIn: undefined } } },
}

test('gives a token, or an error that tells where to send the user', async () => {
  await using emulator = await startEmulator(options)
  const { baseUrl, catalogUrl, publishableKey, secretKey } = emulator
  await using xkit = new XkitClient<'slack' | 'github'>({ baseUrl, catalogUrl, publishableKey, secretKey })

  const connection: Connection = await xkit.getConnection('u1', 'slack')
  assert.equal(connection.status === 'active' && connection.accessToken, 'xoxb-test')
  await assert.rejects(xkit.getAccessToken('u1', 'github'), (error: unknown) => {
    assert(isXkitError(error) && error instanceof ConnectionUnavailableError)
    return error.connectUrl === `${catalogUrl}/connectors/github`
  })
})
