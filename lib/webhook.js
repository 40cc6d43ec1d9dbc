// Owns how a webhook of the platform is read: nothing of it is trusted but its shape.
'use strict'

const { types } = require('node:util')
const { invalidType, invalidValue, requireId, requireObject } = require('./checks.js')

// Far above any event, which names three ids of 1,024 bytes at most.
const MAX_BODY_BYTES = 64 * 1024

/**
 * `{ type, ownerId, slug, connectionId? }` of a body, as a string, as bytes, or as the object that a framework has
 * parsed it to. What an event has to say is judged by its own fields.
 */
function readWebhook(body) {
  const event = typeof body === 'string' || types.isUint8Array(body) ? parse(body) : body
  if (event === body) requireObject('body', body)
  const type = textAt(event, ['event_type'])
  const slug = textAt(event, ['payload', 'connector', 'slug'])
  const ownerId = textAt(event, ['payload', 'context', 'external_id'])
  const connection = valueAt(event, ['payload', 'connection'])
  if (connection === undefined || connection === null) return { type, ownerId, slug }
  return { type, ownerId, slug, connectionId: textAt(event, ['payload', 'connection', 'external_id']) }
}

function parse(body) {
  // A string has at least as many bytes as characters, so that a huge one is not encoded to be measured.
  if (body.length > MAX_BODY_BYTES || Buffer.byteLength(body) > MAX_BODY_BYTES) {
    throw invalidValue(`body must not be larger than ${MAX_BODY_BYTES} bytes`)
  }
  try {
    const text = typeof body === 'string' ? body : new TextDecoder('utf-8', { fatal: true }).decode(body)
    return JSON.parse(text)
  } catch {
    // Its own message would quote the body.
    throw invalidValue('body is no webhook event: it is not JSON in UTF-8')
  }
}

/** An id or a name, which both may be what an owner's id may be. */
function textAt(event, path) {
  const name = path.join('.')
  const text = valueAt(event, path)
  if (text === undefined) throw invalidValue(`body is no webhook event: ${name} is missing`)
  if (typeof text !== 'string') throw invalidValue(`body is no webhook event: ${name} is not a string`)
  return requireId(`body.${name}`, text)
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
