// Owns how many requests are remembered: all of a test's, but not all of an emulator's that runs for days.
'use strict'

const MAX_RECORDED_REQUESTS = 100_000

function record(requests, entry) {
  requests.push(entry)
  if (requests.length > MAX_RECORDED_REQUESTS) requests.shift()
}

module.exports = { record }
