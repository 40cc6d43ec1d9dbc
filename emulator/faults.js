// Owns the order of the failures that were asked for, and how a connection is broken on the wire.
'use strict'

function createFaultQueue() {
  const plans = []
  return {
    add(plan) {
      plans.push({ ...plan })
    },
    /** What the request that arrives now must suffer, or undefined. */
    take() {
      const plan = plans[0]
      if (plan === undefined) return undefined
      plan.times -= 1
      if (plan.times === 0) plans.shift()
      return plan
    },
  }
}

function reset(request) {
  request.socket.resetAndDestroy()
}

/** Announces the whole body, sends half of it, and ends the connection. */
function truncate(request, response, { status, headers, body }) {
  const bytes = Buffer.from(body)
  response.writeHead(status, { ...headers, 'content-length': bytes.length })
  response.write(bytes.subarray(0, Math.floor(bytes.length / 2)), () => request.socket.destroySoon())
}

module.exports = { createFaultQueue, reset, truncate }
