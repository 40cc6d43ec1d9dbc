// Owns the measurement of throughput and CPU: what one token costs while 50 calls are always under way.
'use strict'

const { performance } = require('node:perf_hooks')
const { setTimeout: sleep } = require('node:timers/promises')

const { mainThreadClock, processClock } = require('../cpu.js')
const { startLoad } = require('../load.js')

async function measure({ open, settings, concurrency, warmUpMs, durationMs }) {
  const clock = mainThreadClock()
  const { getAccessToken, close } = open({ ...settings, concurrency })
  const load = startLoad({ getAccessToken, concurrency })
  const snapshot = () => ({
    at: performance.now(),
    tokens: load.tokens,
    mainThread: clock.read(),
    process: processClock(),
  })

  // A failure ends the measurement at once.
  await Promise.race([load.done, sleep(warmUpMs)])
  const before = snapshot()
  await Promise.race([load.done, sleep(durationMs)])
  const after = snapshot()
  await load.stop()
  await close()

  const tokens = after.tokens - before.tokens
  return {
    calls: load.tokens,
    tokensPerSecond: tokens / ((after.at - before.at) / 1000),
    mainThreadMicroseconds: (after.mainThread - before.mainThread) / 1000 / tokens,
    processMicroseconds: (after.process - before.process) / 1000 / tokens,
    clock: clock.source,
  }
}

module.exports = { measure }
