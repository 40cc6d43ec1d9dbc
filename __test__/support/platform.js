const { EventEmitter, once } = require('node:events')
const http = require('node:http')
const { announceKeys, announceToken } = require('./known-secrets.js')

const PUBLISHABLE_KEY = 'pk_fake_5Yw0cJ'
const SECRET_KEY = 'sk_fake_tR91vQ'
const KEY_PAIR = `${PUBLISHABLE_KEY}:${SECRET_KEY}`
const AUTHORIZATION = `Basic ${Buffer.from(KEY_PAIR).toString('base64')}`
const ACCESS_TOKEN = 'fake-token-Zk83hWq2'
const TOKEN_FIELDS = ['access_token', 'credential', 'access_credential']

announceKeys({ publishableKey: PUBLISHABLE_KEY, secretKey: SECRET_KEY })
announceToken(ACCESS_TOKEN)

/**
 * The three objects of a documented answer: an active connection to Slack, changed by `overrides`. A field set to
 * `null` is null on the wire, one set to `undefined` is absent.
 */
function parts(overrides = {}) {
  const all = {
    connection: { id: 'con_1', enabled: true },
    connector: {
      name: 'Slack',
      slug: 'slack',
      short_description: 'Chat',
      supports_multiple_connections: true,
    },
    authorization: {
      id: 4711,
      status: 'active',
      access_token: ACCESS_TOKEN,
      display_label: 'Acme HQ',
      authorizer: { client_id: 'client', prototype: { name: 'Slack', slug: 'slack' } },
    },
  }
  for (const [name, fields] of Object.entries(overrides)) all[name] = fields && { ...all[name], ...fields }
  for (const field of TOKEN_FIELDS) announceToken(all.authorization?.[field])
  return all
}

/** The shape of the reference pages: the three objects side by side. */
const flat = parts

/** The shape of the sample app and the browser SDK: the other two inside `connection`. */
function nested(overrides) {
  const { connection, ...inner } = parts(overrides)
  return { connection: { ...connection, ...inner } }
}

/** Rows for `describe.each`: what holds for one documented shape holds for the other. */
const SHAPES = [
  ['flat', flat],
  ['nested', nested],
]

function json(status, value, headers) {
  return { status, headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(value) }
}

function html(status, headers) {
  const body = '<!doctype html><title>html-body-marker</title>'
  return { status, headers: { 'content-type': 'text/html', ...headers }, body }
}

/** An answer that waits for `open()`. */
function gate(answer) {
  let open
  const opened = new Promise(resolve => {
    open = resolve
  })
  return { open, step: () => opened.then(() => answer) }
}

/** What a promise rejects with. A promise that resolves is the test's failure. */
async function failureOf(promise) {
  let value
  try {
    value = await promise
  } catch (error) {
    return error
  }
  throw new Error(`expected a rejection, got ${typeof value} ${value?.status ?? ''}`)
}

/**
 * A platform on loopback that does what the script says. Each step answers one request and the last one all that
 * follow: an answer `{ status, headers, body }`, or a function `(request, response)` that returns (or promises) one,
 * or nothing when it answers by itself or never.
 */
async function startPlatform(...script) {
  const sockets = new Set()
  const faults = []
  const arrivals = new EventEmitter()
  let requests = []
  let steps = script

  // Node's own limits would answer in the script's place.
  const options = { maxHeaderSize: 1 << 20, requestTimeout: 0, headersTimeout: 0, keepAliveTimeout: 0 }
  const server = http.createServer(options, async (incoming, response) => {
    const request = {
      method: incoming.method,
      url: incoming.url,
      headers: incoming.headers,
      rawHeaders: incoming.rawHeaders,
      body: '',
      at: performance.now(),
    }
    incoming.on('data', chunk => {
      request.body += chunk.toString('latin1')
    })
    requests.push(request)
    const step = steps[Math.min(requests.length, steps.length) - 1]
    arrivals.emit('request', request)
    try {
      const answer = typeof step === 'function' ? await step(request, response) : step
      if (answer === undefined) return
      response.writeHead(answer.status, answer.headers)
      response.end(answer.body)
    } catch (error) {
      faults.push(error)
      response.destroy()
    }
  })
  server.on('connection', socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    // A client that goes away in the middle of an answer is what some tests are about.
    socket.on('error', () => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  const origin = `http://127.0.0.1:${server.address().port}`
  return {
    origin,
    host: `127.0.0.1:${server.address().port}`,
    baseUrl: `${origin}/api/platform`,

    /** What arrived since the script began, in order: the bytes of method, path and headers, unparsed. */
    get requests() {
      return requests
    },

    /** Paths below `baseUrl`, byte by byte. */
    get paths() {
      return requests.map(({ url }) =>
        url.startsWith('/api/platform/') ? url.slice('/api/platform'.length) : url,
      )
    },

    /** Begins a new script and forgets what was seen. */
    replyWith(...newScript) {
      requests = []
      steps = newScript
    },

    async nextRequest() {
      const [request] = await once(arrivals, 'request')
      return request
    },

    /** A client with fake keys for this platform. */
    client(clientOptions) {
      // Loaded here because some tests reset the module registry.
      const { XkitClient } = require('../..')
      return new XkitClient({
        publishableKey: PUBLISHABLE_KEY,
        secretKey: SECRET_KEY,
        baseUrl: `${origin}/api/platform`,
        ...clientOptions,
      })
    },

    /** Cuts what is still open. Rejects with what a step threw: a broken script must not pass as a broken network. */
    async close() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
      if (faults.length > 0) throw faults[0]
    },
  }
}

module.exports = {
  PUBLISHABLE_KEY,
  SECRET_KEY,
  KEY_PAIR,
  AUTHORIZATION,
  ACCESS_TOKEN,
  SHAPES,
  flat,
  nested,
  json,
  html,
  gate,
  failureOf,
  startPlatform,
}
