/**
 * Tests a server's code in a project whose tests run in jsdom: bytes, errors and globals are of another realm there.
 *
 * @jest-environment jsdom
 */

const { ConnectionUnavailableError, XkitClient } = require('xkit-node')
const { startEmulator } = require('xkit-node/emulator')
const { slackToken } = require('./slack-token.js')

let emulator
let xkit

beforeEach(async () => {
  emulator = await startEmulator({ users: { u1: { slack: { accessToken: 'xoxb-test' } } } })
  const { baseUrl, catalogUrl, publishableKey, secretKey } = emulator
  xkit = new XkitClient({ baseUrl, catalogUrl, publishableKey, secretKey })
})

afterEach(async () => {
  await xkit.close()
  await emulator.close()
})

test('gives a token, or an error of the realm of the tests', async () => {
  expect(typeof document).toBe('object')
  expect(await slackToken(xkit, 'u1')).toEqual({ token: 'xoxb-test' })
  const failure = xkit.getAccessToken('u2', 'slack')
  await expect(failure).rejects.toThrow(ConnectionUnavailableError)
  await expect(failure).rejects.toBeInstanceOf(Error)
})

test('reads a webhook from the bytes of jsdom', () => {
  const event = { event_type: 'x', payload: { connector: { slug: 'slack' }, context: { external_id: 'u1' } } }
  const bytes = Uint8Array.from([...JSON.stringify(event)].map(character => character.codePointAt(0)))

  expect(Buffer.from('')).not.toBeInstanceOf(Uint8Array)
  expect(xkit.handleWebhook(bytes)).toEqual({ type: 'x', ownerId: 'u1', slug: 'slack' })
})
