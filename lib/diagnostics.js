// Owns what others may see of a call: the tracing channel `xkit-node:call`, and a line per call for NODE_DEBUG=xkit.
'use strict'

const { tracingChannel } = require('node:diagnostics_channel')
const { debuglog } = require('node:util')
const { requireId } = require('./checks.js')

// As it was when the package was loaded: tests replace it by a fake.
const { hrtime } = process
const nowMs = () => Number(hrtime.bigint()) / 1e6

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

const { start, end, asyncStart, asyncEnd, error: failed } = tracingChannel('xkit-node:call')

/** Whether anybody looks. Every call asks this; a tracing channel tells by itself from Node 20.13 on only. */
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

/** What native code tells of one call. */
class Facts {
  attempts = 0
  cached = false
  coalesced = false

  /** How the call ended, and how its fleet fared. */
  note({ accessToken, connection, validForMs, attempts = 0, coalesced = false, fleet }) {
    this.outcome = accessToken === undefined ? connection?.status : 'active'
    this.cached = validForMs !== undefined
    this.attempts = attempts
    this.coalesced = coalesced
    this.isFleetBypassed = fleet?.isBypassed
    this.fleetError = fleet?.error
  }

  /** A token was served from a lease. */
  noteLease({ fleet }) {
    this.note({ accessToken: '', validForMs: 0 })
    this.isFleetBypassed = fleet?.isBypassed
    if (fleet?.isBypassed) this.fleetError = fleet.lastError
  }

  /** Of a call that was cancelled, native code tells nothing. */
  noteAbort() {
    this.outcome = 'aborted'
    this.attempts = undefined
    this.coalesced = undefined
  }
}

/**
 * Calls `run` with the owner that `read` makes of an argument; what is wrong with that is a rejection. If anybody looks, `run`
 * gets facts to note how the call went.
 */
function observe(operation, read, argument, slug, run) {
  if (isTraced()) return trace(operation, read, argument, slug, run)
  try {
    return run(read(argument))
  } catch (error) {
    return Promise.reject(error)
  }
}

/**
 * Publishes the course of a call in the order of `tracePromise`, without what that would add, which is the result, a token.
 * What a call rejects with before it has noted an outcome is a failure. Other rejections are none: a connection without a token
 * is an answer, whose error holds ids of the platform, and the reason of an abort is the caller's own.
 */
function trace(operation, read, argument, slug, run) {
  const course = { operation }
  let owner
  let problem
  // What is wrong has no place in a trace, as it has none in a message. The owner's id has none in any case.
  try {
    owner = read(argument)
    course.ownerKind = owner.kind
    course.slug = requireId('slug', slug)
  } catch (error) {
    problem = error
  }
  const startedAt = nowMs()
  return start.runStores(course, () => {
    const result = settle(course, startedAt, facts => {
      if (owner === undefined) throw problem
      return run(owner, facts)
    })
    end.publish(course)
    return result
  })
}

async function settle(course, startedAt, run) {
  const facts = new Facts()
  try {
    return await run(facts)
  } catch (error) {
    if (facts.outcome === undefined) Object.assign(facts, { outcome: error.code, error })
    throw error
  } finally {
    for (const [name, fact] of Object.entries(facts)) if (fact !== undefined) course[name] = fact
    course.durationMs = nowMs() - startedAt
    if (facts.error !== undefined) failed.publish(course)
    asyncStart.publish(course)
    asyncEnd.publish(course)
    if (isLogging) log('%s', toLine(course))
  }
}

/** The slug is shown as it is on the wire, where it holds neither spaces nor anything that a terminal would obey. */
function toLine(course) {
  const shown = { ...course, slug: course.slug && encodeURIComponent(course.slug) }
  shown.durationMs = course.durationMs.toFixed(1)
  shown.fleetError = course.fleetError && JSON.stringify(course.fleetError)
  const names = LOGGED.filter(name => shown[name] !== undefined)
  return names.map(name => `${name}=${shown[name]}`).join(' ')
}

module.exports = { observe }
