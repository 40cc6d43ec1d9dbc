// An ES module: named imports, a union that narrows by its status, and slugs that cannot be mistyped.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Connection, ConnectionUnavailableError, XkitClient } from 'xkit-node'
import { startEmulator } from 'xkit-node/emulator'

function next(connection: Connection): string | undefined {
  return connection.status === 'active' ? connection.accessToken : connection.connectUrl
}

test('gives a token, or where to send the user', async () => {
  const emulator = await startEmulator({ users: { u1: { slack: { accessToken: 'xoxb-test' } } } })
  const { baseUrl, catalogUrl, publishableKey, secretKey } = emulator
  const xkit = new XkitClient<'slack' | 'github'>({ baseUrl, catalogUrl, publishableKey, secretKey })

  assert.equal(next(await xkit.getConnection('u1', 'slack')), 'xoxb-test')
  assert.equal(next(await xkit.getConnection('u1', 'github')), `${catalogUrl}/connectors/github`)
  // @ts-expect-error: no such slug
  await assert.rejects(xkit.getAccessToken('u1', 'slcak'), ConnectionUnavailableError)

  await xkit.close()
  await emulator.close()
})
