import { XkitClient } from 'xkit-node'
import { startEmulator } from 'xkit-node/emulator'

const emulator = await startEmulator({ users: { u1: { slack: {} } } })
const { baseUrl, publishableKey, secretKey } = emulator
const xkit = new XkitClient({ baseUrl, publishableKey, secretKey, timeoutMs: 1000 })
const outcome = () =>
  xkit.getAccessToken('u1', 'slack').then(
    () => 'a token',
    error => error.code,
  )

emulator.failNext({ status: 503 }) // once: a retry mends it
console.log(await outcome())
emulator.failNext({ status: 503, times: 3 }) // a call and both of its retries
console.log(await outcome())
emulator.failNext({ status: 429, retryAfter: 3600 })
console.log(await outcome())
emulator.failNext({ fault: 'reset', times: 3 })
console.log(await outcome())
emulator.failNext({ fault: 'stall' }) // until timeoutMs is over
console.log(await outcome())
emulator.failNext({ status: 401 })
console.log(await outcome())

await xkit.close()
await emulator.close()
