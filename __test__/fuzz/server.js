// Owns the platform of the fuzzer: it writes whatever bytes a plan holds, in the pieces and with the end that it names.
'use strict'

const { once } = require('node:events')
const net = require('node:net')

/**
 * `plan(path)` says how a request is answered: `{ chunks, end }`, where `end` is `keep`, `close`, `reset` or `hang`.
 * It is asked again for each request, so a call that tries again meets the same plan.
 */
async function startServer(plan) {
  const sockets = new Set()
  const server = net.createServer({ noDelay: true }, socket => {
    sockets.add(socket)
    let pending = ''
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    socket.on('data', chunk => {
      const heads = (pending + chunk.toString('latin1')).split('\r\n\r\n')
      pending = heads.pop()
      for (const head of heads) answer(socket, plan(head.split(' ')[1]))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    async close() {
      server.close()
      for (const socket of sockets) socket.destroy()
      await once(server, 'close')
    },
  }
}

async function answer(socket, { chunks, end }) {
  for (const chunk of chunks) {
    if (socket.destroyed) return
    // Until the bytes are with the system, so that pieces are read as pieces.
    await new Promise(resolve => {
      socket.write(chunk, resolve)
    })
  }
  if (end === 'close') socket.end()
  if (end === 'reset') socket.resetAndDestroy()
}

module.exports = { startServer }
