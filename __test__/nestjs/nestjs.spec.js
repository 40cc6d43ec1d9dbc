// Owns the proof of the example with NestJS: it is compiled, and runs as a process of its own.
'use strict'

const { execFileSync, spawn } = require('node:child_process')
const { once } = require('node:events')
const http = require('node:http')
const net = require('node:net')
const path = require('node:path')
const { pathToFileURL } = require('node:url')
const { startEmulator } = require('xkit-node/emulator')
const { testExample } = require('../support/example.js')

const EXAMPLE = path.join(__dirname, '..', '..', 'examples', 'nestjs')
const SIGN_IN = pathToFileURL(path.join(__dirname, 'sign-in.mjs')).href
const END_LIMIT_MS = 5000

jest.setTimeout(30_000)

beforeAll(() => {
  const compiler = path.join(EXAMPLE, 'node_modules', 'typescript', 'bin', 'tsc')
  execFileSync(process.execPath, [compiler, '-p', EXAMPLE], { stdio: 'inherit' })
}, 60_000)

// None outlives a test that fails.
const children = []
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})

function startProcess({ emulator, catalogUrl = '', webhookSecret, githubUrl }) {
  const child = spawn(process.execPath, ['--import', SIGN_IN, path.join(EXAMPLE, 'dist', 'main.js')], {
    env: {
      ...process.env,
      HOST: '127.0.0.1',
      PORT: '0',
      XKIT_BASE_URL: emulator.baseUrl,
      XKIT_CATALOG_URL: catalogUrl,
      XKIT_PUBLISHABLE_KEY: emulator.publishableKey,
      XKIT_SECRET_KEY: emulator.secretKey,
      WEBHOOK_SECRET: webhookSecret,
      GITHUB_URL: githubUrl,
    },
  })
  children.push(child)
  return child
}

async function startApp(settings) {
  const child = startProcess(settings)
  const ended = once(child, 'close')
  const origin = await new Promise((resolve, reject) => {
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', chunk => {
        output += chunk
        // Without the codes that may colour it.
        const [url] = /http:[\w/.:]+/.exec(output) ?? []
        if (url) resolve(url)
      })
    }
    ended.then(() => reject(new Error(`The example ended:\n${output}`)))
  })
  const stop = () => child.kill('SIGTERM')
  return {
    origin,
    stop,
    async close() {
      stop()
      const timer = setTimeout(() => child.kill('SIGKILL'), END_LIMIT_MS)
      const [, signal] = await ended
      clearTimeout(timer)
      // NestJS ends in order, and then as the signal would have it.
      expect(signal).toBe('SIGTERM')
    },
  }
}

describe('the example with NestJS', () => {
  testExample(startApp)
})

describe('its process', () => {
  let emulator
  let app
  let github

  beforeEach(async () => {
    emulator = await startEmulator({ users: { u1: { github: {} } } })
    github = http.createServer()
    await once(github.listen(0, '127.0.0.1'), 'listening')
  })
  afterEach(async () => {
    await app?.close()
    app = undefined
    github.closeAllConnections()
    github.close()
    await emulator.close()
  })

  test('answers 401 to whom nobody signed in', async () => {
    app = await startApp({ emulator, webhookSecret: 'secret' })
    expect((await fetch(`${app.origin}/repositories`)).status).toBe(401)
    expect(emulator.requests).toEqual([])
  })

  test('does not start with a webhook route that is open to all', async () => {
    const child = startProcess({ emulator, webhookSecret: '' })
    let complaint = ''
    child.stderr.setEncoding('utf8').on('data', chunk => {
      complaint += chunk
    })
    const [code] = await once(child, 'close')
    expect(code).toBe(1)
    expect(complaint).toContain('WEBHOOK_SECRET is not set')
  })

  test('still has a new token for a request that is under way when it is told to end', async () => {
    // Refuses the first token, but not before the app has closed its door.
    const asked = []
    github.on('request', async (request, response) => {
      asked.push(request.headers.authorization)
      if (asked.length === 1) {
        emulator.rotateToken('u1', 'github')
        app.stop()
        await untilClosed(app.origin)
        response.statusCode = 401
      }
      response.end('[]')
    })
    const githubUrl = `http://127.0.0.1:${github.address().port}`
    app = await startApp({ emulator, webhookSecret: 'secret', githubUrl })

    // With a connection of its own, which the app need not wait for afterwards.
    const request = http.get(`${app.origin}/repositories`, { agent: false, headers: { 'x-test-user': 'u1' } })
    const [response] = await once(request, 'response')
    expect(response.resume().statusCode).toBe(200)
    expect(new Set(asked).size).toBe(2)
  })
})

/** Knocks until nobody opens: how an app shows that its end has begun. */
async function untilClosed(origin) {
  const { hostname, port } = new URL(origin)
  for (;;) {
    const socket = net.connect(port, hostname)
    try {
      await once(socket, 'connect')
    } catch {
      return
    } finally {
      socket.destroy()
    }
  }
}
