// Owns reading values from outside the package: reads that never throw, and checks that throw Node's own errors. An owner is a
// user, a group or a context, each with its own space of ids. No message repeats a value.
'use strict'

const MAX_ID_BYTES = 1024
// The longest delay of a Node timer: with a longer one, it fires at once.
const MAX_TIMER_MS = 2 ** 31 - 1
const OWNER_KINDS = ['user', 'group', 'context']

const argumentError = code => message => Object.assign(new TypeError(message), { code })
const invalidType = argumentError('ERR_INVALID_ARG_TYPE')
const invalidValue = argumentError('ERR_INVALID_ARG_VALUE')

const isObject = value => typeof value === 'object' && value !== null

/** A field of an object; `undefined` for any other value, and where reading the field throws. */
function get(value, name) {
  if (!isObject(value)) return undefined
  try {
    return value[name]
  } catch {
    return undefined
  }
}

function isArray(value) {
  try {
    return Array.isArray(value)
  } catch {
    // It is a revoked proxy.
    return false
  }
}

/** The names in a text, each after one blank. */
const named = text => text.split(' ')

/** The first entries of an array; none for any other value. */
function listed(value, maximum) {
  try {
    return Array.isArray(value) ? value.slice(0, maximum) : []
  } catch {
    return []
  }
}

function kindOf(value) {
  if (value === null || value === undefined) return String(value)
  return isArray(value) ? 'an array' : `of type ${typeof value}`
}

function requireObject(name, value) {
  if (!isObject(value) || isArray(value)) {
    throw invalidType(`${name} must be an object, but is ${kindOf(value)}`)
  }
}

/**
 * The own fields of `value` that are not undefined; throws for a field that is not in `allowed`, if given. The result has no
 * prototype: neither a polluted `Object.prototype` nor an inherited field can act as an option.
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

function requireType(type) {
  return (name, value) => {
    if (typeof value !== type) throw invalidType(`${name} must be a ${type}, but is ${kindOf(value)}`)
    return value
  }
}

const requireString = requireType('string')
const requireBoolean = requireType('boolean')
const requireNumber = requireType('number')

/** For an id: in many databases it is a number. */
function refuseNumber(name, value) {
  if (typeof value === 'number' || typeof value === 'bigint') {
    throw invalidType(`${name} must be a string, but is ${kindOf(value)}: pass String(id)`)
  }
  return value
}

/** A string that UTF-8 can represent: a lone surrogate would become another character. */
function requireText(name, value) {
  if (!requireString(name, value).isWellFormed()) throw invalidValue(`${name} must be well-formed Unicode`)
  return value
}

function requireInteger(name, value, minimum, maximum) {
  requireNumber(name, value)
  if (!Number.isSafeInteger(value) || value < minimum || value > maximum) {
    throw invalidValue(`${name} must be an integer from ${minimum} to ${maximum}`)
  }
  return value
}

function requireOneOf(name, value, allowed) {
  requireString(name, value)
  if (!allowed.includes(value)) throw invalidValue(`${name} must be one of: ${allowed.join(', ')}`)
  return value
}

/** An owner's id or a slug, which has to fit into one path segment. */
function requireId(name, value) {
  requireString(name, refuseNumber(name, value))
  if (value.trim() === '') throw invalidValue(`${name} must not be empty`)
  if (value === '.' || value === '..') throw invalidValue(`${name} must not be a dot segment`)
  if (/\p{Cc}/u.test(value)) throw invalidValue(`${name} must not contain control characters`)
  if (Buffer.byteLength(requireText(name, value)) > MAX_ID_BYTES) {
    throw invalidValue(`${name} must not be longer than ${MAX_ID_BYTES} bytes`)
  }
  return value
}

/** `'u1'`, `{ user: 'u1' }`, `{ group: 'acme' }` or `{ context: 'c1' }` as `{ kind, id }`. The id is not checked. */
function readOwner(owner, name = 'owner') {
  if (typeof owner === 'string') return { kind: 'user', id: owner }
  if (!isObject(refuseNumber(name, owner))) {
    const forms = "a user's id as a string, or { user: id }, { group: id } or { context: id }"
    throw invalidType(`${name} must be ${forms}, but is ${kindOf(owner)}`)
  }
  const plain = plainOwner(owner)
  if (plain !== undefined) return plain
  const fields = ownFields(name, owner, OWNER_KINDS)
  const [kind, ...others] = Object.keys(fields)
  if (kind === undefined || others.length > 0) {
    throw invalidValue(
      `${name} must name exactly one of: ${OWNER_KINDS.join(', ')}; undefined fields do not count`,
    )
  }
  return { kind, id: refuseNumber(`${name}.${kind}`, fields[kind]) }
}

/** Reads the usual form without a copy, since every cached hit reads one; `undefined` for any other form. */
function plainOwner(owner) {
  try {
    const [kind, ...others] = Object.keys(owner)
    const id = others.length === 0 && OWNER_KINDS.includes(kind) ? owner[kind] : undefined
    return typeof id === 'string' ? { kind, id } : undefined
  } catch {
    return undefined
  }
}

/** As `readOwner`, with a valid id. */
function requireOwner(name, owner) {
  const { kind, id } = readOwner(owner, name)
  return { kind, id: requireId(typeof owner === 'string' ? name : `${name}.${kind}`, id) }
}

module.exports = {
  MAX_TIMER_MS,
  OWNER_KINDS,
  get,
  invalidType,
  invalidValue,
  isArray,
  isObject,
  kindOf,
  listed,
  named,
  ownFields,
  readOwner,
  refuseNumber,
  requireBoolean,
  requireId,
  requireInteger,
  requireNumber,
  requireObject,
  requireOneOf,
  requireOwner,
  requireString,
  requireText,
}
