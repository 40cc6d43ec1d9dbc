// Owns reading a webhook of the platform. It trusts the shape of an event, and nothing in it.
'use strict'

// Not the global, which jsdom lacks.
const { TextDecoder, types } = require('node:util')
const { invalidType, invalidValue, requireId, requireObject } = require('./checks.js')

// Far above any event: each of its three ids has 1,024 bytes at most.
const MAX_BODY_BYTES = 64 * 1024
const BYTE_ORDER_MARK = /^\uFEFF/
// Without a parser, frameworks pass `undefined` or `{}`. A promise and a Request have no own fields either.
const ADVICE = 'let a parser for JSON run before this handler, or pass the text of the request'

/**
 * Returns `{ type, ownerId, slug, connectionId? }` for text, for bytes, and for an object that a framework has parsed. Reads
 * own fields only. Throws a `TypeError` for anything but an event; omits a `connectionId` that cannot be read.
 */
function readWebhook(body) {
  const event = typeof body === 'string' || types.isUint8Array(body) ? parse(body) : body
  if (body === undefined) throw invalidType(`body must be an event, but is undefined: ${ADVICE}`)
  if (event === body) requireObject('body', body)
  if (valueAt(event, ['event_type']) === undefined) {
    throw invalidValue(`body is not a webhook event: event_type is missing; ${ADVICE}`)
  }
  const type = nameAt(event, ['event_type'])
  const slug = nameAt(event, ['payload', 'connector', 'slug'])
  const ownerId = nameAt(event, ['payload', 'context', 'external_id'], digits)
  const connectionId = detailAt(event, ['payload', 'connection', 'external_id'])
  return connectionId === undefined ? { type, ownerId, slug } : { type, ownerId, slug, connectionId }
}

function parse(body) {
  // A string has at least as many bytes as characters, so that a huge one is refused without encoding it.
  if (body.length > MAX_BODY_BYTES || Buffer.byteLength(body) > MAX_BODY_BYTES) {
    throw invalidValue(`body must not be larger than ${MAX_BODY_BYTES} bytes`)
  }
  try {
    const text = typeof body === 'string' ? body : new TextDecoder('utf-8', { fatal: true }).decode(body)
    return JSON.parse(text.replace(BYTE_ORDER_MARK, ''))
  } catch {
    // The message of JSON.parse quotes the body.
    throw invalidValue('body is not a webhook event: it is not JSON in UTF-8')
  }
}

/** An id that was sent as an integer, as its digits. An unsafe integer may have lost digits, and stays as it is. */
function digits(value) {
  return Number.isSafeInteger(value) ? String(value) : value
}

/** The text at a path, which must be a valid id. */
function nameAt(event, path, read = value => value) {
  const name = path.join('.')
  const text = read(valueAt(event, path))
  if (text === undefined) throw invalidValue(`body is not a webhook event: ${name} is missing`)
  if (typeof text !== 'string') throw invalidValue(`body is not a webhook event: ${name} is not a string`)
  return requireId(`body.${name}`, text)
}

/** The same, or `undefined`: an event is readable without this detail. */
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
    throw invalidType('body must be an object whose fields can be read')
  }
  return value
}

module.exports = { readWebhook }
