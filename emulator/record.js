// Owns the limit of recorded requests: enough for any test, and bounded for an emulator that runs for days.
'use strict'

const MAX_RECORDED_REQUESTS = 100_000

function record(requests, entry) {
  requests.push(entry)
  if (requests.length > MAX_RECORDED_REQUESTS) requests.shift()
}

module.exports = { record }
