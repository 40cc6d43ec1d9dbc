import { createHash, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })
const PATH = `/webhooks/xkit/${process.env.WEBHOOK_SECRET}`
const digest = text => createHash('sha256').update(text).digest()

const server = createServer(async (request, response) => {
  if (!timingSafeEqual(digest(request.url), digest(PATH))) return response.writeHead(404).end()
  const body = await buffer(request)
  try {
    // #region handle
    const { type, ownerId, slug } = xkit.handleWebhook(body) // a string, a Buffer, or the parsed object
    // #endregion handle
    console.log(type, slug)
    response.writeHead(204).end()
  } catch {
    response.writeHead(400).end()
  }
})
server.listen(0, '127.0.0.1')
