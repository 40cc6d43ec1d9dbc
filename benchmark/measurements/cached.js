// Owns the measurement of cached hits: against one key and against many, awaited one after another and called only.
'use strict'

const { performance } = require('node:perf_hooks')

const { check, slug, startLoad, users } = require('../load.js')

const KEY_COUNTS = { oneKey: 1, manyKeys: users.length }
/** Calls between two looks at the clock. */
const BATCH = 1000

async function measure({ open, settings, warmUpMs, durationMs }) {
  const { getAccessToken, close } = open({ ...settings, concurrency: 50, cache: true })
  await startLoad({ getAccessToken, concurrency: 50, calls: users.length }).done

  const result = { calls: users.length }
  for (const [name, count] of Object.entries(KEY_COUNTS)) {
    const keys = users.slice(0, count)
    await awaited(getAccessToken, keys, warmUpMs)
    result[`${name}Awaited`] = await awaited(getAccessToken, keys, durationMs)
    await called(getAccessToken, keys, warmUpMs)
    result[`${name}Called`] = await called(getAccessToken, keys, durationMs)
  }
  await close()
  return result
}

/** Nanoseconds per call when each is awaited before the next: what an application waits for. */
async function awaited(getAccessToken, keys, durationMs) {
  const start = performance.now()
  let calls = 0
  let next = 0
  let token
  do {
    for (let index = 0; index < BATCH; index++) {
      token = await getAccessToken(keys[next], slug)
      if (++next === keys.length) next = 0
    }
    calls += BATCH
  } while (performance.now() - start < durationMs)
  const elapsed = performance.now() - start
  check(token)
  return (elapsed * 1e6) / calls
}

/** Nanoseconds per call until the promise is there: what the call itself costs, its continuation left out. */
async function called(getAccessToken, keys, durationMs) {
  const end = performance.now() + durationMs
  let elapsed = 0
  let calls = 0
  let next = 0
  let promise
  do {
    const start = performance.now()
    for (let index = 0; index < BATCH; index++) {
      promise = getAccessToken(keys[next], slug)
      if (++next === keys.length) next = 0
    }
    elapsed += performance.now() - start
    calls += BATCH
    check(await promise)
  } while (performance.now() < end)
  return (elapsed * 1e6) / calls
}

module.exports = { measure }
