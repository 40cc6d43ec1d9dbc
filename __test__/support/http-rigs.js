// Servers that speak HTTP: plain, over TLS as HTTP/1.1 or HTTP/2, HTTP/2 frame by frame, and a CONNECT proxy.
// Each records what it saw, which is what the tests assert on.

const http = require('node:http')
const http2 = require('node:http2')
const https = require('node:https')
const net = require('node:net')
const tls = require('node:tls')
const { Log, activeBody, listen } = require('./rigs')

/** Answers with an active connection; the token names the path, so that a mix-up of answers shows. */
function answer(_request, response, { path }) {
  response.setHeader('content-type', 'application/json')
  response.end(activeBody(tokenFor(path)))
}

function tokenFor(path) {
  return `token-of-${path}`
}

/** How many requests the most asked-for path got: what one call cost, when each call has a user of its own. */
function mostPerPath(requests) {
  const counts = new Map()
  for (const { path } of requests.entries) counts.set(path, (counts.get(path) ?? 0) + 1)
  return Math.max(0, ...counts.values())
}

/**
 * A platform. Plain HTTP/1.1 without an `identity` (see certificates.js), else TLS with the `protocols` it offers;
 * what remains of the options goes to node:tls. `handler(request, response, entry)` answers.
 *
 * `handshakes` holds the protocol of each TLS handshake that ended well, `requests` what was asked, `cancelled` the
 * requests whose client went away before the answer was complete, `peak()` the most requests at once.
 */
async function startServer({
  identity,
  protocols = ['h2', 'http/1.1'],
  handler = answer,
  host = '127.0.0.1',
  port,
  ...tlsOptions
} = {}) {
  const requests = new Log()
  const cancelled = new Log()
  const handshakes = new Log()
  let open = 0
  let peak = 0
  const onRequest = (request, response) => {
    const { method, url, headers, httpVersion } = request
    const entry = requests.add({ method, path: url, headers, httpVersion })
    peak = Math.max(peak, ++open)
    response.on('close', () => {
      open--
      if (!response.writableEnded) cancelled.add(entry)
    })
    handler(request, response, entry)
  }
  const server = createServer({ ...identity, ...tlsOptions }, identity ? protocols : [], onRequest)
  server.on('secureConnection', socket => handshakes.add(socket.alpnProtocol || 'http/1.1'))
  const rig = await listen(server, { port, host })
  const scheme = identity ? 'https' : 'http'
  const baseUrl = `${scheme}://${host}:${rig.port}`
  return Object.assign(rig, { baseUrl, scheme, requests, cancelled, handshakes, peak: () => peak, server })
}

function createServer(options, protocols, onRequest) {
  if (protocols.length === 0) return http.createServer(onRequest)
  if (!protocols.includes('h2'))
    return https.createServer({ ...options, ALPNProtocols: protocols }, onRequest)
  return http2.createSecureServer({ ...options, allowHTTP1: protocols.includes('http/1.1') }, onRequest)
}

const FRAME = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goaway: 7 }
const FLAG = { ack: 1, endStream: 1, endHeaders: 4 }
const PREFACE_LENGTH = 24
const FRAME_HEADER_LENGTH = 9

/** HPACK of `:status: 200` and `content-type: application/json`. */
const OK_HEADERS = Buffer.concat([Buffer.from([0x88, 0x0f, 0x10, 16]), Buffer.from('application/json')])

function frame(type, flags, stream, payload = Buffer.alloc(0)) {
  const header = Buffer.alloc(FRAME_HEADER_LENGTH)
  header.writeUIntBE(payload.length, 0, 3)
  header.writeUInt8(type, 3)
  header.writeUInt8(flags, 4)
  header.writeUInt32BE(stream, 5)
  return Buffer.concat([header, payload])
}

function words(...numbers) {
  const bytes = Buffer.alloc(numbers.length * 4)
  numbers.forEach((number, index) => {
    bytes.writeUInt32BE(number, index * 4)
  })
  return bytes
}

/**
 * HTTP/2 over TLS frame by frame, for what node:http2 is too polite to do. `onRequest(reply, turn)` is called for
 * each HEADERS frame, with the number of requests and connections before it (`request`, `connection`) and of
 * requests on this connection (`requestOfConnection`). `http1(request, response, entry)` answers clients that choose
 * HTTP/1.1, if it is offered.
 */
async function startFrameServer({ identity, onRequest, http1 }) {
  const requests = new Log()
  const http1Requests = new Log()
  const pings = new Log()
  const http1Server = http.createServer((request, response) => {
    http1(request, response, http1Requests.add({ path: request.url }))
  })
  let connections = 0
  const ALPNProtocols = http1 ? ['h2', 'http/1.1'] : ['h2']
  const server = tls.createServer({ ...identity, ALPNProtocols }, socket => {
    const connection = connections++
    if (socket.alpnProtocol !== 'h2') return http1Server.emit('connection', socket)
    let requestOfConnection = 0
    let pending = Buffer.alloc(0)
    let skip = PREFACE_LENGTH
    socket.on('error', () => {})
    socket.write(frame(FRAME.settings, 0, 0))
    socket.on('data', chunk => {
      pending = Buffer.concat([pending, chunk])
      while (pending.length >= skip + FRAME_HEADER_LENGTH) {
        const length = pending.readUIntBE(skip, 3)
        const end = skip + FRAME_HEADER_LENGTH + length
        if (pending.length < end) return
        const type = pending.readUInt8(skip + 3)
        const flags = pending.readUInt8(skip + 4)
        const stream = pending.readUInt32BE(skip + 5) & 0x7fffffff
        const payload = pending.subarray(skip + FRAME_HEADER_LENGTH, end)
        pending = pending.subarray(end)
        skip = 0
        if (type === FRAME.settings && !(flags & FLAG.ack)) socket.write(frame(FRAME.settings, FLAG.ack, 0))
        if (type === FRAME.ping && !(flags & FLAG.ack)) {
          pings.add({ connection })
          socket.write(frame(FRAME.ping, FLAG.ack, 0, payload))
        }
        if (type !== FRAME.headers) continue
        const turn = { connection, request: requests.count, requestOfConnection: requestOfConnection++ }
        requests.add({ stream, connection })
        onRequest(replyTo(socket, stream), turn)
      }
    })
  })
  const rig = await listen(server)
  return Object.assign(rig, { baseUrl: `https://127.0.0.1:${rig.port}`, requests, http1Requests, pings })
}

function replyTo(socket, stream) {
  const send = (...parts) => socket.write(frame(...parts))
  return {
    socket,
    headers: () => send(FRAME.headers, FLAG.endHeaders, stream, OK_HEADERS),
    data: text => send(FRAME.data, 0, stream, Buffer.from(text)),
    answer(token) {
      this.headers()
      send(FRAME.data, FLAG.endStream, stream, Buffer.from(activeBody(token)))
    },
    /** RST_STREAM. */
    reset: code => send(FRAME.reset, 0, stream, words(code)),
    /** GOAWAY; streams above `lastStream` were not handled. */
    goAway: (code, { lastStream = stream } = {}) => send(FRAME.goaway, 0, 0, words(lastStream, code)),
  }
}

/**
 * A CONNECT proxy; behind TLS with an `identity`. It dials `to`, a port of this host, whatever host it is asked
 * for, so that targets need no name that resolves. `password` is `user:password`; `wanted` is what it says to another
 * one; `reply` is what it says to CONNECT in place of opening the tunnel ('' for nothing at all), or a list of that, one
 * for each CONNECT; `opening` is the status that tells of an open tunnel.
 *
 * `connects` holds `{ target, headers }` of each CONNECT, `seen()` every byte that clients sent, as the proxy reads
 * them.
 */
async function startProxy({
  identity,
  password,
  wanted = PROXY_REPLY.passwordWanted,
  reply,
  opening = '200 Connection established',
  to,
}) {
  const connects = new Log()
  const seen = []
  const onSocket = socket => {
    let head = ''
    const onData = chunk => {
      head += chunk.toString('latin1')
      if (!head.includes('\r\n\r\n')) return
      socket.off('data', onData)
      const { target, headers } = connects.add(parseConnect(head))
      const expected = password && `Basic ${Buffer.from(password).toString('base64')}`
      const own = Array.isArray(reply) ? reply[connects.count - 1] : reply
      const refusal = headers['proxy-authorization'] === expected ? own : wanted
      if (refusal !== undefined) return socket.write(refusal)
      openTunnel(socket, to ?? Number(target.split(':').pop()), opening)
    }
    socket.on('error', () => {})
    socket.on('data', chunk => seen.push(chunk))
    socket.on('data', onData)
  }
  const secure = identity && { ...identity, ALPNProtocols: ['http/1.1'] }
  const rig = await listen(secure ? tls.createServer(secure, onSocket) : net.createServer(onSocket))
  const url = credentials =>
    `${identity ? 'https' : 'http'}://${credentials ? `${credentials}@` : ''}127.0.0.1:${rig.port}`
  return Object.assign(rig, { url, connects, seen: () => Buffer.concat(seen).toString('latin1') })
}

const PROXY_REPLY = {
  passwordWanted:
    'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="proxy"\r\nContent-Length: 0\r\n\r\n',
  badGateway: 'HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n',
  forbidden: 'HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n',
  unavailable: 'HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n',
  redirect: 'HTTP/1.1 302 Found\r\nLocation: https://portal.example/\r\nContent-Length: 0\r\n\r\n',
  otherProtocol: 'SSH-2.0-Server\r\n\r\n',
  noise: 'x'.repeat(100_000),
  nothing: '',
}

function parseConnect(head) {
  const [line, ...fields] = head.split('\r\n\r\n')[0].split('\r\n')
  const headers = fields.map(field => {
    const [, name, value] = /^([^:]+): *(.*)$/.exec(field)
    return [name.toLowerCase(), value]
  })
  return { line, target: line.split(' ')[1], headers: Object.fromEntries(headers) }
}

function openTunnel(socket, port, status) {
  const upstream = net.connect(port, '127.0.0.1', () => {
    socket.write(`HTTP/1.1 ${status}\r\n\r\n`)
    socket.pipe(upstream)
    upstream.pipe(socket)
  })
  upstream.on('error', () => socket.destroy())
  socket.on('close', () => upstream.destroy())
}

module.exports = { PROXY_REPLY, answer, mostPerPath, startFrameServer, startProxy, startServer, tokenFor }
