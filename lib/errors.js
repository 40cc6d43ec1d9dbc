// Owns the error classes, and how data that the native side reports becomes one of them.
'use strict'

const { invalidValue } = require('./checks.js')

const hidden = value => ({ value, configurable: true, writable: true, enumerable: false })

/**
 * Gives a class its literal name and a brand by which `instanceof` knows it across realms and duplicate copies of
 * this package. Classes that users derive keep the ordinary `instanceof`.
 */
function brand(Class, name) {
  const mark = Symbol.for(`xkit-node.${name}`)
  Object.defineProperties(Class.prototype, { name: hidden(name), [mark]: hidden(true) })
  Object.defineProperty(
    Class,
    Symbol.hasInstance,
    hidden(function (value) {
      return this === Class ? isMarked(value, mark) : Function.prototype[Symbol.hasInstance].call(this, value)
    }),
  )
}

function isMarked(value, mark) {
  try {
    return typeof value === 'object' && value !== null && value[mark] === true
  } catch {
    return false
  }
}

/** Sets the fields that have a value, so that a printed error shows no empty ones. */
function assign(error, fields) {
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) error[name] = value
  }
}

class XkitError extends Error {
  constructor({ message, cause, code, retryable, attempts }) {
    super(message, cause === undefined ? undefined : { cause: new Error(cause) })
    assign(this, { code, retryable, attempts })
  }
}

class XkitApiError extends XkitError {
  constructor(failure) {
    super(failure)
    const { status, requestId, retryAfterMs } = failure
    assign(this, { status, requestId, retryAfterMs })
  }
}

class XkitNetworkError extends XkitError {}

class ConnectionUnavailableError extends XkitError {
  constructor(connection, failure) {
    super(failure)
    assign(this, { connectUrl: connection.connectUrl })
    Object.defineProperty(this, 'connection', hidden(connection))
  }
}

brand(XkitError, 'XkitError')
brand(XkitApiError, 'XkitApiError')
brand(XkitNetworkError, 'XkitNetworkError')
brand(ConnectionUnavailableError, 'ConnectionUnavailableError')

function isXkitError(value) {
  return value instanceof XkitError
}

const API_CODES = new Set([
  'ERR_XKIT_INVALID_API_KEY',
  'ERR_XKIT_FORBIDDEN',
  'ERR_XKIT_RATE_LIMITED',
  'ERR_XKIT_SERVER',
  'ERR_XKIT_HTTP',
  'ERR_XKIT_REDIRECT',
  'ERR_XKIT_INVALID_RESPONSE',
  'ERR_XKIT_RESPONSE_TOO_LARGE',
])
const NETWORK_CODES = new Set(['ERR_XKIT_TIMEOUT', 'ERR_XKIT_CONNECT', 'ERR_XKIT_TLS', 'ERR_XKIT_PROXY'])

// The native side's own words for a defect, for the case that it has none to give.
const INTERNAL = {
  code: 'ERR_XKIT_INTERNAL',
  message: 'Something went wrong inside xkit-node: please report it. The client goes on working',
  retryable: false,
  attempts: 0,
}

/** The error for a failure that the native side reports. */
function toError(native = INTERNAL) {
  const failure = { __proto__: null, ...native }
  if (failure.code === 'ERR_INVALID_ARG_VALUE') return invalidValue(failure.message)
  if (API_CODES.has(failure.code)) return new XkitApiError(failure)
  if (NETWORK_CODES.has(failure.code)) return new XkitNetworkError(failure)
  return new XkitError(failure)
}

const UNAVAILABLE = {
  not_provisioned: {
    code: 'ERR_XKIT_NOT_PROVISIONED',
    retryable: false,
    what: 'Xkit does not know this owner',
    todo: 'check the id (for a group also its path, with npx xkit doctor), or have the owner set the connection up',
  },
  not_enabled: {
    code: 'ERR_XKIT_NOT_ENABLED',
    retryable: false,
    what: 'the owner has not enabled this connection',
    todo: 'have the owner enable it',
  },
  pending: {
    code: 'ERR_XKIT_PENDING',
    retryable: true,
    what: 'the authorization of this connection is under way',
    todo: 'call again later, or have the owner finish it',
  },
  needs_reauthorization: {
    code: 'ERR_XKIT_NEEDS_REAUTHORIZATION',
    retryable: false,
    what: 'the authorization of this connection broke',
    todo: 'have the owner connect again',
  },
}

/** The error for a connection without a token. */
function toUnavailableError(connection, slug, attempts) {
  const { code, retryable, what, todo } = UNAVAILABLE[connection.status]
  const where = connection.connectUrl === undefined ? '' : ` at ${connection.connectUrl}`
  const message = `No access token for ${slug}: ${what}; ${todo}${where}`
  return new ConnectionUnavailableError(connection, { message, code, retryable, attempts })
}

module.exports = {
  ConnectionUnavailableError,
  XkitApiError,
  XkitError,
  XkitNetworkError,
  isXkitError,
  toError,
  toUnavailableError,
}
