// Owns the measurement of lateness: how late a plain timer is while 2,000 calls run at once.
'use strict'

const { performance } = require('node:perf_hooks')
const { setTimeout: sleep } = require('node:timers/promises')

const { startLoad } = require('../load.js')
const { quantile } = require('../statistics.js')

const PERIOD_MS = 1

/**
 * Two loads: bursts, in which all calls are started in one go and nothing follows them, and a steady one, in which
 * a new call follows each that is answered.
 */
async function measure({ open, settings, concurrency, warmUpMs, bursts, durationMs }) {
  const { getAccessToken, close } = open({ ...settings, concurrency })
  const warmUp = startLoad({ getAccessToken, concurrency: 50 })
  await Promise.race([warmUp.done, sleep(warmUpMs)])
  await warmUp.stop()

  const burstLateness = []
  for (let burst = 0; burst < bursts; burst++) {
    const watch = watchTimer()
    await startLoad({ getAccessToken, concurrency, calls: concurrency }).done
    burstLateness.push(...watch.stop())
  }

  const watch = watchTimer()
  const load = startLoad({ getAccessToken, concurrency, end: performance.now() + durationMs })
  await load.done
  const steadyLateness = watch.stop()
  await close()

  return {
    calls: warmUp.tokens + bursts * concurrency + load.tokens,
    p50: quantile(steadyLateness, 0.5),
    p99: quantile(steadyLateness, 0.99),
    greatest: quantile(steadyLateness, 1),
    burstP50: quantile(burstLateness, 0.5),
    burstP99: quantile(burstLateness, 0.99),
    burstGreatest: quantile(burstLateness, 1),
  }
}

/**
 * Every millisecond is due to a timer. One that fires late stands for all that were due since the last: each counts
 * with its own lateness, so that a loop that is blocked throughout looks as bad as it is. (The built-in monitor of
 * delays has nothing to report for such a loop.)
 */
function watchTimer() {
  const late = []
  let due = performance.now() + PERIOD_MS
  const fired = () => {
    const now = performance.now()
    for (; due <= now; due += PERIOD_MS) late.push(now - due)
  }
  const timer = setInterval(fired, PERIOD_MS)
  const stop = () => {
    clearInterval(timer)
    fired()
    return late
  }
  return { stop }
}

module.exports = { measure }
