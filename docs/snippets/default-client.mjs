import { closeDefaultClient, getAccessToken } from 'xkit-node'
import { startEmulator } from 'xkit-node/emulator'

const emulator = await startEmulator({ users: { u1: { slack: { accessToken: 'xoxb-test' } } } })
process.env.XKIT_BASE_URL = emulator.baseUrl
process.env.XKIT_PUBLISHABLE_KEY = emulator.publishableKey
process.env.XKIT_SECRET_KEY = emulator.secretKey

console.log((await getAccessToken('u1', 'slack')).length)

await closeDefaultClient() // the next call builds another client, from the environment as it is then
await emulator.close()
