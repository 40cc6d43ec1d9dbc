// Owns the error classes, and how data that the native side reports becomes one of them.
'use strict'

const { invalidValue, requireObject } = require('./checks.js')

let failures

/** What no start of a process needs. */
function load() {
  failures ??= require('./failure.js')
  return failures
}

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
    requireObject('connection', connection)
    assign(this, { connectUrl: connection.connectUrl })
    Object.defineProperty(this, 'connection', hidden(connection))
  }
}

brand(XkitError, 'XkitError')
brand(XkitApiError, 'XkitApiError')
brand(XkitNetworkError, 'XkitNetworkError')
brand(ConnectionUnavailableError, 'ConnectionUnavailableError')

function isXkitError(value) {
  return value instanceof XkitError || load().isFailure(value)
}

const CLASSES = { __proto__: null, ConnectionUnavailableError, XkitApiError, XkitError, XkitNetworkError }

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
}
