// Owns planned failures: which request gets which, and how a connection is broken on the wire.
'use strict'

/** Whether a plan applies to a request; `asked` holds its owner and slug, and is undefined for any other path. */
function meets({ owner, slug }, asked) {
  if (owner !== undefined && !(owner.kind === asked?.owner.kind && owner.id === asked.owner.id)) return false
  return slug === undefined || slug === asked?.slug
}

function createFaultQueue() {
  const plans = []
  return {
    add(plan) {
      plans.push({ ...plan })
    },
    /** The oldest plan that applies to the request that has just arrived, or undefined. Uses up one of its `times`. */
    take(asked) {
      const index = plans.findIndex(plan => meets(plan, asked))
      if (index === -1) return undefined
      const plan = plans[index]
      plan.times -= 1
      if (plan.times === 0) plans.splice(index, 1)
      return plan
    },
    clear() {
      plans.length = 0
    },
  }
}

function reset(request) {
  request.socket.resetAndDestroy()
}

/** Announces the whole body, sends half of it and ends the connection. */
function truncate(request, response, { status, headers, body }) {
  const bytes = Buffer.from(body)
  response.writeHead(status, { ...headers, 'content-length': bytes.length })
  response.write(bytes.subarray(0, Math.floor(bytes.length / 2)), () => request.socket.destroySoon())
}

module.exports = { createFaultQueue, reset, truncate }
