// Owns calls that are aborted and made again at once, as a search box does where the latest request wins. Each runs in a
// process of its own: an event loop that stops would stop the test too.
'use strict'

const { spawn } = require('node:child_process')
const { once } = require('node:events')
const path = require('node:path')
const { startPlatform } = require('./support/platform')

const ROOT = path.join(__dirname, '..')
/** Far longer than any machine takes. */
const WATCHDOG_MS = 60_000

let platform
beforeAll(async () => {
  platform = await startPlatform()
})
afterAll(() => platform.close())

/** What the program prints before it ends; a program that stops is killed, and has the signal for an end. */
async function run(program) {
  const environment = { ...process.env, BASE_URL: platform.baseUrl, PACKAGE: ROOT }
  const child = spawn(process.execPath, ['-e', program], { env: environment, timeout: WATCHDOG_MS })
  let output = ''
  child.stdout.on('data', chunk => {
    output += chunk
  })
  child.stderr.on('data', chunk => {
    output += chunk
  })
  const [code, signal] = await once(child, 'close')
  return { code, signal, output }
}

const restart = async () => {
  const { XkitClient } = require(process.env.PACKAGE)
  const client = new XkitClient({ baseUrl: process.env.BASE_URL, publishableKey: 'pk', secretKey: 'sk' })
  const reasons = []
  let latest
  for (let call = 0; call < 5_000; call++) {
    latest?.abort(call)
    latest = new AbortController()
    client.getAccessToken('u1', 'slack', { signal: latest.signal }).catch(reason => reasons.push(reason))
    await new Promise(resolve => setTimeout(resolve, 1))
  }
  latest.abort(5_000)
  await new Promise(setImmediate)
  console.log(reasons.length, new Set(reasons).size, client.stats().failures)
}

test('a call that is aborted and made again at once never stops the event loop, however often', async () => {
  platform.replyWith(() => undefined)

  expect(await run(`(${restart})()`)).toEqual({ code: 0, signal: null, output: '5000 5000 0\n' })
}, 120_000)
