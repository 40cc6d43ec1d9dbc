import { startEmulator } from 'xkit-node/emulator'

const emulator = await startEmulator({ users: { u1: { slack: { accessToken: 'xoxb-test' } } } })
process.env.XKIT_BASE_URL = emulator.baseUrl
process.env.XKIT_PUBLISHABLE_KEY = emulator.publishableKey
process.env.XKIT_SECRET_KEY = emulator.secretKey

// Before the first call, that is: the functions build their client from the environment then, and keep it.
const { getAccessToken } = await import('xkit-node')
console.log((await getAccessToken('u1', 'slack')).length)

await emulator.close()
