// Owns a server that is some way off: it answers over TLS after a delay. Run as a process; ends with its input.
'use strict'

const { readFileSync } = require('node:fs')
const { createServer } = require('node:https')
const path = require('node:path')

const { authorization, body } = require('./platform.js')

const [folder, delayMs] = process.argv.slice(2)
const read = name => readFileSync(path.join(folder, name))

let requests = 0
const server = createServer({ cert: read('cert.pem'), key: read('key.pem') }, (request, response) => {
  if (request.url === '/requests') return response.end(String(requests))
  requests++
  const isAllowed = request.headers.authorization === authorization
  setTimeout(() => {
    response.writeHead(isAllowed ? 200 : 401, { 'content-type': 'application/json' })
    response.end(isAllowed ? body : '{}')
  }, Number(delayMs))
})
server.keepAliveTimeout = 75_000
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
process.stdin.resume().on('end', () => process.exit(0))
