// The leak test: `npm run leak -- [--calls 200000]`. Makes calls of which one in twenty meets a fault, against a server
// in another process, and reports resident memory and file descriptors as it goes. It fails if memory still grows after
// the first quarter, if descriptors pile up, or if a call ends otherwise than it should.
'use strict'

const { fork } = require('node:child_process')
const { once } = require('node:events')
const { readdirSync } = require('node:fs')
const path = require('node:path')
const { setTimeout: delay } = require('node:timers/promises')
const { parseArgs } = require('node:util')
const { XkitClient } = require('../..')

const LANES = 50
const SAMPLES = 40
/** Later than what a warm-up may take. */
const MOST_GROWTH_BYTES = 4 * 1024 * 1024
const STALL_MS = 20
const ABORT_MS = 2
/** In every hundred calls, one each. */
const FAULTS = ['reset', 'truncate', 'unavailable', 'stall', 'abort']
const EXPECTED = {
  token: 'token',
  reset: 'ERR_XKIT_CONNECT',
  truncate: 'ERR_XKIT_CONNECT',
  unavailable: 'ERR_XKIT_SERVER',
  stall: 'ERR_XKIT_TIMEOUT',
  abort: 'AbortError',
}
const KEYS = { publishableKey: 'pk_leak', secretKey: 'sk_leak_90ad' }
const MIB = 1024 * 1024

const FOLDER = { linux: '/proc/self/fd', darwin: '/dev/fd' }[process.platform]
const descriptors = () => (FOLDER === undefined ? 0 : readdirSync(FOLDER).length)

function sample(calls) {
  // Twice: what finalizers let go of is freed by the second.
  global.gc()
  global.gc()
  const { rss, heapUsed } = process.memoryUsage()
  return { calls, rss, heapUsed, descriptors: descriptors() }
}

/** One call, and how it ended. */
async function call(client, number) {
  const fault = FAULTS[(number % 100) / 20]
  const user = `${fault ?? 'user'}-${number}`
  const options = {}
  if (fault === 'stall') options.timeoutMs = STALL_MS
  let timer
  if (fault === 'abort') {
    const controller = new AbortController()
    options.signal = controller.signal
    timer = setTimeout(() => controller.abort(), ABORT_MS)
  }
  try {
    const token = await client.getAccessToken(user, 'slack', options)
    return { fault, end: token === `token-of-${user}` ? 'token' : 'another token' }
  } catch (error) {
    return { fault, end: error.code?.length > 2 ? error.code : error.name }
  } finally {
    clearTimeout(timer)
  }
}

/** Makes the calls, a fixed number at once, and takes a sample whenever a share of them is done. */
async function run(client, calls, onSample) {
  const wrong = new Map()
  const every = Math.floor(calls / SAMPLES)
  let next = 0
  let done = 0
  const lane = async () => {
    while (next < calls) {
      const { fault, end } = await call(client, next++)
      if (end !== EXPECTED[fault ?? 'token'])
        wrong.set(`${fault}: ${end}`, (wrong.get(`${fault}: ${end}`) ?? 0) + 1)
      if (++done % every === 0) onSample(sample(done))
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  return wrong
}

const median = numbers => numbers.toSorted((one, other) => one - other)[Math.floor(numbers.length / 2)]

/** Growth between the end of the first quarter and the end of the run, by medians, which no single peak moves. */
function growthOf(samples, field) {
  const quarter = SAMPLES / 4
  const values = samples.map(sample => sample[field])
  return median(values.slice(-quarter)) - median(values.slice(quarter, 2 * quarter))
}

async function startServer() {
  const server = fork(path.join(__dirname, 'server.js'))
  const [port] = await once(server, 'message')
  return { baseUrl: `http://127.0.0.1:${port}`, server }
}

async function main() {
  const { values } = parseArgs({ options: { calls: { type: 'string', default: '200000' } } })
  const calls = Number(values.calls)
  if (!Number.isSafeInteger(calls) || calls < SAMPLES) throw new Error(`--calls must be ${SAMPLES} at least`)
  if (global.gc === undefined) throw new Error('run it with npm run leak, which passes the flags for V8')

  const { baseUrl, server } = await startServer()
  // Starts the runtime, which keeps some descriptors for good.
  const first = new XkitClient({ ...KEYS, baseUrl })
  await call(first, 1)
  await first.close()
  const before = await settledDescriptors(0)

  const client = new XkitClient({ ...KEYS, baseUrl })
  const samples = []
  console.log('     calls   resident       heap   descriptors')
  const started = performance.now()
  const wrong = await run(client, calls, taken => {
    samples.push(taken)
    console.log(row(taken))
  })
  const seconds = (performance.now() - started) / 1000
  const { requests, retries, failures, inFlight, queued } = client.stats()
  await client.close()
  const after = await settledDescriptors(before)
  server.disconnect()

  const growth = growthOf(samples, 'rss')
  const most = Math.max(...samples.map(taken => taken.descriptors))
  console.log(
    `${calls} calls, ${requests} requests, ${retries} retries, ${failures} failures in ${seconds.toFixed(0)} s`,
  )
  console.log(`resident memory grew by ${(growth / MIB).toFixed(2)} MiB after the first quarter`)
  console.log(`descriptors: ${before} before, ${most} at most, ${after} after`)
  const problems = [
    [wrong.size > 0, `calls ended wrongly: ${JSON.stringify(Object.fromEntries(wrong))}`],
    [growth > MOST_GROWTH_BYTES, `resident memory grew by more than ${MOST_GROWTH_BYTES / MIB} MiB`],
    [most > before + 3 * LANES, 'descriptors piled up'],
    [after !== before, 'descriptors were left behind'],
    [inFlight + queued > 0, `${inFlight} calls in flight and ${queued} queued were left behind`],
  ].filter(([isSo]) => isSo)
  for (const [, what] of problems) console.error(`FAILED: ${what}`)
  process.exitCode = problems.length === 0 ? 0 : 1
}

/** The number of descriptors once it is as expected, or after a while: sockets are closed behind the scenes. */
async function settledDescriptors(expected) {
  for (let round = 0; descriptors() !== expected && round < 50; round++) await delay(20)
  return descriptors()
}

function row({ calls, rss, heapUsed, descriptors }) {
  const mib = bytes => `${(bytes / MIB).toFixed(1)} MiB`.padStart(11)
  return `${String(calls).padStart(10)}${mib(rss)}${mib(heapUsed)}${String(descriptors).padStart(14)}`
}

main()
