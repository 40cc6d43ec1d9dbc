// Owns how a webhook of the platform is read: nothing of it is trusted but its shape.
'use strict'

// Not the global one: a realm such as that of jsdom in jest has none.
const { TextDecoder, types } = require('node:util')
const { invalidType, invalidValue, requireId, requireObject } = require('./checks.js')

// Far above any event, which names three ids of 1,024 bytes at most.
const MAX_BODY_BYTES = 64 * 1024
const BYTE_ORDER_MARK = /^\uFEFF/
const UNREADABLE = 'body must be an object whose fields can be read'

/**
 * `{ type, ownerId, slug, connectionId? }` of a body, as a string, as bytes, or as the object that a framework has
 * parsed it to. What an event has to say is judged by its own fields; the connection's id is told where there is one,
 * and nothing depends on it.
 */
function readWebhook(body) {
  const event = typeof body === 'string' || types.isUint8Array(body) ? parse(body) : body
  if (event === body) requireEvent(body)
  const type = nameAt(event, ['event_type'])
  const slug = nameAt(event, ['payload', 'connector', 'slug'])
  const ownerId = nameAt(event, ['payload', 'context', 'external_id'], digits)
  const connectionId = detailAt(event, ['payload', 'connection', 'external_id'])
  return connectionId === undefined ? { type, ownerId, slug } : { type, ownerId, slug, connectionId }
}

/** A framework without a parser for JSON leaves `undefined` or `{}`, and so looks a promise or a Request. */
function requireEvent(body) {
  const advice = 'let a parser for JSON run before this handler, or pass the text of the request'
  if (body === undefined) throw invalidType(`body must be an event, but is undefined: ${advice}`)
  requireObject('body', body)
  if (fieldsOf(body).length === 0)
    throw invalidValue(`body is no webhook event: event_type is missing, and so is all else; ${advice}`)
}

function fieldsOf(body) {
  try {
    return Object.keys(body)
  } catch {
    throw invalidType(UNREADABLE)
  }
}

function parse(body) {
  // A string has at least as many bytes as characters, so that a huge one is not encoded to be measured.
  if (body.length > MAX_BODY_BYTES || Buffer.byteLength(body) > MAX_BODY_BYTES) {
    throw invalidValue(`body must not be larger than ${MAX_BODY_BYTES} bytes`)
  }
  try {
    const text = typeof body === 'string' ? body : new TextDecoder('utf-8', { fatal: true }).decode(body)
    return JSON.parse(text.replace(BYTE_ORDER_MARK, ''))
  } catch {
    // Its own message would quote the body.
    throw invalidValue('body is no webhook event: it is not JSON in UTF-8')
  }
}

/** An id that was sent as a number, as the string that it was before; one that a number cannot hold stays what it is. */
function digits(value) {
  return Number.isSafeInteger(value) ? String(value) : value
}

/** An id or a name, which both may be what an owner's id may be. */
function nameAt(event, path, read = value => value) {
  const name = path.join('.')
  const text = read(valueAt(event, path))
  if (text === undefined) throw invalidValue(`body is no webhook event: ${name} is missing`)
  if (typeof text !== 'string') throw invalidValue(`body is no webhook event: ${name} is not a string`)
  return requireId(`body.${name}`, text)
}

/** The same, or undefined for what is none: a detail of an unknown shape makes no event unreadable. */
function detailAt(event, path) {
  try {
    return nameAt(event, path, digits)
  } catch {
    return undefined
  }
}

function valueAt(event, path) {
  let value = event
  try {
    for (const name of path) {
      if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
      value = value[name]
    }
  } catch {
    throw invalidType(UNREADABLE)
  }
  return value
}

module.exports = { readWebhook }
