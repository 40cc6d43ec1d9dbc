import { once } from 'node:events'
import { createServer } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { XkitClient } from 'xkit-node'
import { startEmulator } from 'xkit-node/emulator'

const emulator = await startEmulator({ users: { u1: { slack: {} } } })
const { baseUrl, publishableKey, secretKey } = emulator
const xkit = new XkitClient({ baseUrl, publishableKey, secretKey, cache: true })
const app = createServer(async (request, response) => {
  xkit.handleWebhook(await buffer(request))
  response.writeHead(204).end()
})
app.listen(0, '127.0.0.1')
await once(app, 'listening')
const hookUrl = `http://127.0.0.1:${app.address().port}/`

// #region send
await xkit.getAccessToken('u1', 'slack')
const event = { type: 'connection.disabled', owner: 'u1', slug: 'slack' }
const delivery = await emulator.sendWebhook(hookUrl, event, { attempts: 3 })
await xkit.getAccessToken('u1', 'slack') // the cached token is gone, so the platform is asked
console.log(delivery, emulator.requests.length)
// #endregion send

await xkit.close()
await emulator.close()
app.close()
