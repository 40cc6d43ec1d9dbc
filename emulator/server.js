// Owns the sockets: one listener for all routes, and a close that leaves no connection open.
'use strict'

const { createServer } = require('node:http')
const { isIPv4, isIPv6 } = require('node:net')

/** Only this machine can reach it. */
const LOOPBACK = '127.0.0.1'
/** Wildcard addresses cannot stand in a URL; these can, in their place. */
const EVERYWHERE = { __proto__: null, '0.0.0.0': LOOPBACK, '::': '::1' }
// Longer than common client pools keep idle connections: with Node's 5 s, clients would see resets that no test planned.
const KEEP_ALIVE_MS = 65_000

/** The host as it stands in a URL. */
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

/** Rejects with Node's own error (`EADDRINUSE`, `EACCES`, `ENOTFOUND`) if it cannot listen on the port or the host. */
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
      // Our own list, since `closeAllConnections` misses sockets that no longer speak HTTP.
      for (const socket of sockets) socket.destroy()
    })
    return closed
  }

  return { origin: `http://${nameOf(host)}:${boundPort}`, close }
}

module.exports = { LOOPBACK, isLoopback, startServer }
