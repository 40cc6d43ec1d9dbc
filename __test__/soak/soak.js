// Owns `npm run soak`: real threads for some minutes. Lanes on the main thread and in workers restart, abort, invalidate,
// reject, close and terminate at random against a server on the loopback. It fails when an event loop stands still for two
// seconds, when a call does not settle, and when one ends otherwise than it may.
//   npm run soak -- [--minutes 2] [--seed 42]
'use strict'

const { fork } = require('node:child_process')
const { randomInt } = require('node:crypto')
const path = require('node:path')
const { parseArgs } = require('node:util')
const { startServer } = require('./server.js')

const STANDSTILL_MS = 2000
const CHECK_MS = 100
/** Lanes go on for the time given, and then have this long to settle what is under way. */
const GRACE_MS = 20_000

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '2' }, seed: { type: 'string' } },
})
const MINUTES = Number(values.minutes)
const SEED = Number(values.seed ?? randomInt(2 ** 31))
if (!(MINUTES > 0) || !Number.isSafeInteger(SEED)) throw new Error('--minutes and --seed take numbers')

/**
 * Ends `child` when it has been silent for too long. Where this process was late as well, the machine was busy, and that
 * time does not count.
 */
function watch(child, onStandstill) {
  // From the first heartbeat on: to start takes as long as it takes.
  let heardAt = Number.POSITIVE_INFINITY
  let checkedAt = performance.now()
  let longest = 0
  child.on('message', ({ type }) => {
    if (type !== 'heartbeat') return
    const now = performance.now()
    longest = Math.max(longest, now - heardAt)
    heardAt = now
  })
  const timer = setInterval(() => {
    const now = performance.now()
    heardAt += Math.max(0, now - checkedAt - 2 * CHECK_MS)
    checkedAt = now
    if (now - heardAt < STANDSTILL_MS) return
    clearInterval(timer)
    onStandstill()
    child.kill('SIGKILL')
  }, CHECK_MS)
  return { longestMs: () => Math.round(longest), stop: () => clearInterval(timer) }
}

async function main() {
  console.log(`seed ${SEED}, ${MINUTES} min`)
  const server = await startServer(SEED)
  const options = { baseUrl: server.baseUrl, seed: SEED, forMs: MINUTES * 60_000 }
  const child = fork(path.join(__dirname, 'lanes.js'), [JSON.stringify(options)])
  const problems = []
  let outcomes = {}
  child.on('message', message => {
    if (message.type === 'problem') problems.push(message.text)
    if (message.type === 'outcomes') outcomes = message.outcomes
  })
  const watchdog = watch(child, () => problems.push(`an event loop stood still for ${STANDSTILL_MS} ms`))
  const limit = setTimeout(() => {
    problems.push('the lanes did not end')
    child.kill('SIGKILL')
  }, options.forMs + GRACE_MS)
  const [code, signal] = await new Promise(resolve => child.once('exit', (...ending) => resolve(ending)))
  clearTimeout(limit)
  watchdog.stop()
  await server.close()
  if (code !== 0 && problems.length === 0) problems.push(`the process ended with ${signal ?? code}`)
  console.table(outcomes)
  console.log(`requests: ${server.requests()}, longest pause of the event loop: ${watchdog.longestMs()} ms`)
  for (const problem of new Set(problems)) console.error(problem)
  if (problems.length > 0) {
    console.error(
      `again by: npm run soak -- --minutes ${MINUTES} --seed ${SEED} (threads interleave anew each time)`,
    )
    process.exitCode = 1
  }
}

main()
