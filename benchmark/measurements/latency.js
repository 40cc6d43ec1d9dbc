// Owns the measurement of latency: how long a call takes, with so many under way as are asked for.
'use strict'

const { performance } = require('node:perf_hooks')
const { setTimeout: sleep } = require('node:timers/promises')

const { startLoad } = require('../load.js')
const { quantile } = require('../statistics.js')

async function measure({ open, settings, concurrency, warmUpMs, durationMs }) {
  const { getAccessToken, close } = open({ ...settings, concurrency })
  const latencies = []
  let isCounting = false
  const timed = async (id, slug) => {
    const begin = performance.now()
    const token = await getAccessToken(id, slug)
    if (isCounting) latencies.push(performance.now() - begin)
    return token
  }
  const load = startLoad({ getAccessToken: timed, concurrency })
  // A failure ends the measurement at once.
  await Promise.race([load.done, sleep(warmUpMs)])
  isCounting = true
  const begin = performance.now()
  await Promise.race([load.done, sleep(durationMs)])
  isCounting = false
  const seconds = (performance.now() - begin) / 1000
  await load.stop()
  await close()

  const sum = latencies.reduce((total, latency) => total + latency, 0)
  return {
    calls: load.tokens,
    meanMs: sum / latencies.length,
    p99Ms: quantile(latencies, 0.99),
    tokensPerSecond: latencies.length / seconds,
  }
}

module.exports = { measure }
