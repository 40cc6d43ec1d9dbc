// Owns the platform of the leak test, in a process of its own: the path says how a call is to be treated.
'use strict'

const http = require('node:http')
const { activeBody } = require('../support/rigs.js')

const [BEFORE_TOKEN, AFTER_TOKEN] = activeBody('the-token').split('the-token')

const FAULTS = {
  reset: request => request.socket.resetAndDestroy(),
  truncate(request, response) {
    response.writeHead(200, { 'content-length': 1000 })
    response.write('{"connection":{"enabled":true}', () => request.socket.destroy())
  },
  unavailable: (_request, response) => response.writeHead(503).end(),
  stall: () => {},
  abort: () => {},
}

const server = http.createServer((request, response) => {
  const [, , user] = request.url.split('/')
  const fault = FAULTS[user.split('-')[0]]
  if (fault !== undefined) return fault(request, response)
  const body = `${BEFORE_TOKEN}token-of-${user}${AFTER_TOKEN}`
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length })
  response.end(body)
})
server.listen(0, '127.0.0.1', () => process.send(server.address().port))
// Ends with the process that started it.
process.on('disconnect', () => process.exit())
