import { XkitClient } from 'xkit-node'
import { startEmulator } from 'xkit-node/emulator'

const emulator = await startEmulator({ catalogPath: '/integrations/{slug}', users: { u1: {} } })
const { baseUrl, catalogUrl, publishableKey, secretKey } = emulator
const xkit = new XkitClient({ baseUrl, catalogUrl, publishableKey, secretKey })

const { connectUrl } = await xkit.getConnection('u1', 'slack')
console.log(new URL(connectUrl).pathname, (await fetch(connectUrl)).status)

await xkit.close()
await emulator.close()
