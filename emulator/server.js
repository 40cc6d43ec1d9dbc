// Owns the sockets: one loopback listener for the API and the catalog, and an end that leaves none of them open.
'use strict'

const { createServer } = require('node:http')

const HOST = '127.0.0.1'
// Above the idle time of common client pools: with Node's 5 s, a client would meet resets that nobody asked for.
const KEEP_ALIVE_MS = 65_000

function listen(server, port) {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, HOST, () => {
      server.off('error', reject)
      resolve(server.address().port)
    })
  })
}

/** Rejects with Node's own error (`EADDRINUSE`, `EACCES`) if the port cannot be had. */
async function startServer(port, handle) {
  const sockets = new Set()
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, handle)
  server.on('connection', socket => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  const boundPort = await listen(server, port)
  let closed

  function close() {
    closed ??= new Promise(resolve => {
      server.close(() => resolve())
      // All of them, whatever they are doing: Node's own list leaves out a socket that left HTTP.
      for (const socket of sockets) socket.destroy()
    })
    return closed
  }

  return { origin: `http://${HOST}:${boundPort}`, close }
}

module.exports = { startServer }
