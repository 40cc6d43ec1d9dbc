// Owns `fetch` with a bearer token: which request goes out, whether it can go out a second time, and which answers are
// looked into for a rejection.
'use strict'

// Not the global ones, which tests replace by a fake.
const { clearTimeout, setTimeout } = require('node:timers')
const { requireObject } = require('./checks.js')
const { toError } = require('./errors.js')
const { BODY_STATUSES, isRejectedBody, isRejection } = require('./rejection/index.js')

const JSON_TYPE = /^application\/(?:[\w.-]+\+)?json\b/i
const MAX_BODY = 64 * 1024
/** A refusal comes with its headers, or right behind them. */
const PATIENCE_MS = 1000

/** The global `fetch` as a use of a token, with what recovery has to know of the request. */
function bearerFetch(slug, input, init) {
  if (init !== undefined && init !== null) requireObject('init', init)
  const own = { __proto__: null, ...init }
  const request = isRequest(input) ? input : undefined
  const signal = own.signal === undefined ? request?.signal : own.signal
  return {
    use: token => {
      const headers = authorized(own.headers ?? request?.headers, slug, token)
      return fetch(input, { __proto__: null, ...own, headers })
    },
    options: signal ? { signal } : undefined,
    isRepeatable: !isOneShot(own.body ?? request?.body),
    judge,
  }
}

// Not by `instanceof`: there is a Request in each realm, and one in undici.
function isRequest(input) {
  return typeof input === 'object' && input !== null && typeof input.headers?.get === 'function'
}

/** Whether reading the body uses it up. A Request has its body as a stream, whatever it was made from. */
function isOneShot(body) {
  if (typeof body !== 'object' || body === null) return false
  return typeof body.getReader === 'function' || typeof body[Symbol.asyncIterator] === 'function'
}

function authorized(init, slug, token) {
  const headers = new Headers(init)
  try {
    headers.set('authorization', `Bearer ${token}`)
  } catch {
    // Its own error may quote the header.
    throw toError({
      className: 'XkitApiError',
      message: `The access token for ${slug} holds characters that no header can carry: ask for it with getAccessToken`,
      code: 'ERR_XKIT_INVALID_RESPONSE',
      retryable: false,
      attempts: 1,
    })
  }
  return headers
}

/** Whether the answer rejects the token. What is not a small JSON answer is neither read nor waited for. */
function judge(response, isThrown) {
  if (isThrown) return false
  try {
    if (isRejection(response, false)) return true
    return isTelling(response) && isRejectedInBody(response)
  } catch {
    // Somebody's own `fetch` may answer with less than a Response.
    return false
  }
}

function isTelling(response) {
  if (!BODY_STATUSES.includes(response.status) || response.body === null) return false
  const type = response.headers.get('content-type')
  return JSON_TYPE.test(type) && !(response.headers.get('content-length') > MAX_BODY)
}

async function isRejectedInBody(response) {
  try {
    return isRejectedBody(response.status, JSON.parse(await beginningOf(response)))
  } catch {
    // What ends in an error, or is no whole JSON, is for the caller to read.
    return false
  }
}

/**
 * The text of the first chunk, from a clone. More is read only of a body whose length is known to be small: another
 * one may be a stream, which is neither to be held back nor to be kept in memory. What is late is not waited for.
 */
async function beginningOf(response) {
  const isSmall = response.headers.has('content-length')
  const reader = response.clone().body.getReader()
  const chunks = []
  let length = 0
  let timer
  const late = new Promise(resolve => {
    timer = setTimeout(resolve, PATIENCE_MS, { done: true })
  })
  try {
    do {
      const { done, value } = await Promise.race([reader.read(), late])
      if (done) break
      chunks.push(value)
      length += value.byteLength
    } while (isSmall && length < MAX_BODY)
  } finally {
    clearTimeout(timer)
    // Not awaited: it ends when the caller has read or cancelled the other half.
    reader.cancel().catch(() => {})
  }
  return length > MAX_BODY ? '' : Buffer.concat(chunks).toString()
}

module.exports = { bearerFetch }
