// A real Redis on a free port, what can be done to it, and processes that share tokens through it.
'use strict'

const { fork, spawn } = require('node:child_process')
const { once } = require('node:events')
const { mkdtempSync, readFileSync, rmSync, writeFileSync } = require('node:fs')
const http = require('node:http')
const net = require('node:net')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { closedPort, listen, track } = require('./rigs')

const MEMBER = join(__dirname, 'fleet-member.js')

/** Nothing is written to disk but by SAVE, and then uncompressed, so that it can be searched. */
const PLAIN = ['--save', '', '--appendonly', 'no', '--rdbcompression', 'no', '--bind', '127.0.0.1']

/**
 * A Redis with further `settings` (as on its command line). With an `identity` (see certificates.js) it speaks TLS
 * alone. With `sentinelOf` it is a Sentinel that watches the Redis on that port, as `main`, with further `lines` in its
 * configuration.
 */
async function startRedis({ settings = [], identity, sentinelOf, lines = [] } = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'xkit-redis-'))
  const rig = { port: await closedPort() }
  const listening = identity === undefined ? ['--port', String(rig.port)] : tls(directory, rig.port, identity)
  const args = [...listening, ...PLAIN, '--dir', directory, ...settings]
  if (sentinelOf !== undefined)
    args.splice(0, args.length, ...sentinel(directory, rig.port, sentinelOf, lines))
  rig.url = `${identity === undefined ? 'redis' : 'rediss'}://127.0.0.1:${rig.port}`
  let server

  rig.start = async () => {
    server = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'ignore'] })
    await ready(server)
  }
  rig.kill = async signal => {
    if (server.exitCode !== null || server.signalCode !== null) return
    const ended = once(server, 'exit')
    server.kill(signal)
    await ended
  }
  rig.stop = () => rig.kill('SIGTERM')
  rig.freeze = () => server.kill('SIGSTOP')
  rig.thaw = () => server.kill('SIGCONT')
  rig.close = async () => {
    await rig.kill('SIGKILL')
    rmSync(directory, { recursive: true, force: true })
  }
  rig.ask = (...command) => ask(rig.port, command)
  rig.keys = async () => (await rig.ask('KEYS', '*')).map(String)
  /** All that is in it, as bytes: the file that it saves. */
  rig.dump = async () => {
    await rig.ask('SAVE')
    return readFileSync(join(directory, 'dump.rdb'))
  }
  /** Every command that arrives from now on, as text: `text()` so far, `end()` when it is enough. */
  rig.watch = () => watchCommands(rig.port)
  track(rig)
  await rig.start()
  return rig
}

function tls(directory, port, { cert, key }) {
  const [certFile, keyFile] = [join(directory, 'cert.pem'), join(directory, 'key.pem')]
  writeFileSync(certFile, cert)
  writeFileSync(keyFile, key)
  const files = ['--tls-cert-file', certFile, '--tls-key-file', keyFile, '--tls-ca-cert-file', certFile]
  return ['--port', '0', '--tls-port', String(port), '--tls-auth-clients', 'no', ...files]
}

function sentinel(directory, port, watched, lines) {
  const file = join(directory, 'sentinel.conf')
  writeFileSync(
    file,
    [`port ${port}`, 'bind 127.0.0.1', `sentinel monitor main 127.0.0.1 ${watched} 1`, ...lines, ''].join(
      '\n',
    ),
  )
  return [file, '--sentinel']
}

async function ready(server) {
  let output = ''
  await new Promise((resolve, reject) => {
    server.once('error', reject)
    server.once('exit', code => reject(new Error(`redis-server ended with ${code}:\n${output}`)))
    server.stdout.on('data', chunk => {
      output += chunk
      if (/Ready to accept connections|Sentinel ID is/.test(output)) resolve()
    })
  })
}

const encode = command =>
  Buffer.concat([
    Buffer.from(`*${command.length}\r\n`),
    ...command.flatMap(part => {
      const bytes = Buffer.from(part)
      return [Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n')]
    }),
  ])

/** One command on a connection of its own; an error of Redis is thrown. */
async function ask(port, command) {
  const socket = net.connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    socket.write(encode(command))
    let bytes = Buffer.alloc(0)
    for await (const chunk of socket) {
      bytes = Buffer.concat([bytes, chunk])
      const reply = decode(bytes, 0)
      if (reply === undefined) continue
      if (reply.value instanceof Error) throw reply.value
      return reply.value
    }
    throw new Error('Redis closed the connection')
  } finally {
    socket.destroy()
  }
}

/** The reply (RESP 2) that begins at `at`, and where it ends; undefined while it is incomplete. */
function decode(bytes, at) {
  const lineEnd = bytes.indexOf('\r\n', at)
  if (lineEnd < 0) return undefined
  const line = bytes.toString('latin1', at + 1, lineEnd)
  const end = lineEnd + 2
  const type = String.fromCharCode(bytes[at])
  if (type === '+') return { value: line, end }
  if (type === '-') return { value: new Error(line), end }
  if (type === ':') return { value: Number(line), end }
  const length = Number(line)
  if (length < 0) return { value: null, end }
  if (type === '$') {
    const stop = end + length
    return bytes.length < stop + 2 ? undefined : { value: bytes.subarray(end, stop), end: stop + 2 }
  }
  const value = []
  let next = end
  while (value.length < length) {
    const part = decode(bytes, next)
    if (part === undefined) return undefined
    value.push(part.value)
    next = part.end
  }
  return { value, end: next }
}

async function watchCommands(port) {
  const socket = net.connect(port, '127.0.0.1')
  let text = ''
  socket.on('data', chunk => {
    text += chunk.toString('latin1')
  })
  socket.write(encode(['MONITOR']))
  await once(socket, 'data')
  return {
    text: () => text,
    end: () => {
      socket.destroy()
      return text
    },
  }
}

/**
 * A process with a client of its own, made with `options`. Its methods are those of fleet-member.js; each resolves
 * with what is done there.
 */
async function startMember(options) {
  const child = fork(MEMBER, { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
  const waiting = new Map()
  let last = 0
  child.on('message', ({ id, value, error }) => {
    const { resolve, reject } = waiting.get(id)
    waiting.delete(id)
    if (error === undefined) resolve(value)
    else reject(new Error(error))
  })
  const ended = once(child, 'exit')
  ended.then(() => {
    for (const { reject } of waiting.values()) reject(new Error('the process has ended'))
  })
  const call = (method, ...args) =>
    new Promise((resolve, reject) => {
      waiting.set(++last, { resolve, reject })
      child.send({ id: last, method, args })
    })
  const member = track({
    call,
    get: (owner, slug = 'slack', callOptions) => call('get', owner, slug, callOptions),
    kill: async signal => {
      child.kill(signal)
      if (signal === 'SIGKILL') await ended
    },
    close: async () => {
      child.kill('SIGKILL')
      await ended
    },
  })
  await call('open', options)
  return member
}

/**
 * A platform that has a token for everybody, `latencyMs` after it was asked. `requests` counts what it was asked by
 * owner; `revoke` has it give out another token for an owner, `answer` another answer, by owner and secret key.
 */
async function startTokens({ latencyMs = 0 } = {}) {
  const versions = new Map()
  const requests = new Map()
  let answer
  const rig = {
    latencyMs,
    requests,
    secretKey: 'sk_fleet_8dK2mQz7Lw',
    publishableKey: 'pk_fleet_1',
    tokenOf: owner => `secret-token-${owner}-v${versions.get(owner) ?? 1}`,
    total: () => [...requests.values()].reduce((sum, count) => sum + count, 0),
    revoke: owner => versions.set(owner, (versions.get(owner) ?? 1) + 1),
    answer: next => {
      answer = next
    },
    reset: () => {
      requests.clear()
      answer = undefined
    },
  }
  const server = http.createServer((request, response) => {
    const owner = request.url.split('/').at(-2)
    requests.set(owner, (requests.get(owner) ?? 0) + 1)
    const [, secretKey] = atob(request.headers.authorization.slice('Basic '.length)).split(':')
    const { status = 200, body = activeBody(rig.tokenOf(owner)) } = answer?.(owner, secretKey) ?? {}
    setTimeout(() => {
      response.writeHead(status, { 'content-type': 'application/json' })
      response.end(body)
    }, rig.latencyMs)
  })
  const { port, close } = await listen(server)
  rig.options = cache => {
    const { publishableKey, secretKey } = rig
    return { baseUrl: `http://127.0.0.1:${port}/api/platform`, publishableKey, secretKey, cache }
  }
  return Object.assign(rig, { close })
}

/** Not that of rigs.js, which takes note of each token: here are thousands. */
function activeBody(token) {
  return JSON.stringify({
    connection: { id: 'secret-connection', enabled: true },
    connector: { slug: 'slack', name: 'Slack' },
    authorization: { id: 7, status: 'active', access_token: token, display_label: 'secret-label' },
  })
}

module.exports = { startMember, startRedis, startTokens }
