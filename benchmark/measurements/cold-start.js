// Owns the measurement of a cold start: from `require` to the first token over TLS, in a process of its own.
'use strict'

const { readFileSync } = require('node:fs')
const { performance } = require('node:perf_hooks')

const { slug, token } = require('../platform.js')

/** Gets the contender's file, not its module: loading it is what is measured. Nothing else is loaded before. */
async function measure({ contender, settings, caFile }) {
  const start = performance.now()
  const { open } = require(contender)
  const ca = caFile === undefined ? undefined : readFileSync(caFile)
  const { getAccessToken, close } = open({ ...settings, ca, concurrency: 1 })
  const first = await getAccessToken('user-1', slug)
  const milliseconds = performance.now() - start
  if (first !== token) throw new Error('The answer is not the token that the server gave')
  await close()
  return { calls: 1, milliseconds }
}

module.exports = { measure }
