// Owns what a wrong argument looks like: Node's own codes, and messages that never repeat the value.
'use strict'

const MAX_ID_BYTES = 1024
// The longest delay a Node timer can hold; anything above fires at once.
const MAX_TIMER_MS = 2 ** 31 - 1

function invalidType(message) {
  return Object.assign(new TypeError(message), { code: 'ERR_INVALID_ARG_TYPE' })
}

function invalidValue(message) {
  return Object.assign(new TypeError(message), { code: 'ERR_INVALID_ARG_VALUE' })
}

// A revoked proxy throws even here.
function isArray(value) {
  try {
    return Array.isArray(value)
  } catch {
    return false
  }
}

function kindOf(value) {
  if (value === null || value === undefined) return String(value)
  return isArray(value) ? 'an array' : `of type ${typeof value}`
}

function requireObject(name, value) {
  if (typeof value !== 'object' || value === null || isArray(value)) {
    throw invalidType(`${name} must be an object, but is ${kindOf(value)}`)
  }
}

/**
 * The own fields of `value` that are not undefined, all of them or only those that are `allowed`, on an object without a prototype, so that neither a
 * polluted `Object.prototype` nor an inherited field can act as an option.
 */
function ownFields(name, value, allowed) {
  requireObject(name, value)
  let own
  try {
    own = { __proto__: null, ...value }
  } catch {
    throw invalidType(`${name} must be an object whose fields can be read`)
  }
  const fields = Object.create(null)
  for (const key of Object.keys(own)) {
    if (allowed !== undefined && !allowed.includes(key)) {
      throw invalidValue(
        `${name} has an unknown field ${JSON.stringify(key)}; known are: ${allowed.join(', ')}`,
      )
    }
    if (own[key] !== undefined) fields[key] = own[key]
  }
  return fields
}

function requireString(name, value) {
  if (typeof value !== 'string') throw invalidType(`${name} must be a string, but is ${kindOf(value)}`)
  return value
}

/** For an id, which is often a number where it comes from. */
function refuseNumber(name, value) {
  if (typeof value === 'number' || typeof value === 'bigint') {
    throw invalidType(`${name} must be a string, but is ${kindOf(value)}: pass String(id)`)
  }
}

/** A string that survives the way to UTF-8: a lone surrogate would become another character. */
function requireText(name, value) {
  if (!requireString(name, value).isWellFormed()) throw invalidValue(`${name} must be well-formed Unicode`)
  return value
}

function requireBoolean(name, value) {
  if (typeof value !== 'boolean') throw invalidType(`${name} must be a boolean, but is ${kindOf(value)}`)
  return value
}

function requireNumber(name, value) {
  if (typeof value !== 'number') throw invalidType(`${name} must be a number, but is ${kindOf(value)}`)
  return value
}

function requireInteger(name, value, least, most) {
  requireNumber(name, value)
  if (!Number.isSafeInteger(value) || value < least || value > most) {
    throw invalidValue(`${name} must be an integer from ${least} to ${most}`)
  }
  return value
}

function requireDelay(name, value) {
  requireNumber(name, value)
  if (!(value >= 0 && value <= MAX_TIMER_MS)) {
    throw invalidValue(`${name} must be a number of milliseconds from 0 to ${MAX_TIMER_MS}`)
  }
  return value
}

function requireOneOf(name, value, allowed) {
  requireString(name, value)
  if (!allowed.includes(value)) throw invalidValue(`${name} must be one of: ${allowed.join(', ')}`)
  return value
}

/** An owner's id or a slug: what one path segment can carry, and what the client would send. */
function requireId(name, value) {
  refuseNumber(name, value)
  requireString(name, value)
  if (value.trim() === '') throw invalidValue(`${name} must not be empty`)
  if (value === '.' || value === '..') throw invalidValue(`${name} must not be a dot segment`)
  if (/\p{Cc}/u.test(value)) throw invalidValue(`${name} must not hold control characters`)
  if (!value.isWellFormed()) throw invalidValue(`${name} must be well-formed Unicode`)
  if (Buffer.byteLength(value) > MAX_ID_BYTES) {
    throw invalidValue(`${name} must not be longer than ${MAX_ID_BYTES} bytes`)
  }
  return value
}

module.exports = {
  MAX_TIMER_MS,
  invalidType,
  invalidValue,
  isArray,
  kindOf,
  ownFields,
  refuseNumber,
  requireBoolean,
  requireDelay,
  requireId,
  requireInteger,
  requireNumber,
  requireObject,
  requireOneOf,
  requireString,
  requireText,
}
