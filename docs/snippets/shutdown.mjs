import { once } from 'node:events'
import { createServer } from 'node:http'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient()
const server = createServer((_request, response) => {
  xkit.getConnection('some-user-id', 'slack').then(
    ({ status }) => response.end(status),
    () => response.writeHead(503).end(),
  )
})
server.listen(0, '127.0.0.1')

process.once('SIGTERM', async () => {
  server.close()
  await once(server, 'close') // no new requests, and those under way are answered
  await xkit.close() // resolves when the client's calls are over
})
