// Owns the browser of the tests: finds Chromium, starts it without a window, and speaks its DevTools protocol on a pipe.
'use strict'

const { spawn, spawnSync } = require('node:child_process')
const { once } = require('node:events')
const { mkdtempSync, rmSync } = require('node:fs')
const { tmpdir } = require('node:os')
const path = require('node:path')

/** In the order of preference; an absolute path is where it lies on a system that puts it on no PATH. */
const NAMES = [
  'chromium',
  'chromium-browser',
  'google-chrome-stable',
  'google-chrome',
  'chrome',
  'microsoft-edge',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
]
const FLAGS = [
  '--headless',
  '--remote-debugging-pipe',
  // Root has no sandbox, and a container no graphics.
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  // The browser itself is to ask nobody anything.
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-quic',
  '--no-proxy-server',
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
  // Scroll bars would take a width that differs from system to system.
  '--hide-scrollbars',
]
const STEP_LIMIT_MS = 10_000

function findChromium() {
  const wanted = process.env.CHROMIUM ? [process.env.CHROMIUM] : NAMES
  const found = wanted.find(name => spawnSync(name, ['--version']).status === 0)
  if (found !== undefined) return found
  throw new Error(
    `No Chromium: there is no ${wanted.join(', ')}. Install one (Debian: apt-get install chromium), or name it in CHROMIUM.`,
  )
}

async function startChromium() {
  const chromium = findChromium()
  const profile = mkdtempSync(path.join(tmpdir(), 'xkit-node-browser-'))
  const child = spawn(chromium, [...FLAGS, `--user-data-dir=${profile}`, 'about:blank'], {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'],
  })
  // With its last words, and after all of its processes.
  const ended = once(child, 'close')
  let complaints = ''
  child.stderr.on('data', chunk => {
    complaints += chunk
  })
  const connection = connect(child.stdio[3], child.stdio[4])
  ended.then(([code, signal]) =>
    connection.fail(new Error(`Chromium ended with ${signal ?? code}:\n${complaints}`)),
  )

  async function openPage() {
    const { targetId } = await connection.send('Target.createTarget', { url: 'about:blank' })
    const { sessionId } = await connection.send('Target.attachToTarget', { targetId, flatten: true })
    return {
      send: (method, params) => connection.send(method, params, sessionId),
      on: listener => connection.listen(sessionId, listener),
      close: () => connection.send('Target.closeTarget', { targetId }),
    }
  }

  async function close() {
    connection.send('Browser.close').catch(() => {})
    const timer = setTimeout(() => child.kill('SIGKILL'), STEP_LIMIT_MS)
    await ended
    clearTimeout(timer)
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 })
  }

  return { openPage, close }
}

/** The protocol: JSON messages that end with a zero byte, numbered questions and events without a number. */
function connect(input, output) {
  const waiting = new Map()
  const listeners = new Map()
  let lastId = 0
  let failure
  let rest = ''

  function send(method, params = {}, sessionId = undefined) {
    if (failure) return Promise.reject(failure)
    lastId += 1
    const id = lastId
    input.write(`${JSON.stringify({ id, method, params, sessionId })}\0`)
    return withLimit(method, (resolve, reject) => waiting.set(id, { method, resolve, reject }))
  }

  function receive({ id, method, params, result, error, sessionId }) {
    if (id === undefined) {
      for (const listener of listeners.get(sessionId) ?? []) listener(method, params)
      return
    }
    const question = waiting.get(id)
    waiting.delete(id)
    if (error) question.reject(new Error(`${question.method}: ${error.message}`))
    else question.resolve(result)
  }

  function fail(error) {
    failure = error
    for (const { reject } of waiting.values()) reject(error)
    waiting.clear()
  }

  // What is written to a browser that just ended is lost; its exit tells why.
  input.on('error', () => {})
  output.on('error', () => {})
  output.setEncoding('utf8').on('data', chunk => {
    const messages = (rest + chunk).split('\0')
    rest = messages.pop()
    for (const message of messages) receive(JSON.parse(message))
  })

  function listen(sessionId, listener) {
    listeners.set(sessionId, [...(listeners.get(sessionId) ?? []), listener])
  }

  return { send, listen, fail }
}

/** A promise that names what did not happen, in the place of a test that hangs. */
function withLimit(what, executor) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what}: nothing came of it`)), STEP_LIMIT_MS)
    const settle = how => value => {
      clearTimeout(timer)
      how(value)
    }
    executor(settle(resolve), settle(reject))
  })
}

module.exports = { startChromium, withLimit }
