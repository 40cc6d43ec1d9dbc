// Owns the diagnostics of calls: the tracing channel `xkit-node:call`, and a line per call for NODE_DEBUG=xkit.
'use strict'

const { tracingChannel } = require('node:diagnostics_channel')
const { debuglog } = require('node:util')
const { named, requireId } = require('./checks.js')

// Read when the package is loaded, since fake timers replace it later.
const { hrtime } = process
const nowMs = () => Number(hrtime.bigint()) / 1e6

const log = debuglog('xkit')
const isLogging = log.enabled === true
const LOGGED = named(
  'operation ownerKind slug outcome attempts durationMs cached coalesced isFleetBypassed fleetError ' +
    'rejectedFingerprint tokenFingerprint',
)

const { start, end, asyncStart, asyncEnd, error: failed } = tracingChannel('xkit-node:call')

/** Whether a call has to be traced. A tracing channel has `hasSubscribers` from Node 20.13 on only. */
function isTraced() {
  return (
    isLogging ||
    start.hasSubscribers ||
    end.hasSubscribers ||
    asyncStart.hasSubscribers ||
    asyncEnd.hasSubscribers ||
    failed.hasSubscribers
  )
}

/** The facts about one call that native code reports. */
class Facts {
  attempts = 0
  cached = false
  coalesced = false

  /** Notes the outcome of the call, with the state of its fleet. */
  note({ accessToken, connection, validForMs, attempts = 0, coalesced = false, fleet }) {
    this.outcome = accessToken === undefined ? connection?.status : 'active'
    this.cached = validForMs !== undefined
    this.attempts = attempts
    this.coalesced = coalesced
    this.isFleetBypassed = fleet?.isBypassed
    this.fleetError = fleet?.error
  }

  /** Notes that a token was served from a lease. */
  noteLease({ fleet }) {
    this.note({ accessToken: '', validForMs: 0 })
    this.isFleetBypassed = fleet?.isBypassed
    if (fleet?.isBypassed) this.fleetError = fleet.lastError
  }

  /** Notes that the call was cancelled: native code reports nothing about it. */
  noteAbort() {
    this.outcome = 'aborted'
    this.attempts = undefined
    this.coalesced = undefined
  }
}

/**
 * Calls `run(client, owner, slug, options, facts)` of an operation with the owner that its `readOwner` makes of `argument`, and
 * turns what either throws into a rejection. `facts` is undefined unless the call is traced.
 */
function observe(operation, client, argument, slug, options) {
  if (isTraced()) return traceCall(operation, client, argument, slug, options)
  try {
    return operation.run(client, operation.readOwner(argument), slug, options)
  } catch (error) {
    return Promise.reject(error)
  }
}

/**
 * Publishes the events of `tracePromise`, in the same order but without the result, which is a token. A rejection counts as a
 * failure unless an outcome was noted before: an unavailable connection is an answer, whose error holds ids of the platform,
 * and the reason of an abort belongs to the caller.
 */
function traceCall({ name, readOwner, run }, client, argument, slug, options) {
  const trace = { operation: name }
  let owner
  let problem
  // A trace holds neither a wrong value nor the owner's id.
  try {
    owner = readOwner(argument)
    trace.ownerKind = owner.kind
    trace.slug = requireId('slug', slug)
  } catch (error) {
    problem = error
  }
  const startedAt = nowMs()
  return start.runStores(trace, () => {
    const result = settleTraced(trace, startedAt, facts => {
      if (owner === undefined) throw problem
      return run(client, owner, slug, options, facts)
    })
    end.publish(trace)
    return result
  })
}

async function settleTraced(trace, startedAt, run) {
  const facts = new Facts()
  try {
    return await run(facts)
  } catch (error) {
    if (facts.outcome === undefined) Object.assign(facts, { outcome: error.code, error })
    throw error
  } finally {
    for (const [name, fact] of Object.entries(facts)) if (fact !== undefined) trace[name] = fact
    trace.durationMs = nowMs() - startedAt
    if (facts.error !== undefined) failed.publish(trace)
    asyncStart.publish(trace)
    asyncEnd.publish(trace)
    if (isLogging) log('%s', toLine(trace))
  }
}

/** The slug is percent-encoded, so that it holds neither spaces nor control sequences of a terminal. */
function toLine(trace) {
  const shown = { ...trace, slug: trace.slug && encodeURIComponent(trace.slug) }
  shown.durationMs = trace.durationMs.toFixed(1)
  shown.fleetError = trace.fleetError && JSON.stringify(trace.fleetError)
  const names = LOGGED.filter(name => shown[name] !== undefined)
  return names.map(name => `${name}=${shown[name]}`).join(' ')
}

module.exports = { observe }
