// Owns the sockets: one listener for the API and the catalog, and an end that leaves none of them open.
'use strict'

const { createServer } = require('node:http')
const { isIPv4, isIPv6 } = require('node:net')

/** Where nobody but this machine reaches it. */
const LOOPBACK = '127.0.0.1'
/** Addresses that stand for all of the machine, which no URL can name: with the one that can. */
const EVERYWHERE = { __proto__: null, '0.0.0.0': LOOPBACK, '::': '::1' }
// Above the idle time of common client pools: with Node's 5 s, a client would meet resets that nobody asked for.
const KEEP_ALIVE_MS = 65_000

/** As a URL names the host. */
function nameOf(host) {
  const name = EVERYWHERE[host] ?? host
  return isIPv6(name) ? `[${name}]` : name
}

function isLoopback(host) {
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'))
}

function listen(server, port, host) {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve(server.address().port)
    })
  })
}

/** Rejects with Node's own error (`EADDRINUSE`, `EACCES`, `ENOTFOUND`) if the port or the host cannot be had. */
async function startServer({ port, host }, handle) {
  const sockets = new Set()
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, handle)
  server.on('connection', socket => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  const boundPort = await listen(server, port, host)
  let closed

  function close() {
    closed ??= new Promise(resolve => {
      server.close(() => resolve())
      // All of them, whatever they are doing: Node's own list leaves out a socket that left HTTP.
      for (const socket of sockets) socket.destroy()
    })
    return closed
  }

  return { origin: `http://${nameOf(host)}:${boundPort}`, close }
}

module.exports = { LOOPBACK, isLoopback, startServer }
