// Owns the platform of the soak: mostly it gives a token, sometimes late, and sometimes it fails.
'use strict'

const { once } = require('node:events')
const { createServer } = require('node:http')
const { Random } = require('./random.js')

const ENDINGS = { token: 80, unavailable: 5, unknown: 5, refused: 2, reset: 4, truncated: 4 }
const MOST_DELAY_MS = 15
const LONG_DELAY_MS = 400

const STATUS = { token: 200, unavailable: 503, unknown: 404, refused: 403, truncated: 200 }

function bodyOf(ending, owner) {
  if (ending === 'unknown') return JSON.stringify({ error: 'not found' })
  const authorization = { status: 'active', access_token: `token-of-${owner}` }
  return JSON.stringify({ connection: { enabled: true }, authorization })
}

async function startServer(seed) {
  const random = new Random(seed)
  let requests = 0
  const server = createServer((request, response) => {
    requests++
    const owner = request.url.split('/').at(-2)
    const ending = random.choose(ENDINGS)
    const delay = random.below(50) === 0 ? LONG_DELAY_MS : random.below(MOST_DELAY_MS)
    setTimeout(() => {
      if (ending === 'reset') return request.socket.destroy()
      const body = bodyOf(ending, owner)
      response.writeHead(STATUS[ending], {
        'content-type': 'application/json',
        'content-length': body.length,
      })
      if (ending !== 'truncated') return response.end(body)
      response.write(body.slice(0, 20))
      setImmediate(() => request.socket.destroy())
    }, delay)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    baseUrl: `http://127.0.0.1:${server.address().port}`,
    requests: () => requests,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

module.exports = { startServer }
