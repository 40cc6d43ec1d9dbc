import { XkitClient } from 'xkit-node'
import { startEmulator } from 'xkit-node/emulator'

const emulator = await startEmulator({ users: { u1: { github: {} } } })
const { baseUrl, publishableKey, secretKey } = emulator
const xkit = new XkitClient({ baseUrl, publishableKey, secretKey, cache: true })
const user = async () => (await xkit.fetch('u1', 'github', `${emulator.serviceUrl}/github/user`)).status

console.log(await user())
emulator.revokeToken('u1', 'github') // the service refuses it, the platform has a new one
console.log(await user())
emulator.revokeToken('u1', 'github', { keepHandingOut: true }) // the platform does not notice
console.log(await user())
console.log(emulator.serviceRequests.map(({ status }) => status).join(' '))

await xkit.close()
await emulator.close()
