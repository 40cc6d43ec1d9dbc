// Owns the measurement of what a cached token takes in resident memory.
'use strict'

const { setTimeout: sleep } = require('node:timers/promises')

const { check, slug } = require('../load.js')

const CONCURRENCY = 50
/** For the cache's own tables, what is loaded later, and what was collected to be given back. */
const FIRST_SHARE = 0.2
const SETTLE_MS = 500

/** Needs --expose-gc. */
async function measure({ open, settings, entries }) {
  const cache = { ttlMs: 3_600_000, maxEntries: entries }
  const {
    getAccessToken,
    close,
    requests = calls => calls,
  } = open({
    ...settings,
    concurrency: CONCURRENCY,
    cache,
  })
  const first = entries * FIRST_SHARE
  await fill(getAccessToken, 0, first)
  const before = await resident()
  await fill(getAccessToken, first, entries)
  const after = await resident()
  await close()
  return { calls: requests(entries), bytesPerEntry: (after - before) / (entries - first) }
}

async function fill(getAccessToken, from, to) {
  let next = from
  const lane = async () => {
    while (next < to) check(await getAccessToken(`user-${next++}`, slug))
  }
  await Promise.all(Array.from({ length: CONCURRENCY }, lane))
}

async function resident() {
  for (let turn = 0; turn < 2; turn++) {
    globalThis.gc()
    await sleep(SETTLE_MS)
  }
  return process.memoryUsage.rss()
}

module.exports = { measure }
