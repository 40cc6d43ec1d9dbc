// Owns what others may see of a call: the tracing channel `xkit-node:call`, and a line per call for NODE_DEBUG=xkit.
'use strict'

const { debuglog } = require('node:util')
const { requireId } = require('./checks.js')
const { namedOwner } = require('./owner.js')

const log = debuglog('xkit')
const isLogging = log.enabled === true
const LOGGED = [
  'operation',
  'ownerKind',
  'slug',
  'outcome',
  'attempts',
  'durationMs',
  'cached',
  'coalesced',
  'isFleetBypassed',
  'fleetError',
]

/** The channels of `xkit-node:call`, once they are needed. */
let channels
let wasAsked = false

/** Whether anybody looks. Every call asks this. A tracing channel can tell by itself from Node 20.13 on only. */
function isFollowed() {
  if (isLogging) return true
  if (channels === undefined && !mayHaveSubscribers()) return false
  const { start, end, asyncStart, asyncEnd, error } = loadChannels()
  return (
    start.hasSubscribers ||
    end.hasSubscribers ||
    asyncStart.hasSubscribers ||
    asyncEnd.hasSubscribers ||
    error.hasSubscribers
  )
}

/** Nobody subscribes before Node's module is loaded, which takes longer than a first token shall wait. */
function mayHaveSubscribers() {
  const isFirst = !wasAsked
  wasAsked = true
  return !isFirst || process.moduleLoadList?.includes('NativeModule diagnostics_channel') !== false
}

function loadChannels() {
  channels ??= require('node:diagnostics_channel').tracingChannel('xkit-node:call')
  return channels
}

/**
 * Runs a call and publishes its course in the order of `tracePromise`, without what that would add: the result, which
 * is a token. `run` notes in `facts` how the call went; what it rejects with before it has noted an outcome is a
 * failure. Other rejections are none: a connection without a token is an answer, whose error holds ids of the platform,
 * and the reason of an abort is the caller's own.
 */
function follow(operation, owner, slug, run) {
  const trace = beginTrace(operation, owner, slug)
  const startedAt = performance.now()
  const { start, end } = loadChannels()
  return start.runStores(trace, () => {
    const result = settle(trace, run, startedAt)
    end.publish(trace)
    return result
  })
}

async function settle(trace, run, startedAt) {
  const facts = { attempts: 0, cached: false, coalesced: false }
  try {
    return await run(facts)
  } catch (error) {
    if (facts.outcome === undefined) Object.assign(facts, { outcome: error.code, error })
    throw error
  } finally {
    facts.durationMs = performance.now() - startedAt
    Object.assign(trace, facts)
    const { asyncStart, asyncEnd, error } = loadChannels()
    if (facts.error !== undefined) error.publish(trace)
    asyncStart.publish(trace)
    asyncEnd.publish(trace)
    if (isLogging) log('%s', toLine(trace))
  }
}

/** What is wrong has no place in a trace, as it has none in a message. The owner's id has none in any case. */
function beginTrace(operation, owner, slug) {
  const trace = { operation }
  try {
    trace.ownerKind = namedOwner('owner', owner).kind
    trace.slug = requireId('slug', slug)
  } catch {
    // The call itself tells what is wrong.
  }
  return trace
}

/** What the native side tells of a call that came to its end, and of the fleet that it was made in, `before` the call too. */
function noteOutcome(facts, outcome, fleet, before) {
  const { connection, attempts = 0, coalesced = false } = { __proto__: null, ...outcome }
  const cached = connection !== undefined && attempts === 0
  Object.assign(facts, { outcome: connection?.status, attempts, cached, coalesced })
  if (fleet === undefined) return
  facts.isFleetBypassed = fleet.isBypassed
  // What went wrong last stays there when all is well again.
  if (fleet.isBypassed || fleet.errors > (before?.errors ?? 0)) facts.fleetError = fleet.lastError
}

/** Of a call that was cancelled, the native side tells nothing. */
function noteAbort(facts) {
  facts.outcome = 'aborted'
  delete facts.attempts
  delete facts.coalesced
}

/** The slug is shown as it is on the wire, where it holds neither spaces nor anything that a terminal would obey. */
function toLine(trace) {
  const shown = { ...trace, slug: trace.slug && encodeURIComponent(trace.slug) }
  shown.durationMs = trace.durationMs.toFixed(1)
  shown.fleetError = trace.fleetError && JSON.stringify(trace.fleetError)
  const names = LOGGED.filter(name => shown[name] !== undefined)
  return names.map(name => `${name}=${shown[name]}`).join(' ')
}

module.exports = { follow, isFollowed, noteAbort, noteOutcome }
