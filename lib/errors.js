// Owns the error classes, and how data that the native side reports becomes one of them.
'use strict'

const { invalidValue } = require('./checks.js')

let failures

/** What no start of a process needs. */
function load() {
  failures ??= require('./failure.js')
  return failures
}

const hidden = value => ({ value, configurable: true, writable: true, enumerable: false })

/** Sets the fields that have a value, so that a printed error shows no empty ones. */
function assign(error, fields) {
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) error[name] = value
  }
}

class XkitError extends Error {
  constructor(failure) {
    const { message, cause, ...fields } = load().readFailure(failure, new.target.prototype.name)
    super(message, cause === undefined ? undefined : { cause })
    assign(this, fields)
  }
}

class XkitApiError extends XkitError {
  constructor(failure) {
    super(failure)
    assign(this, load().readAnswer(failure))
  }
}

class XkitNetworkError extends XkitError {}

class ConnectionUnavailableError extends XkitError {
  constructor(failure, connection) {
    super(failure)
    load().requireUnavailable(connection)
    assign(this, { connectUrl: connection.connectUrl })
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
 * The classes of this package are known by a brand, across realms and duplicate copies of it. Those that users derive keep the
 * ordinary `instanceof`.
 */
function isInstance(value) {
  const brand = BRANDS.get(this)
  if (brand === undefined) return Function.prototype[Symbol.hasInstance].call(this, value)
  try {
    return typeof value === 'object' && value !== null && value[brand] === true
  } catch {
    return false
  }
}

// The others inherit it.
Object.defineProperty(XkitError, Symbol.hasInstance, hidden(isInstance))

function isXkitError(value) {
  return value instanceof XkitError || load().isFailure(value)
}

/** Where SDKs keep what a function that they were given failed with. */
const LINKS = [
  ...[
    'cause',
    'original',
    'originalError',
    'detail',
    'error',
    'errors',
    'innerError',
    'inner',
    'reason',
    'raw',
  ],
  ...['networkError', 'graphQLErrors', 'response', 'data', 'body', 'source', 'info'],
]
const MAX_VISITED = 200

/** The error of this package that `error` is or holds, the outermost one; `undefined` where there is none. */
function xkitErrorOf(error) {
  // What is added on the way is visited too, and nothing twice.
  const found = new Set([error])
  for (const value of found) {
    if (isXkitError(value)) return value
    for (const held of heldBy(value)) {
      if (typeof held === 'object' && held !== null && found.size < MAX_VISITED) found.add(held)
    }
  }
  return undefined
}

function heldBy(value) {
  if (typeof value !== 'object' || value === null) return []
  try {
    if (Array.isArray(value)) return value.slice(0, MAX_VISITED)
  } catch {
    // A revoked proxy.
    return []
  }
  return LINKS.map(name => {
    try {
      return value[name]
    } catch {
      return undefined
    }
  })
}

// The native side's own words for a defect, for the case that it has none to give.
const INTERNAL = {
  className: 'XkitError',
  code: 'ERR_XKIT_INTERNAL',
  message: 'Something went wrong inside xkit-node: please report it. The client goes on working',
  retryable: false,
  attempts: 0,
}

/**
 * The error for a failure that the native side reports, of the class that it names; with the connection where that is
 * what is unavailable.
 */
function toError(native = INTERNAL, connection = undefined) {
  const failure = { __proto__: null, ...native }
  if (failure.className === 'TypeError') return invalidValue(failure.message)
  return new CLASSES[failure.className](failure, connection)
}

/** The same failure as an object of its own, for another caller. */
function copyError(error) {
  const { name, message, connection } = error
  return toError({ ...error, className: name, message }, connection && { ...connection })
}

module.exports = {
  ConnectionUnavailableError,
  XkitApiError,
  XkitError,
  XkitNetworkError,
  copyError,
  isXkitError,
  toError,
  xkitErrorOf,
}
