// Owns where the parts of an answer or a failure are (its status, answers, bodies, codes), and a reading of them that
// survives whatever they do.
'use strict'

const { isXkitError } = require('./errors.js')

const NONE = []
const MAX_ENTRIES = 20
const MAX_JSON = 64 * 1024
const CHALLENGE = 'www-authenticate'
const STATUSES = ['status', 'statusCode', 'httpStatusCode', 'httpStatus']
const NUMBERS = ['code', 'errorCode', 'error_code']
const ANSWER_STATUSES = [...STATUSES, 'code']
const ANSWERS = ['response', 'res', 'responseInfo', 'rawResponse', 'output', '$metadata']
const BODIES = ['body', 'data', 'error', 'result', '_data', 'bodyText']

// Where things are, one layer deep.

/** What an answer asks for in its `WWW-Authenticate`. */
function challengeOf(answer) {
  const headers = get(answer, 'headers')
  try {
    return headers?.get?.(CHALLENGE) ?? headers?.[CHALLENGE]
  } catch {
    return undefined
  }
}

function answersOf(failure) {
  return ANSWERS.map(name => get(failure, name)).filter(isObject)
}

/** The bodies that a failure or its answer carries: objects, or texts. */
function bodiesOf(failure) {
  const answers = answersOf(failure)
  const found = [failure, ...answers].flatMap(holder => BODIES.map(name => get(holder, name)))
  return [...answers, ...found].flatMap(body => {
    if (typeof body === 'string') return [parse(body) ?? body]
    return isForeign(body) ? [body] : []
  })
}

/** The objects of a body that may hold a code: itself, its error, its entries. */
function nodesOf(body) {
  const error = get(body, 'error')
  const errors = isNothing(get(body, 'data')) ? entriesOf(body, 'errors') : NONE
  const entries = [...listed(body), ...errors, ...entriesOf(error, 'errors')]
  return [
    body,
    error,
    get(error, 'error'),
    ...entries,
    ...entries.map(entry => get(entry, 'extensions')),
  ].filter(isObject)
}

/** The HTTP status that a failure names, outside of its codes. */
function httpStatusOf(failure) {
  const own = STATUSES.map(name => get(failure, name))
  const answered = answersOf(failure).flatMap(answer => ANSWER_STATUSES.map(name => get(answer, name)))
  return [...own, ...answered].map(toStatus).find(status => status !== undefined)
}

/** Of the codes, only what is an error in HTTP: others may number anything. */
function statusOf(failure) {
  return (
    httpStatusOf(failure) ?? NUMBERS.map(name => toStatus(get(failure, name))).find(status => status >= 400)
  )
}

function toStatus(value) {
  const status = typeof value === 'string' && /^\d{3}$/.test(value) ? Number(value) : value
  return Number.isInteger(status) && status >= 100 && status < 600 ? status : undefined
}

// Reading what may resist it.

function get(value, name) {
  if (typeof value !== 'object' || value === null) return undefined
  try {
    return value[name]
  } catch {
    return undefined
  }
}

function isObject(value) {
  return typeof value === 'object' && value !== null
}

/** A body that nobody has read yet. */
function isStream(value) {
  return typeof get(value, 'getReader') === 'function' || typeof get(value, 'pipe') === 'function'
}

/** An object of somebody else: what this package says of the platform tells nothing of a service. */
function isForeign(value) {
  try {
    return isObject(value) && !isXkitError(value)
  } catch {
    return false
  }
}

function isNothing(value) {
  return value === undefined || value === null
}

/** By its look, since there is an Error in each realm. */
function isError(value) {
  return typeof get(value, 'message') === 'string' && typeof get(value, 'stack') === 'string'
}

function entriesOf(value, name) {
  return listed(get(value, name))
}

function listed(value) {
  try {
    return Array.isArray(value) ? value.slice(0, MAX_ENTRIES) : NONE
  } catch {
    return NONE
  }
}

/** The object that a text is the JSON of. */
function parse(text) {
  if (typeof text !== 'string' || text.length > MAX_JSON || !/^\s*[{[]/.test(text)) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

module.exports = {
  ANSWER_STATUSES,
  NUMBERS,
  STATUSES,
  answersOf,
  bodiesOf,
  challengeOf,
  entriesOf,
  get,
  httpStatusOf,
  isError,
  isForeign,
  isNothing,
  isObject,
  isStream,
  nodesOf,
  parse,
  statusOf,
  toStatus,
}
