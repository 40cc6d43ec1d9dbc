// Owns the load: a number of calls that are always under way, each for another user, each answer checked.
'use strict'

const { performance } = require('node:perf_hooks')

const { slug, token } = require('./platform.js')

/** Far more than are ever under way at once, so that no two calls under way are for the same user. */
const USERS = 10_000
const users = Array.from({ length: USERS }, (_, index) => `user-${index}`)

/**
 * Keeps `concurrency` calls under way until `stop()`, until `calls` were made, or until the time `end`, which needs no
 * timer: one may come late by as much as the load keeps the event loop busy. `done` settles when the last one is
 * answered, and rejects with the first failure; `tokens` counts the answers.
 */
function startLoad({
  getAccessToken,
  concurrency,
  calls = Number.POSITIVE_INFINITY,
  end = Number.POSITIVE_INFINITY,
}) {
  const load = { tokens: 0, stop, done: undefined }
  let started = 0
  let left = calls

  function stop() {
    left = 0
    return load.done
  }

  async function lane() {
    while (left > 0 && performance.now() < end) {
      left--
      check(await getAccessToken(users[started++ % USERS], slug))
      load.tokens++
    }
  }

  load.done = Promise.all(Array.from({ length: concurrency }, lane))
  return load
}

function check(answer) {
  if (answer !== token) throw new Error('The answer is not the token that the server gave')
}

module.exports = { check, slug, startLoad, users }
