// Tests a function that needs Slack tokens, with the emulator in the place of the platform.
const { XkitClient, XkitApiError } = require('xkit-node')
const { startEmulator } = require('xkit-node/emulator')

// The code under test. In your project it is a module of its own.
async function slackToken(xkit, userId) {
  const connection = await xkit.getConnection(userId, 'slack')
  if (connection.status === 'active') return { token: connection.accessToken }
  return { redirectTo: connection.connectUrl }
}

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

test('gives the token of a user who is connected', async () => {
  expect(await slackToken(xkit, 'u1')).toEqual({ token: 'xoxb-test' })
  expect(emulator.requests).toEqual([
    { method: 'GET', path: '/api/platform/connections/u1/slack', status: 200 },
  ])
})

test('sends a user whose connection broke to the catalog', async () => {
  emulator.setConnection('u1', 'slack', { status: 'error' })
  expect(await slackToken(xkit, 'u1')).toEqual({ redirectTo: `${emulator.catalogUrl}/connectors/slack` })
})

test('does not send anybody to the catalog because of an outage', async () => {
  emulator.failNext({ status: 503, times: 3 })
  await expect(slackToken(xkit, 'u1')).rejects.toThrow(XkitApiError)
})
