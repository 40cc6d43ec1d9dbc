// Owns `fetch` with a bearer token: which request goes out, and whether it can go out a second time.
'use strict'

const { requireObject } = require('./checks.js')
const { toError } = require('./errors.js')

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

module.exports = { bearerFetch }
