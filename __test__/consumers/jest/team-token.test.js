// Tests code that uses the default client: it reads the environment at its first call, so that is set before.

const { startEmulator } = require('xkit-node/emulator')
const { teamToken } = require('./team-token.js')

let emulator

beforeAll(async () => {
  emulator = await startEmulator({ groups: { acme: { slack: { accessToken: 'xoxb-team' } } } })
  process.env.XKIT_BASE_URL = emulator.baseUrl
  process.env.XKIT_PUBLISHABLE_KEY = emulator.publishableKey
  process.env.XKIT_SECRET_KEY = emulator.secretKey
})

afterAll(() => emulator.close())

test('gives the token of a team', async () => {
  expect(await teamToken('acme')).toBe('xoxb-team')
})

test('rejects for a team that nobody knows', async () => {
  await expect(teamToken('unknown')).rejects.toMatchObject({ code: 'ERR_XKIT_NOT_PROVISIONED' })
})
