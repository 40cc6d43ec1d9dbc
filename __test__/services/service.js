// Owns the service that the SDKs speak to: over HTTP/1.1, HTTP/2 and gRPC, in the name of every host.

const { once } = require('node:events')
const http2 = require('node:http2')

const json = (status, body, headers) => ({
  status,
  body: JSON.stringify(body),
  headers: { 'content-type': 'application/json', ...headers },
})
/** A refusal by its number, as gRPC tells it. */
const grpc = (code, message) => ({ grpc: { code, message } })
/** An empty message, as gRPC frames it. */
const EMPTY_MESSAGE = Buffer.alloc(5)

/** `answers(request)` gives the answer to each request: from `json`, `grpc`, or any `{ status, headers, body }`. */
async function startService(identity, port, answers) {
  const server = http2.createSecureServer({ ...identity, allowHTTP1: true }, (request, response) => {
    request.resume().on('end', () => {
      const answer = answers(request)
      if (answer.grpc !== undefined) return replyByGrpc(response, answer.grpc)
      response.writeHead(answer.status, {
        ...answer.headers,
        'content-length': Buffer.byteLength(answer.body),
      })
      response.end(request.method === 'HEAD' ? '' : answer.body)
    })
  })
  const sessions = new Set()
  server.on('session', session => sessions.add(session))
  server.on('sessionError', () => {})
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return {
    close() {
      server.close()
      server.closeAllConnections?.()
      for (const session of sessions) session.destroy()
    },
  }
}

function replyByGrpc(response, { code, message = '' }) {
  const trailers = { 'grpc-status': String(code), 'grpc-message': encodeURIComponent(message) }
  const headers = { 'content-type': 'application/grpc+proto' }
  response.writeHead(200, headers)
  response.addTrailers(trailers)
  response.end(code === 0 ? EMPTY_MESSAGE : undefined)
}

module.exports = { grpc, json, startService }
