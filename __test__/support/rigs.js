// What the wire-level tests share: the lifetime of rigs, waiting without sleeping, scripted TCP servers, a
// forwarder that misbehaves, and child processes. HTTP servers, HTTP/2 frames and proxies are in http-rigs.js.

const { spawn } = require('node:child_process')
const { EventEmitter, once } = require('node:events')
const net = require('node:net')
const path = require('node:path')
const { setTimeout: delay } = require('node:timers/promises')
const { announceKeys, announceToken } = require('./known-secrets.js')

const PACKAGE = path.resolve(__dirname, '../..')
const KEYS = { publishableKey: 'pk_wire_tests', secretKey: 'sk_wire_tests_2f6c' }
/** What Basic auth makes of KEYS: the part of a request that nobody but the platform may see. */
const CREDENTIALS = Buffer.from(`${KEYS.publishableKey}:${KEYS.secretKey}`).toString('base64')

/** The longest limit that there is. */
const MOST_MS = 2 ** 31 - 1

announceKeys(KEYS)

const running = new Set()

/** Ends every rig that was started since the last time. Meant for `afterEach`. */
async function closeRigs() {
  const rigs = [...running]
  running.clear()
  await Promise.all(rigs.map(rig => rig.close()))
}

/** Registers a rig, an object with `close()`, for closeRigs. */
function track(rig) {
  running.add(rig)
  return rig
}

/** A list of what a server saw, and a way to wait until it holds enough. */
class Log {
  entries = []
  #grown = new EventEmitter().setMaxListeners(0)

  get count() {
    return this.entries.length
  }

  add(entry) {
    this.entries.push(entry)
    this.#grown.emit('entry')
    return entry
  }

  async reaches(count) {
    while (this.count < count) await once(this.#grown, 'entry')
  }
}

function deferred() {
  let resolve
  const promise = new Promise(settle => {
    resolve = settle
  })
  return { promise, resolve }
}

/**
 * Calls that nobody answers, so that their own limits end them, by the clock and on the threads of those that they are
 * compared with.
 */
async function startUnanswered() {
  const { XkitClient } = require(PACKAGE)
  const sockets = new Set()
  const server = net.createServer(socket => sockets.add(socket.on('error', () => {}))).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const baseUrl = `http://127.0.0.1:${server.address().port}`
  const client = new XkitClient({ ...KEYS, baseUrl, proxy: false, maxRetries: 0, attemptTimeoutMs: MOST_MS })
  const over = new AbortController()
  return {
    call: timeoutMs =>
      client.getAccessToken('nobody', 'answers', { timeoutMs, signal: over.signal }).catch(() => {}),
    close() {
      over.abort()
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

/**
 * How a promise settled, as Promise.allSettled tells it, with `elapsedMs`. Throws if a call with a limit of `ms`, made at the
 * same time and without any fault, ends before it: a machine that is busy delays both alike. Give a function that makes the
 * promise where the time spent in making it counts.
 */
async function settlesWithin(ms, call) {
  const unanswered = await startUnanswered()
  // What was due in the same moment may come a moment later.
  const limit = async () => {
    await unanswered.call(ms)
    await unanswered.call(1)
    return [{ status: `not settled within ${ms} ms` }]
  }
  const started = performance.now()
  const overdue = limit()
  const promise = typeof call === 'function' ? call() : call
  const [outcome] = await Promise.race([Promise.allSettled([promise]), overdue])
  unanswered.close()
  if (!['fulfilled', 'rejected'].includes(outcome.status)) throw new Error(outcome.status)
  return { ...outcome, elapsedMs: performance.now() - started }
}

/** What the promise is rejected with; throws if it is fulfilled. */
async function rejection(promise) {
  const [outcome] = await Promise.allSettled([promise])
  if (outcome.status === 'fulfilled') throw new Error('expected a rejection, and the promise was fulfilled')
  return outcome.reason
}

/** For states that raise no event, such as counters: asks until the answer is yes. */
async function eventually(isSo) {
  while (!isSo()) await delay(1)
}

/** The body of an active connection, as the platform documents it. */
function activeBody(token) {
  announceToken(token)
  return JSON.stringify({
    connection: { enabled: true },
    connector: { slug: 'slack' },
    authorization: { status: 'active', access_token: token },
  })
}

/** A whole HTTP/1.1 answer with that body, for servers that write raw bytes. */
function activeAnswer(token) {
  const body = activeBody(token)
  return `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
}

/** Binds any net.Server to loopback and gives what every rig around one has. */
async function listen(server, { port = 0, host = '127.0.0.1' } = {}) {
  const sockets = new Set()
  const connections = new Log()
  server.on('connection', socket => {
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
    connections.add({ at: performance.now() })
  })
  server.listen(port, host)
  await once(server, 'listening')
  const dropConnections = () => {
    for (const socket of sockets) socket.destroy()
  }
  const close = async () => {
    dropConnections()
    if (!server.listening) return
    server.close()
    await once(server, 'close')
  }
  return track({ port: server.address().port, connections, sockets, dropConnections, close })
}

/** A port on which nobody listens. */
async function closedPort() {
  const rig = await listen(net.createServer())
  await rig.close()
  return rig.port
}

/**
 * A server that speaks raw TCP. `onConnection(socket, turn)` and `onRequest(socket, turn)` script it: a request is
 * each blank line that arrives, `turn` says how many connections and requests came before (`connection`,
 * `request`) and how many requests on this connection (`requestOfConnection`).
 */
async function startRawServer({ onConnection = () => {}, onRequest = () => {}, port }) {
  const requests = new Log()
  const received = []
  let connections = 0
  const server = net.createServer(socket => {
    const connection = connections++
    let requestOfConnection = 0
    let pending = ''
    socket.on('data', chunk => {
      received.push(chunk)
      const heads = (pending + chunk.toString('latin1')).split('\r\n\r\n')
      pending = heads.pop()
      for (const head of heads) {
        const turn = { connection, request: requests.count, requestOfConnection: requestOfConnection++ }
        requests.add({ head, path: head.split(' ')[1] })
        onRequest(socket, turn)
      }
    })
    onConnection(socket, { connection, request: requests.count, requestOfConnection })
  })
  const rig = await listen(server, { port })
  return Object.assign(rig, {
    baseUrl: `http://127.0.0.1:${rig.port}`,
    requests,
    received: () => Buffer.concat(received),
  })
}

/** What a script of startRawServer can do to a socket. */
const act = {
  hang: () => {},
  close: socket => socket.destroy(),
  reset: socket => socket.resetAndDestroy(),
  send: bytes => socket => socket.write(bytes),
  /** The bytes are on their way before `next` happens. */
  sendThen: (bytes, next) => socket => socket.write(bytes, () => next(socket)),
  /** One byte at a time, for as long as the client stays. */
  drip: bytes => async socket => {
    for (const byte of Buffer.from(bytes)) {
      if (socket.destroyed) return
      socket.write(Buffer.of(byte))
      await delay(20)
    }
  },
}

/**
 * Passes TCP on to a port of this host, `delayMs` late in each direction. `freeze()` turns the connections open at
 * that moment into what a middlebox leaves behind when it forgets them: open at both ends, and nothing passes any
 * more. `reset()` resets them.
 */
async function startForwarder(port, { delayMs = 0 } = {}) {
  const pairs = new Set()
  const server = net.createServer(near => {
    const far = net.connect(port, '127.0.0.1')
    const pair = { near, far, frozen: false }
    pairs.add(pair)
    const pass = (from, to) => {
      from.on('error', () => {})
      from.on('data', chunk => {
        if (pair.frozen) return
        if (delayMs === 0) to.write(chunk)
        else setTimeout(() => to.write(chunk), delayMs)
      })
      from.on('close', () => {
        pairs.delete(pair)
        to.destroy()
      })
    }
    pass(near, far)
    pass(far, near)
  })
  const rig = await listen(server)
  const freeze = () => {
    for (const pair of pairs) pair.frozen = true
  }
  const reset = () => {
    for (const { near, far } of pairs) {
      near.resetAndDestroy()
      far.resetAndDestroy()
    }
  }
  return Object.assign(rig, { freeze, reset })
}

/**
 * Runs `script(input)` in a Node process of its own. The function is sent as its source text, so it sees only
 * `input` (with `root`, what to `require` for the package, and `keys`) and Node's globals. `openFiles` limits its
 * file descriptors where the system has `ulimit`; `flags` are for Node.
 */
function startChild(script, input = {}, { env = {}, flags = [], openFiles } = {}) {
  // Not in the source: Node prints that with an uncaught exception, and the input holds the keys.
  const source = `(${script})(JSON.parse(process.env.SCRIPT_INPUT))`
  const scriptInput = JSON.stringify({ root: PACKAGE, keys: KEYS, ...input })
  const limited = openFiles !== undefined && process.platform !== 'win32'
  const [command, ...args] = limited
    ? ['sh', '-c', 'ulimit -n "$0" && exec "$@"', String(openFiles), process.execPath, ...flags, '-e', source]
    : [process.execPath, ...flags, '-e', source]
  const child = spawn(command, args, { env: { ...process.env, SCRIPT_INPUT: scriptInput, ...env } })
  const output = { stdout: '', stderr: '' }
  const lines = new Log()
  for (const stream of ['stdout', 'stderr']) {
    child[stream].setEncoding('utf8').on('data', text => {
      output[stream] += text
      if (stream === 'stdout') for (const [end] of text.matchAll('\n')) lines.add(end)
    })
  }
  child.stdin.on('error', () => {})
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal, ...output }))
  const close = async () => {
    child.kill('SIGKILL')
    await ended
  }
  /** Resolves when the child has printed so many lines. */
  const printed = count => lines.reaches(count)
  return track({
    ended,
    output,
    printed,
    kill: signal => child.kill(signal),
    tell: text => child.stdin.write(text),
    close,
  })
}

module.exports = {
  CREDENTIALS,
  KEYS,
  Log,
  act,
  activeAnswer,
  activeBody,
  closeRigs,
  closedPort,
  deferred,
  eventually,
  listen,
  rejection,
  settlesWithin,
  startChild,
  startForwarder,
  startRawServer,
  track,
}
