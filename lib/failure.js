// Owns what an error of this package is made of: its codes, by class, and the fields that every one has.
'use strict'

const {
  requireBoolean,
  requireInteger,
  requireNumber,
  requireObject,
  requireOneOf,
  requireString,
} = require('./checks.js')

const CODES = {
  __proto__: null,
  ConnectionUnavailableError: [
    'ERR_XKIT_NOT_PROVISIONED',
    'ERR_XKIT_NOT_ENABLED',
    'ERR_XKIT_PENDING',
    'ERR_XKIT_NEEDS_REAUTHORIZATION',
  ],
  XkitApiError: [
    'ERR_XKIT_INVALID_API_KEY',
    'ERR_XKIT_FORBIDDEN',
    'ERR_XKIT_RATE_LIMITED',
    'ERR_XKIT_SERVER',
    'ERR_XKIT_HTTP',
    'ERR_XKIT_REDIRECT',
    'ERR_XKIT_INVALID_RESPONSE',
    'ERR_XKIT_RESPONSE_TOO_LARGE',
  ],
  XkitNetworkError: ['ERR_XKIT_TIMEOUT', 'ERR_XKIT_CONNECT', 'ERR_XKIT_TLS', 'ERR_XKIT_PROXY'],
}
const ALL_CODES = [
  ...Object.values(CODES).flat(),
  'ERR_XKIT_MISSING_CREDENTIALS',
  'ERR_XKIT_OVERLOADED',
  'ERR_XKIT_CLOSED',
  'ERR_XKIT_INTERNAL',
]

const UNAVAILABLE = ['not_provisioned', 'not_enabled', 'pending', 'needs_reauthorization']

/** What the constructor of the class of this name was given, checked, with its defaults. */
function readFailure(failure, className) {
  requireObject('failure', failure)
  const { message, code, retryable = false, attempts = 0, cause } = { __proto__: null, ...failure }
  return {
    message: requireString('failure.message', message),
    code: requireOneOf('failure.code', code, CODES[className] ?? ALL_CODES),
    retryable: requireBoolean('failure.retryable', retryable),
    attempts: requireInteger('failure.attempts', attempts, 0, Number.MAX_SAFE_INTEGER),
    cause: typeof cause === 'string' ? new Error(cause) : cause,
  }
}

/** The fields that an answer of the platform adds, each of which may be absent. */
function readAnswer(failure) {
  const { status, requestId, retryAfterMs } = { __proto__: null, ...failure }
  if (status !== undefined) requireNumber('failure.status', status)
  if (requestId !== undefined) requireString('failure.requestId', requestId)
  if (retryAfterMs !== undefined) requireNumber('failure.retryAfterMs', retryAfterMs)
  return { status, requestId, retryAfterMs }
}

function requireUnavailable(connection) {
  requireObject('connection', connection)
  requireOneOf('connection.status', connection.status, UNAVAILABLE)
}

/**
 * Whether a value is an error of this package that lost its class on its way from a worker thread: then its own
 * fields are all that is left. The code alone is not enough, since it is easily written into another error.
 */
function isFailure(value) {
  try {
    const { code, retryable, attempts } = value
    return (
      // Not by `instanceof`: in jest, what Node makes of it is of another realm.
      Object.prototype.toString.call(value) === '[object Error]' &&
      typeof retryable === 'boolean' &&
      typeof attempts === 'number' &&
      ALL_CODES.includes(code)
    )
  } catch {
    return false
  }
}

module.exports = { isFailure, readAnswer, readFailure, requireUnavailable }
