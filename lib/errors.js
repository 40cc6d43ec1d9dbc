// Owns the error classes with their codes and fields, and turns what native code reports into errors and connections.
'use strict'

const {
  get,
  invalidValue,
  isObject,
  listed,
  named,
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

/**
 * Whether a value is an error of this package that has lost its class on its way from a worker thread, and has kept its own
 * fields. The code alone is no proof, since other errors may copy it.
 */
function isFailure(value) {
  try {
    const { code, retryable, attempts } = value
    return (
      // Not by `instanceof`: in jest, Node makes this error in another realm.
      Object.prototype.toString.call(value) === '[object Error]' &&
      typeof retryable === 'boolean' &&
      typeof attempts === 'number' &&
      ALL_CODES.includes(code)
    )
  } catch {
    return false
  }
}

/** The descriptor of a field that is not enumerable. */
const hidden = value => ({ __proto__: null, value, configurable: true, writable: true })

class XkitError extends Error {
  constructor(failure) {
    requireObject('failure', failure)
    const { message, code, retryable = false, attempts = 0, cause } = { __proto__: null, ...failure }
    const reason = typeof cause === 'string' ? new Error(cause) : cause
    super(requireString('failure.message', message), reason === undefined ? undefined : { cause: reason })
    this.code = requireOneOf('failure.code', code, CODES[this.name] ?? ALL_CODES)
    this.retryable = requireBoolean('failure.retryable', retryable)
    this.attempts = requireInteger('failure.attempts', attempts, 0, Number.MAX_SAFE_INTEGER)
  }
}

/** A field that is absent is not set: a printed error shows no empty fields. */
class XkitApiError extends XkitError {
  constructor(failure) {
    super(failure)
    const { status, requestId, retryAfterMs } = { __proto__: null, ...failure }
    if (status !== undefined) this.status = requireNumber('failure.status', status)
    if (requestId !== undefined) this.requestId = requireString('failure.requestId', requestId)
    if (retryAfterMs !== undefined) this.retryAfterMs = requireNumber('failure.retryAfterMs', retryAfterMs)
  }
}

class XkitNetworkError extends XkitError {}

class ConnectionUnavailableError extends XkitError {
  constructor(failure, connection) {
    super(failure)
    requireObject('connection', connection)
    requireOneOf('connection.status', connection.status, UNAVAILABLE)
    if (connection.connectUrl !== undefined) this.connectUrl = connection.connectUrl
    Object.defineProperty(this, 'connection', hidden(connection))
  }
}

const CLASSES = { __proto__: null, ConnectionUnavailableError, XkitApiError, XkitError, XkitNetworkError }
const BRANDS = new Map()

for (const [name, Class] of Object.entries(CLASSES)) {
  const brand = Symbol.for(`xkit-node.${name}`)
  BRANDS.set(Class, brand)
  Object.defineProperties(Class.prototype, { name: hidden(name), [brand]: hidden(true) })
}

/**
 * `instanceof` for the classes of this package, by a brand that holds across realms and duplicate copies. Classes that users
 * derive keep the ordinary `instanceof`.
 */
function isInstance(value) {
  const brand = BRANDS.get(this)
  return brand === undefined
    ? Function.prototype[Symbol.hasInstance].call(this, value)
    : get(value, brand) === true
}

// The other classes inherit it.
Object.defineProperty(XkitError, Symbol.hasInstance, hidden(isInstance))

function isXkitError(value) {
  return value instanceof XkitError || isFailure(value)
}

/** The fields in which SDKs keep the error of a function that they called. */
const LINKS = named(
  'cause original originalError detail error errors innerError inner reason raw networkError graphQLErrors ' +
    'response data body source info',
)
const MAX_VISITED = 200

/** The outermost error of this package that `error` is or holds; `undefined` if there is none. */
function xkitErrorOf(error) {
  // The loop also visits the values that it adds, each of them once.
  const visited = new Set([error])
  for (const value of visited) {
    if (isXkitError(value)) return value
    for (const held of [...listed(value, MAX_VISITED), ...LINKS.map(name => get(value, name))]) {
      if (isObject(held) && visited.size < MAX_VISITED) visited.add(held)
    }
  }
  return undefined
}

// For an outcome of native code without an error, which is a defect.
const INTERNAL = {
  className: 'XkitError',
  code: 'ERR_XKIT_INTERNAL',
  message: 'Something went wrong inside xkit-node: please report it. The client goes on working',
  retryable: false,
  attempts: 0,
}

/** The error for a failure that native code reports, of the class that it names. `connection` is the unavailable one. */
function toError(native = INTERNAL, connection = undefined) {
  const failure = { __proto__: null, ...native }
  if (failure.className === 'TypeError') return invalidValue(failure.message)
  return new CLASSES[failure.className](failure, connection)
}

// Without this, `inspect` can be told to show hidden fields and the values of getters.
const INSPECT = Symbol.for('nodejs.util.inspect.custom')

function copyOfThis() {
  return { ...this }
}

/**
 * The connection that native code reports. The token is readable through a getter that is not enumerable, so that a copy, JSON and
 * printed output do not hold it.
 */
function toConnection(native) {
  const { accessToken, expiresAtMs, ...connection } = native
  if (accessToken === undefined) return connection
  if (expiresAtMs !== undefined) connection.expiresAt = new Date(expiresAtMs)
  Object.defineProperty(connection, 'accessToken', { get: () => accessToken })
  return Object.defineProperty(connection, INSPECT, { value: copyOfThis })
}

/** The same failure as an error of its own, whose stack names another caller. */
function copyError(error, cause) {
  const { name, message, connection } = error
  return toError({ ...error, className: name, message, cause }, connection && { ...connection })
}

module.exports = {
  ConnectionUnavailableError,
  XkitApiError,
  XkitError,
  XkitNetworkError,
  copyError,
  hidden,
  isXkitError,
  toConnection,
  toError,
  xkitErrorOf,
}
