// Owns the measurement of memory: what is resident after many calls, and what further calls add to it.
'use strict'

const { setTimeout: sleep } = require('node:timers/promises')

const { startLoad } = require('../load.js')
const { slope } = require('../statistics.js')

const CONCURRENCY = 50
/** Time for what was collected to be given back. */
const SETTLE_MS = 200

/** Needs --expose-gc. Answers with what is resident after the first step or, with further ones, with their slope. */
async function measure({ open, settings, callsPerStep, furtherSteps }) {
  const { getAccessToken, close } = open({ ...settings, concurrency: CONCURRENCY })
  const resident = []
  for (let step = 0; step <= furtherSteps; step++) {
    await startLoad({ getAccessToken, concurrency: CONCURRENCY, calls: callsPerStep }).done
    globalThis.gc()
    await sleep(SETTLE_MS)
    globalThis.gc()
    resident.push(process.memoryUsage.rss())
  }
  await close()
  const calls = callsPerStep * resident.length
  if (furtherSteps === 0) return { calls, residentBytes: resident[0] }
  // The first step warms up, so the slope begins after it.
  return { calls, growthBytes: slope(resident.slice(1)), steps: resident }
}

module.exports = { measure }
